package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/ledger"
)

// original is a journal with several segments, and what it must be read as.
type original struct {
	dir     string
	entries []ledger.Entry
	files   map[string][]byte // by name
	names   []string          // oldest first
}

func newOriginal(t testing.TB, facts int) original {
	t.Helper()
	o := original{dir: t.TempDir(), files: map[string][]byte{}}
	j, err := Open(quiet(), o.dir, small)
	if err != nil {
		t.Fatal(err)
	}
	add(t, j, "shop", facts)
	if o.entries, err = readAll(t, j, "shop", 0); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range segmentsOf(t, o.dir, "shop") {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		o.names = append(o.names, filepath.Base(path))
		o.files[filepath.Base(path)] = b
	}
	return o
}

func (o original) head() aplomb.Head { return o.entries[len(o.entries)-1].Head }

// copy writes the journal into a new folder, with the files that change sets; a nil file is left out.
func (o original) copy(t testing.TB, change map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for name, b := range o.files {
		files[name] = b
	}
	for name, b := range change {
		files[name] = b
	}
	for name, b := range files {
		if b == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "shop", name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// newest is the name of the newest segment, and where its last line begins.
func (o original) newest() (name string, lastLine int) {
	name = o.names[len(o.names)-1]
	b := o.files[name]
	return name, bytes.LastIndexByte(b[:len(b)-1], '\n') + 1
}

// checkDamaged is the oracle for a journal some of whose bytes were changed: whatever it says is what was written, and
// whatever is not there any more is either refused, naming a file, or was the one last line, which is reported as torn.
func (o original) checkDamaged(t testing.TB, dir, what string) {
	t.Helper()
	j := mustOpen(t, dir, small)
	s, loadErr := j.Load(t.Context(), "shop")
	_, head, verifyErr := j.Verify(t.Context(), "shop")
	all, entriesErr := readAll(t, j, "shop", 0)
	for i, e := range all {
		if i > 0 && e.Head.N <= all[i-1].Head.N {
			t.Fatalf("%s: entries go backwards: %d after %d", what, e.Head.N, all[i-1].Head.N)
		}
		if want := o.entries[e.Head.N-1]; e.Head != want.Head || e.Fact.Why != want.Fact.Why || e.Prev != want.Prev {
			t.Fatalf("%s: entry %d is %+v, was %+v", what, e.Head.N, e, want)
		}
	}
	for _, err := range []error{loadErr, verifyErr} {
		if err != nil && (!errors.Is(err, aplomb.ErrDegraded) || !strings.Contains(err.Error(), dir)) {
			t.Fatalf("%s: %v, want ErrDegraded naming a file", what, err)
		}
	}
	if loadErr != nil || verifyErr != nil {
		before := s.Head
		if _, err := j.Append(t.Context(), "shop", before, noteOf(1), nil); !errors.Is(err, aplomb.ErrDegraded) {
			t.Fatalf("%s: Append to a damaged site = %v, want ErrDegraded", what, err)
		}
		return
	}
	if entriesErr != nil {
		t.Fatalf("%s: Entries = %v on a site that is called sound", what, entriesErr)
	}
	if s.Head != head || int64(len(all)) != head.N {
		t.Fatalf("%s: head %+v, verified %+v, %d entries", what, s.Head, head, len(all))
	}
	missing := o.head().N - head.N
	torn := j.Torn()
	switch {
	case missing == 0:
	case missing == 1 && len(torn) == 1 && torn[0].Head == head:
	default:
		t.Fatalf("%s: %d facts are gone and the site is called sound; torn: %+v", what, missing, torn)
	}
}

func TestEveryCutOfTheLastLineIsATornWrite(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 13)
	name, last := o.newest()
	whole := o.files[name]
	for size := last; size < len(whole); size++ {
		dir := o.copy(t, map[string][]byte{name: whole[:size]})
		j, err := Open(quiet(), dir, small)
		if err != nil {
			t.Fatal(err)
		}
		torn := j.Torn()
		want := o.head().N - 1
		switch size {
		case last:
			if len(torn) != 0 {
				t.Fatalf("cut at a line's end: torn = %+v", torn)
			}
		case len(whole) - 1:
			want++
			if len(torn) != 1 || !torn[0].Completed {
				t.Fatalf("cut before the newline: torn = %+v", torn)
			}
		default:
			if len(torn) != 1 || torn[0].Offset != int64(last) || torn[0].Bytes != int64(size-last) {
				t.Fatalf("cut at %d: torn = %+v", size, torn)
			}
			if b, err := os.ReadFile(torn[0].Aside); err != nil || !bytes.Equal(b, whole[last:size]) {
				t.Fatalf("cut at %d: kept aside %q, %v", size, b, err)
			}
		}
		if got := checkWhole(t, j, "shop"); got.N != want {
			t.Fatalf("cut at %d: n %d, want %d", size, got.N, want)
		}
		add(t, j, "shop", 2)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		again := mustOpen(t, dir, small)
		checkWhole(t, again, "shop")
		if len(again.Torn()) != 0 {
			t.Fatalf("cut at %d: torn again after the cut: %+v", size, again.Torn())
		}
	}
}

func TestEveryZeroedEndIsCutAndSaidOrRefused(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 13)
	name, last := o.newest()
	whole := o.files[name]
	for from := last; from < len(whole); from++ {
		zeroed := slices.Concat(whole[:from], make([]byte, len(whole)-from))
		o.checkDamaged(t, o.copy(t, map[string][]byte{name: zeroed}), fmt.Sprintf("zeros from %d of %d", from, len(whole)))
	}
	reserved := slices.Concat(whole, make([]byte, 5000))
	j := mustOpen(t, o.copy(t, map[string][]byte{name: reserved}), small)
	if got := checkWhole(t, j, "shop"); got != o.head() {
		t.Errorf("zeros behind the end: head = %+v, want %+v", got, o.head())
	}
	if torn := j.Torn(); len(torn) != 1 || torn[0].Bytes != 5000 {
		t.Errorf("zeros behind the end: torn = %+v", torn)
	}
}

