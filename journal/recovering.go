package journal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"aplomb"
	"aplomb/ledger"
)

const (
	// recoveringEnd marks a folder that is to take a damaged one's place.
	recoveringEnd = ".recovering"
	damagedEnd    = ".damaged-"
)

// Recover makes a degraded site writable again. The site's folder is set aside as it is, beside its name; in its place
// comes the unbroken stretch of the chain that leads up to what Load returns, and behind it, in a new epoch, fact with its
// writes. Its n is one more than the highest known: of from, which the caller holds from elsewhere, and of every whole
// line in the damaged folder. Recover returns the folder set aside ("" if there was none), what is lost in words ("" if
// nothing is damaged; of damage that took no fact as far as is known it says so), and the new head.
//
// A crash leaves the old chain or the new one. When Recover fails the site stays degraded, and Recover may be called
// again. A site that is not degraded is refused.
func (j *Journal) Recover(ctx context.Context, name aplomb.SiteName, from aplomb.Head, fact aplomb.Fact, writes []ledger.Write) (aside, lost string, head aplomb.Head, err error) {
	s, err := j.lookup(name)
	if err != nil {
		return "", "", aplomb.Head{}, err
	}
	if err := s.acquire(ctx); err != nil {
		return "", "", aplomb.Head{}, fmt.Errorf("recover %s: %w", name, err)
	}
	defer s.release()
	if j.isClosed() {
		return "", "", aplomb.Head{}, ledger.ErrClosed
	}
	s.settle()
	if err := s.recoverable(); err != nil {
		return "", "", aplomb.Head{}, err
	}
	r := &recovery{site: s, from: from, base: s.chain.Load()}
	if err := r.prepare(ctx, fact, writes); err != nil {
		j.discard(r.folder())
		return "", "", aplomb.Head{}, fmt.Errorf("recover %s: %w", name, spaceless(err))
	}
	if err := r.swap(); err != nil {
		return r.aside, "", aplomb.Head{}, fmt.Errorf("recover %s: %w", name, err)
	}
	j.lg.Warn("ledger recovered", "site", name, "aside", r.aside, "lost", r.lost(), "n", r.entry.Head.N, "epoch", r.entry.Head.Epoch)
	return r.aside, r.lost(), r.entry.Head, nil
}

// recoverable says why the site is not to be recovered; nil when it is.
func (s *site) recoverable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(s.refused, ledger.ErrNewer):
		return aplomb.NewError(aplomb.CodeDegraded, fmt.Sprintf("the ledger of site %s was not recovered", s.name),
			s.refused.Error(), "start the newer Aplomb that wrote it").Because(s.refused)
	case s.refused == nil && s.uncertain == nil:
		return aplomb.NewError(aplomb.CodeHealthy, fmt.Sprintf("the ledger of site %s was not recovered", s.name),
			"it is not degraded", "aplomb status --site "+string(s.name))
	}
	return nil
}

// recovery is one recovery under way. Its site's files and files lock belong to it.
type recovery struct {
	site *site
	from aplomb.Head
	base ledger.Snapshot // what the new chain stands on

	kept   []segment             // the segments of the stretch up to base, the last one perhaps cut
	cut    int64                 // how much of the last kept segment is kept
	seen   aplomb.Head           // the highest epoch and n there may have been
	whole  int64                 // the highest n of a whole fact
	facts  map[int64]aplomb.Head // the facts in the damaged folder that are whole
	breaks []string              // where files break off
	entry  ledger.Entry
	offset int64 // of entry in the new segment
	size   int64
	aside  string
}

func (r *recovery) folder() string { return r.site.dir + recoveringEnd }

// prepare makes the new folder, complete and durable, beside the old one.
func (r *recovery) prepare(ctx context.Context, fact aplomb.Fact, writes []ledger.Write) error {
	r.survey()
	r.keep()
	if err := ctx.Err(); err != nil {
		return err
	}
	opening := r.opening()
	entry, line, err := ledger.Compose(r.site.name, opening.Head, fact, writes)
	if err != nil {
		return err
	}
	r.entry = entry
	d, folder := r.site.j.disk, r.folder()
	if exists(folder) {
		if err := d.remove(folder); err != nil {
			return err
		}
	}
	if err := d.mkdir(folder); err != nil {
		return err
	}
	if err := r.bring(); err != nil {
		return err
	}
	path := filepath.Join(folder, segmentName(entry.Head.N))
	if r.offset, err = r.site.j.writeSegment(path, opening, line); err != nil {
		return err
	}
	r.size = r.offset + int64(len(line))
	if err := d.syncDir(folder); err != nil {
		return err
	}
	return d.syncDir(r.site.j.dir)
}

