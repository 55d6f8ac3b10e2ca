package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"aplomb"
	"aplomb/ledger"
)

// Torn is the end of a segment that was not a whole line when the journal was opened.
type Torn struct {
	Site    aplomb.SiteName
	Segment string      // the file
	Offset  int64       // where the end began
	Bytes   int64       // how long it was
	Aside   string      // the file that keeps it; "" for zero bytes, and where the disk is full
	Head    aplomb.Head // of the site, after the cut
	// Completed says that the line was whole but for its newline: it was completed, and nothing is lost.
	Completed bool
}

// endKind says what stands behind the last good line of the newest segment.
type endKind int

const (
	endRot      endKind = iota // more than one torn write can explain
	endZeros                   // space that was reserved and never written
	endTorn                    // one line, begun and not finished
	endComplete                // a whole line that lacks its newline
)

// judgeEnd says what the bytes behind head are. For endComplete it returns the entry, and how many of the bytes are
// its line without the newline.
//
// One write is under way at a time, so a torn one is at most one line: a newline with something behind it, or another
// whole line inside, cannot come from it.
func judgeEnd(site aplomb.SiteName, head aplomb.Head, rest []byte) (endKind, ledger.Entry, int) {
	text := bytes.TrimRight(rest, "\x00")
	if len(text) == 0 {
		return endZeros, ledger.Entry{}, 0
	}
	for _, n := range []int{len(text), len(text) - 1} {
		e, err := ledger.ParseEntry(append(bytes.Clone(text[:n]), '\n'))
		if errors.Is(err, ledger.ErrNewer) {
			return endRot, ledger.Entry{}, 0
		}
		if err == nil && e.Follows(site, head) == nil {
			return endComplete, e, n
		}
	}
	if i := bytes.IndexByte(text, '\n'); i >= 0 && i < len(text)-1 || len(text) > ledger.MaxLine || holdsLine(text) {
		return endRot, ledger.Entry{}, 0
	}
	return endTorn, ledger.Entry{}, 0
}

// holdsLine reports whether b ends in a whole line that begins inside it: the newline before that one is damaged. It
// looks at the first 64 places where a line might begin.
func holdsLine(b []byte) bool {
	begin := []byte(`{"n":`)
	for i, tries := 0, 0; tries < 64; tries++ {
		next := bytes.Index(b[i:], begin)
		if next < 0 {
			return false
		}
		i += next
		if _, err := ledger.ParseEntry(b[i:]); err == nil {
			return true
		}
		i += len(begin)
	}
	return false
}

// maxEnd bounds how much is read behind the last good line.
const maxEnd = 4 * ledger.MaxLine

// mendEnd cuts what a torn write left behind the last good line, after keeping it aside, or completes the line. What
// is no torn write is returned as damage, and left as it is.
func (s *site) mendEnd(seg segment, st stretch) error {
	rest, err := io.ReadAll(io.NewSectionReader(s.file, st.good, maxEnd+1))
	if err != nil {
		return damageAt(seg.path, st.good, fmt.Errorf("%w: %w", err, aplomb.ErrDamaged))
	}
	kind, entry, n := judgeEnd(s.name, st.head, rest)
	if kind == endRot || len(rest) > maxEnd {
		return st.fault
	}
	torn := Torn{Site: s.name, Segment: seg.path, Offset: st.good, Bytes: int64(len(rest)), Head: st.head}
	switch kind {
	case endComplete:
		torn.Completed, torn.Head = true, entry.Head
		if err := s.cutTo(st.good+int64(n), []byte("\n")); err != nil {
			return fmt.Errorf("complete the last line of %s: %w", seg.path, err)
		}
		s.facts++
		s.chain.Publish(entry)
	case endTorn:
		if torn.Aside, err = s.keepAside(seg.path, rest); err != nil {
			return fmt.Errorf("keep the torn end of %s: %w", seg.path, err)
		}
		fallthrough
	case endZeros:
		if err := s.cutTo(st.good, nil); err != nil {
			return fmt.Errorf("cut the torn end of %s: %w", seg.path, err)
		}
	}
	s.j.lg.Warn("torn write found", "site", s.name, "segment", seg.path, "offset", torn.Offset, "bytes", torn.Bytes,
		"aside", torn.Aside, "completed", torn.Completed, "n", torn.Head.N)
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	s.j.torn = append(s.j.torn, torn)
	return nil
}

// cutTo makes the newest segment end at size, then in more, durably.
func (s *site) cutTo(size int64, more []byte) error {
	if err := s.j.disk.truncate(s.file, size); err != nil {
		return err
	}
	if len(more) > 0 {
		if err := s.j.disk.write(s.file, more, size); err != nil {
			return err
		}
	}
	if err := s.j.disk.sync(s.file); err != nil {
		return err
	}
	s.size = size + int64(len(more))
	return nil
}

// keepAside writes bytes that are about to be cut off a segment into a file beside it. On a full disk it keeps none:
// a write that was not acknowledged must not stop a rollback from being recorded.
func (s *site) keepAside(path string, b []byte) (string, error) {
	aside := path + ".torn-" + stamp()
	for i := 2; exists(aside); i++ {
		aside = fmt.Sprintf("%s.torn-%s-%d", path, stamp(), i)
	}
	err := s.writeAside(aside, b)
	if err == nil {
		return aside, nil
	}
	if rerr := s.j.disk.remove(aside); rerr != nil {
		return "", errors.Join(err, rerr)
	}
	if noSpace(err) {
		s.j.lg.Warn("no space to keep a torn write", "site", s.name, "segment", path, "bytes", len(b))
		return "", nil
	}
	return "", err
}

func (s *site) writeAside(aside string, b []byte) error {
	if err := s.j.writeFile(aside, b); err != nil {
		return err
	}
	return s.j.disk.syncDir(s.dir)
}

// reopen opens the newest segment anew, in place of a descriptor whose state is not known any more.
func (s *site) reopen(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if s.file != nil {
		s.file.Close() // what it has to say of earlier writes is known already
	}
	s.file = f
	return nil
}