func TestZerosThatAteLinesAreFoundByAnAnchor(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 14)
	name, _ := o.newest()
	whole := o.files[name]
	lines := bytes.SplitAfter(whole, []byte("\n"))
	from := len(whole) - len(lines[len(lines)-2]) - len(lines[len(lines)-3])
	j := mustOpen(t, o.copy(t, map[string][]byte{name: slices.Concat(whole[:from], make([]byte, len(whole)-from))}), small)
	if torn := j.Torn(); len(torn) != 1 {
		t.Errorf("torn = %+v, want the zeros to be said", torn)
	}
	if _, err := j.At("shop", o.head().N); !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("At(the anchor) = %v, want ErrNotFound", err)
	}
}

func TestFlippedBitsAreNeverServedAndNeverMakeItOlder(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	o := newOriginal(t, 13)
	for range 300 {
		name := o.names[r.IntN(len(o.names))]
		b := bytes.Clone(o.files[name])
		bit := r.IntN(8 * len(b))
		b[bit/8] ^= 1 << (bit % 8)
		o.checkDamaged(t, o.copy(t, map[string][]byte{name: b}), fmt.Sprintf("seed %d: bit %d of %s", seed, bit, name))
	}
}

func TestFlippedNewlineIsNoTornWrite(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 14)
	name, last := o.newest()
	b := bytes.Clone(o.files[name])
	b[last-1] ^= 1
	j := mustOpen(t, o.copy(t, map[string][]byte{name: b}), small)
	if _, err := j.Load(t.Context(), "shop"); !errors.Is(err, aplomb.ErrDegraded) {
		t.Errorf("two facts run together: %v, want ErrDegraded", err)
	}
	b = bytes.Clone(o.files[name])
	b[len(b)-1] ^= 1
	j = mustOpen(t, o.copy(t, map[string][]byte{name: b}), small)
	if got := checkWhole(t, j, "shop"); got != o.head() {
		t.Errorf("the last newline: head = %+v, want %+v", got, o.head())
	}
}

func TestRotIsRefusedNamingFileAndByte(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 14)
	name, last := o.newest()
	b := bytes.Clone(o.files[name])
	lines := bytes.SplitAfter(b, []byte("\n"))
	second := len(lines[0]) + len(lines[1])
	b[second+30] ^= 4
	j := mustOpen(t, o.copy(t, map[string][]byte{name: b}), small)
	s, err := j.Load(t.Context(), "shop")
	if want := fmt.Sprintf("%s, byte %d", name, second); !errors.Is(err, aplomb.ErrDegraded) || !strings.Contains(err.Error(), want) {
		t.Errorf("Load = %v, want ErrDegraded at %q", err, want)
	}
	if s.Head.N != 11 || s.Head != o.entries[10].Head {
		t.Errorf("head = %+v, want the one before the damage (last line at %d)", s.Head, last)
	}
	if all, err := readAll(t, j, "shop", 0); len(all) != 11 || err != nil {
		t.Errorf("Entries = %d, %v, want the 11 before the damage", len(all), err)
	}
}