// opening returns the snapshot with which the new epoch begins.
func (r *recovery) opening() ledger.Opening {
	var after aplomb.Head
	n := max(r.base.Head.N, r.from.N, r.seen.N)
	oldest := n + 1
	if len(r.kept) > 0 {
		after, oldest = r.base.Head, r.kept[0].first
	}
	return ledger.Opening{
		Snapshot: ledger.Snapshot{
			Head:    aplomb.Head{Epoch: max(r.base.Head.Epoch, r.from.Epoch, r.seen.Epoch) + 1, N: n, SHA: after.SHA},
			Records: r.base.Records,
		},
		Site: r.site.name, Oldest: oldest, After: &after,
	}
}

// survey reads everything in the damaged folder that can still be read: which facts are whole, and the highest epoch and
// n that any line names. A line that cannot be read counts as the facts it may have been, and as none where nothing in it
// looks like one.
func (r *recovery) survey() {
	r.facts = map[int64]aplomb.Head{}
	for _, seg := range r.site.list() {
		if err := r.surveySegment(seg.path); err != nil {
			r.breaks = append(r.breaks, fmt.Sprintf("%s cannot be read", filepath.Base(seg.path)))
		}
	}
}

func (r *recovery) surveySegment(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines, offset, last := lineReader{r: bufio.NewReader(f)}, int64(0), int64(0)
	damaged, foreign, size := int64(-1), int64(-1), 0
	name := filepath.Base(path) // it is set aside, and another may get its path
	for {
		line, err := lines.next(maxOpening)
		kind := lineWhole
		if len(line) > 0 {
			kind, last = r.surveyLine(line, offset == 0, last)
		}
		switch {
		case kind == lineDamaged && damaged < 0:
			damaged = offset
		case kind == lineForeign:
			if size += len(line); foreign < 0 {
				foreign = offset
			}
		}
		offset += int64(len(line))
		if err != nil {
			if damaged >= 0 {
				r.breaks = append(r.breaks, fmt.Sprintf("%s is damaged at byte %d", name, damaged))
			}
			if foreign >= 0 {
				r.breaks = append(r.breaks, fmt.Sprintf("%s has %d bytes from byte %d on that are no facts of this chain", name, size, foreign))
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lineKind says what a line of a damaged folder is.
type lineKind int

const (
	lineWhole   lineKind = iota
	lineDamaged          // it was a fact, or an opening, as far as can be told
	lineForeign          // it never was, or is one that stands before it already
)

// surveyLine looks at one line; last is the n of the last whole fact before it in the segment.
func (r *recovery) surveyLine(line []byte, first bool, last int64) (lineKind, int64) {
	if e, err := ledger.ParseEntry(line); err == nil {
		if e.Head.N <= last {
			return lineForeign, last
		}
		r.facts[e.Head.N], r.whole = e.Head, max(r.whole, e.Head.N)
		r.see(e.Head)
		if first {
			return lineDamaged, e.Head.N // its opening is gone
		}
		return lineWhole, e.Head.N
	}
	o, err := ledger.ParseOpening(line)
	switch {
	case err == nil:
		r.see(o.Head)
		return lineWhole, last
	case first:
		return lineDamaged, last
	}
	facts := tracesOfFacts(line)
	r.seen.N += facts
	if facts == 0 {
		return lineForeign, last
	}
	return lineDamaged, last
}

// tracesOfFacts returns how many facts a line that cannot be read may have been: none where nothing is left in it of how
// a fact is written, and where it is no block that a disk gave back empty.
func tracesOfFacts(line []byte) int64 {
	if n := bytes.Count(line, []byte(`"prev":`)); n > 0 {
		return int64(n)
	}
	for _, trace := range [...]string{`{"n":`, `"epoch":`, `"fact":`, `"actor":`, `"writes":`, strings.Repeat("\x00", 64)} {
		if bytes.Contains(line, []byte(trace)) {
			return 1
		}
	}
	return 0
}

func (r *recovery) see(h aplomb.Head) {
	r.seen.Epoch, r.seen.N = max(r.seen.Epoch, h.Epoch), max(r.seen.N, h.N)
}

// keep finds the unbroken stretch of whole segments that leads up to base.
func (r *recovery) keep() {
	segs := r.site.list()
	want := r.base.Head // where the next stretch, going back, must end
	for i := len(segs) - 1; i >= 0; i-- {
		if segs[i].first > want.N {
			continue // it begins behind base
		}
		st := readStretch(segs[i].path, r.site.name, func(e ledger.Entry) bool { return e.Head.N < want.N })
		if st.head != want || st.facts == 0 || st.opening.Head.N != segs[i].first-1 {
			return
		}
		if len(r.kept) == 0 {
			r.cut = st.good
		} else if size, err := sizeOf(segs[i].path); err != nil || size != st.good {
			return
		}
		r.kept = append([]segment{{path: segs[i].path, first: segs[i].first, last: want.N}}, r.kept...)
		if want = st.opening.Head; st.opening.After != nil {
			want = *st.opening.After
		}
	}
}

func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// bring puts the kept segments into the new folder: whole ones, which nobody writes to any more, under a second name; the
// last one as a copy of what is good of it.
func (r *recovery) bring() error {
	d := r.site.j.disk
	for i, seg := range r.kept {
		to := filepath.Join(r.folder(), segmentName(seg.first))
		if i < len(r.kept)-1 {
			if err := d.link(seg.path, to); err == nil {
				continue
			}
		}
		f, err := os.Open(seg.path)
		if err != nil {
			return err
		}
		good := io.Reader(f)
		if i == len(r.kept)-1 {
			good = io.LimitReader(f, r.cut)
		}
		b, err := io.ReadAll(good)
		f.Close()
		if err != nil {
			return err
		}
		if err := r.site.j.writeFile(to, b); err != nil {
			return err
		}
	}
	return nil
}

// swap puts the new folder into the old one's place. Between its two renames the site has no folder under its name:
// whoever opens the journal then finishes the second one.
func (r *recovery) swap() error {
	s := r.site
	s.files.Lock()
	defer s.files.Unlock()
	d := s.j.disk
	if exists(s.dir) {
		aside := s.dir + damagedEnd + stamp()
		for i := 2; exists(aside); i++ {
			aside = fmt.Sprintf("%s%s%s-%d", s.dir, damagedEnd, stamp(), i)
		}
		err := d.rename(s.dir, aside)
		if err == nil {
			err = d.syncDir(s.j.dir)
		}
		if err != nil {
			return r.putBack(aside, fmt.Errorf("set the damaged folder aside: %w", err))
		}
		r.aside = aside
	}
	err := d.rename(r.folder(), s.dir)
	if err == nil {
		err = d.syncDir(s.j.dir)
	}
	if err != nil {
		return r.putBack(r.aside, fmt.Errorf("put the recovered folder in its place: %w", err))
	}
	r.install()
	return nil
}

// putBack undoes a swap that failed, as far as it can; what it cannot is finished at the next Open.
func (r *recovery) putBack(aside string, cause error) error {
	d, s := r.site.j.disk, r.site
	if exists(s.dir) && exists(aside) {
		if err := d.rename(s.dir, r.folder()); err != nil {
			return errors.Join(cause, err)
		}
	}
	if !exists(s.dir) && exists(aside) {
		if err := d.rename(aside, s.dir); err != nil {
			return errors.Join(cause, err)
		}
	}
	r.aside = ""
	if err := d.syncDir(s.j.dir); err != nil {
		return errors.Join(cause, err)
	}
	s.j.discard(r.folder())
	return cause
}

// install takes the recovered chain into memory and wakes its followers.
func (r *recovery) install() {
	s := r.site
	var segs []segment
	for _, seg := range r.kept {
		seg.path = filepath.Join(s.dir, filepath.Base(seg.path))
		segs = append(segs, seg)
	}
	newest := segment{path: filepath.Join(s.dir, segmentName(r.entry.Head.N)), first: r.entry.Head.N}
	s.undo = nil
	s.size, s.base, s.facts, s.oldest = r.size, r.offset, 1, r.opening().Oldest
	s.mu.Lock()
	s.segments, s.refused, s.uncertain = append(segs, newest), nil, nil
	s.mu.Unlock()
	if err := s.reopen(newest.path); err != nil {
		s.refuse(fmt.Errorf("open segment %s: %w", newest.path, err))
	}
	s.chain.Restart(r.base, r.entry)
}

// lost says in words which facts are no longer on the chain, and why; where damage took none, it says so.
func (r *recovery) lost() string {
	var parts []string
	oldest := r.opening().Oldest
	if len(r.kept) > 0 && oldest > 1 {
		parts = append(parts, r.missing(1, oldest-1))
	}
	first := r.base.Head.N + 1
	if len(r.kept) == 0 {
		first = 1
	}
	sure := max(r.base.Head.N, r.from.N, r.whole)
	if sure >= first {
		parts = append(parts, r.missing(first, sure))
	}
	if last := r.entry.Head.N - 1; last > sure {
		parts = append(parts, fmt.Sprintf("perhaps %s, of which only damaged bytes are left", factsText(sure+1, last)))
	}
	if at, ok := r.facts[r.from.N]; ok && at.Epoch == r.from.Epoch && at.SHA != r.from.SHA {
		parts = append(parts, fmt.Sprintf("fact %d exists in two forms: the one in the ledger is %s, the other %s",
			at.N, at.SHA.Short(), r.from.SHA.Short()))
	}
	if len(parts) == 0 && len(r.breaks) > 0 {
		parts = append(parts, "no fact that is known of")
	}
	return strings.Join(append(parts, r.breaks...), "; ")
}

// missing names facts a to b, and how many of them can be read in the folder set aside.
func (r *recovery) missing(a, b int64) string {
	readable := 0
	for n := range r.facts {
		if n >= a && n <= b {
			readable++
		}
	}
	return fmt.Sprintf("%s (%d of %d can be read in the folder set aside)", factsText(a, b), readable, b-a+1)
}

func factsText(a, b int64) string {
	if a == b {
		return fmt.Sprintf("fact %d", a)
	}
	return fmt.Sprintf("facts %d to %d", a, b)
}