func TestSegmentsThatDoNotFitTogetherAreRefused(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 18)
	n := o.names
	for what, change := range map[string]map[string][]byte{
		"first deleted":                {n[0]: nil},
		"middle deleted":               {n[1]: nil},
		"first emptied":                {n[0]: {}},
		"middle emptied":               {n[1]: {}},
		"newest emptied":               {n[3]: {}},
		"all but one emptied":          {n[0]: {}, n[1]: {}, n[3]: {}},
		"all emptied":                  {n[0]: {}, n[1]: {}, n[2]: {}, n[3]: {}},
		"two swapped":                  {n[1]: o.files[n[2]], n[2]: o.files[n[1]]},
		"newest swapped":               {n[1]: o.files[n[3]], n[3]: o.files[n[1]]},
		"middle renamed":               {n[1]: nil, segmentName(7): o.files[n[1]]},
		"newest renamed":               {n[3]: nil, segmentName(17): o.files[n[3]]},
		"middle cut":                   {n[1]: o.files[n[1]][:len(o.files[n[1]])-10]},
		"middle cut to lines":          {n[1]: o.files[n[1]][:bytes.LastIndexByte(o.files[n[1]][:len(o.files[n[1]])-1], '\n')+1]},
		"newest cut to its snapshot":   {n[3]: o.files[n[3]][:bytes.IndexByte(o.files[n[3]], '\n')+1]},
		"newest cut in its first fact": {n[3]: o.files[n[3]][:bytes.IndexByte(o.files[n[3]], '\n')+50]},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := o.copy(t, change)
			j := mustOpen(t, dir, small)
			if _, err := j.Load(t.Context(), "shop"); !errors.Is(err, aplomb.ErrDegraded) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Load = %v, want ErrDegraded naming a file", err)
			}
			o.checkDamaged(t, dir, what)
		})
	}
}

func TestNewestSegmentThatIsGoneIsFoundByAnAnchor(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 13)
	j := mustOpen(t, o.copy(t, map[string][]byte{o.names[2]: nil}), small)
	if _, err := j.At("shop", o.head().N); !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("At(the anchor) = %v, want ErrNotFound", err)
	}
}

func TestSiteFolderWithoutASegmentIsDamageAndNotANewSite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	j := mustOpen(t, dir, small)
	if _, err := j.Append(t.Context(), "shop", aplomb.Head{}, noteOf(1), nil); !errors.Is(err, aplomb.ErrDegraded) {
		t.Errorf("Append = %v, want ErrDegraded", err)
	}
	if sites, err := j.Sites(t.Context()); err != nil || len(sites) != 1 {
		t.Errorf("Sites = %v, %v, want shop", sites, err)
	}
}

func TestAnotherSitesFolderIsRefused(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 13)
	dir := o.copy(t, nil)
	if err := os.Rename(filepath.Join(dir, "shop"), filepath.Join(dir, "blog")); err != nil {
		t.Fatal(err)
	}
	j := mustOpen(t, dir, small)
	if _, err := j.Load(t.Context(), "blog"); !errors.Is(err, aplomb.ErrDegraded) {
		t.Errorf("Load = %v, want ErrDegraded", err)
	}
}

func TestEditThatIsSealedAgainIsFoundByVerify(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 13)
	// A snapshot with another record, under a sum of its own: only the facts before it can tell.
	opening, err := ledger.ParseOpening(o.files[o.names[1]][:bytes.IndexByte(o.files[o.names[1]], '\n')+1])
	if err != nil {
		t.Fatal(err)
	}
	opening.Records["state"] = []byte(`{"n":99}`)
	line, err := ledger.ComposeOpening(opening)
	if err != nil {
		t.Fatal(err)
	}
	edited := slices.Concat(line, o.files[o.names[1]][bytes.IndexByte(o.files[o.names[1]], '\n')+1:])
	j := mustOpen(t, o.copy(t, map[string][]byte{o.names[1]: edited}), small)
	n, head, err := j.Verify(t.Context(), "shop")
	if !errors.Is(err, aplomb.ErrDegraded) || !strings.Contains(err.Error(), o.names[1]) || n != 5 || head.N != 5 {
		t.Errorf("Verify = %d, %+v, %v, want the damage in %s after 5 facts", n, head, err, o.names[1])
	}
}

func TestDroppedDoubledAndReorderedLinesAreFoundByVerify(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 13)
	name := o.names[1]
	l := bytes.SplitAfter(o.files[name], []byte("\n"))
	for what, lines := range map[string][][]byte{
		"dropped":   {l[0], l[1], l[3], l[4], l[5]},
		"doubled":   {l[0], l[1], l[2], l[2], l[3], l[4], l[5]},
		"reordered": {l[0], l[1], l[3], l[2], l[4], l[5]},
	} {
		j := mustOpen(t, o.copy(t, map[string][]byte{name: slices.Concat(lines...)}), small)
		if _, _, err := j.Verify(t.Context(), "shop"); !errors.Is(err, aplomb.ErrDegraded) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: Verify = %v, want ErrDegraded naming %s", what, err, name)
		}
		if got := j.Degraded(); got["shop"] == nil {
			t.Errorf("%s: the site goes on being written to", what)
		}
	}
}

func TestFileThatLosesItsLastLinesWhileInUseIsFoundByVerify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, Config{})
	add(t, j, "shop", 4)
	path := segmentsOf(t, dir, "shop")[0]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(bytes.LastIndexByte(b[:len(b)-1], '\n')+1)); err != nil {
		t.Fatal(err)
	}
	n, head, err := j.Verify(t.Context(), "shop")
	if !errors.Is(err, aplomb.ErrDegraded) || !strings.Contains(err.Error(), "facts 4 to 4 are missing") || n != 3 || head.N != 3 {
		t.Errorf("Verify = %d, %+v, %v, want fact 4 missing", n, head, err)
	}
}

func TestNewerFormatIsLeftAloneAndNotRecovered(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 13)
	name, last := o.newest()
	body := `{"n":14,"epoch":1,"schema":2,"fact":{"n":14,"site":"shop"},"prev":"` + o.head().SHA.String() + `"`
	newer := body + `,"sha":"` + aplomb.Sum([]byte(body)).String() + "\"}\n"
	for what, b := range map[string][]byte{
		"a newer last line":                   slices.Concat(o.files[name], []byte(newer)),
		"a newer last line without a newline": slices.Concat(o.files[name], []byte(newer[:len(newer)-1])),
		"a newer line before others":          slices.Concat(o.files[name][:last], []byte(newer), o.files[name][last:]),
	} {
		dir := o.copy(t, map[string][]byte{name: b})
		j := mustOpen(t, dir, small)
		if _, err := j.Append(t.Context(), "shop", o.head(), noteOf(14), nil); !errors.Is(err, aplomb.ErrDegraded) {
			t.Errorf("%s: Append = %v, want ErrDegraded", what, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "shop", name)); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: the file was changed: %v", what, err)
		}
		if strings.HasSuffix(what, "newline") {
			continue
		}
		if _, _, _, err := j.Recover(t.Context(), "shop", o.head(), noteOf(14), nil); !errors.Is(err, ledger.ErrNewer) {
			t.Errorf("%s: Recover = %v, want ErrNewer", what, err)
		}
	}
}

func FuzzOpenSegment(f *testing.F) {
	o := newOriginal(f, 8)
	name, last := o.newest()
	f.Add(o.files[name])
	f.Add(o.files[name][:last+20])
	f.Add(slices.Concat(o.files[name], make([]byte, 100)))
	f.Add(slices.Concat(o.files[name], []byte("{\"n\":9")))
	f.Add(slices.Concat(o.files[name], []byte("x\ny\n")))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := o.copy(t, map[string][]byte{name: b})
		var heads []ledger.Snapshot
		for range 2 {
			j, err := Open(quiet(), dir, small)
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			s, err := j.Load(t.Context(), "shop")
			if err == nil {
				for e, err := range j.Entries(t.Context(), "shop", 0) {
					if err != nil || e.Fact.N < 1 {
						t.Fatalf("a sound site yields %v, %v", e, err)
					}
				}
			} else if !errors.Is(err, aplomb.ErrDegraded) {
				t.Fatalf("Load: %v", err)
			}
			if s.Head.N < 5 {
				t.Fatalf("head = %+v: older than the segment before", s.Head)
			}
			heads = append(heads, s)
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if heads[0].Head != heads[1].Head {
			t.Fatalf("opened twice: %+v, then %+v", heads[0].Head, heads[1].Head)
		}
	})
}
