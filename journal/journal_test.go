package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aplomb"
	"aplomb/ledger"
	"aplomb/ledger/ledgertest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

// small makes segments small, so that few facts fill many.
var small = Config{SegmentFacts: 5, Recent: 4}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func mustOpen(t testing.TB, dir string, cfg Config) *Journal {
	t.Helper()
	j, err := Open(quiet(), dir, cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return j
}

// noteOf is the i-th fact of a test: it can be told from every other.
func noteOf(i int64) aplomb.Fact {
	return aplomb.Fact{At: time.Unix(1793714520+i, 0).UTC(), Kind: aplomb.FactNote, Actor: "anna", Why: fmt.Sprintf("fact %d", i)}
}

func writesOf(i int64) []ledger.Write {
	return []ledger.Write{
		{Key: "state", Value: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))},
		{Key: fmt.Sprintf("rel/r%d", i), Value: json.RawMessage(`"x"`)},
		{Key: fmt.Sprintf("rel/r%d", i-3)},
	}
}

// add appends n facts to a site and returns the last head.
func add(t testing.TB, j *Journal, site aplomb.SiteName, n int) aplomb.Head {
	t.Helper()
	s, err := j.Load(t.Context(), site)
	if err != nil && !errors.Is(err, aplomb.ErrNotFound) {
		t.Fatalf("Load: %v", err)
	}
	h := s.Head
	for range n {
		if h, err = j.Append(t.Context(), site, h, noteOf(h.N+1), writesOf(h.N+1)); err != nil {
			t.Fatalf("Append: %v", err)
		}
	}
	return h
}

func readAll(t testing.TB, l ledger.Ledger, site aplomb.SiteName, after int64) ([]ledger.Entry, error) {
	t.Helper()
	var all []ledger.Entry
	for e, err := range l.Entries(t.Context(), site, after) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

// checkWhole is the oracle: the site is sound, its chain holds facts 1 to its head without a gap, each is the one that
// was appended as that n, and the records are what the facts add up to. It returns the head.
func checkWhole(t testing.TB, j *Journal, site aplomb.SiteName) aplomb.Head {
	t.Helper()
	s, err := j.Load(t.Context(), site)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	all, err := readAll(t, j, site, 0)
	if err != nil {
		t.Fatalf("Entries: %v", err)
	}
	records, head := map[string]json.RawMessage{}, aplomb.Head{}
	for i, e := range all {
		if err := e.Follows(site, head); err != nil {
			t.Fatalf("entry %d: %v", i+1, err)
		}
		if want := fmt.Sprintf("fact %d", i+1); e.Fact.Why != want {
			t.Fatalf("entry %d is %q, want %q", i+1, e.Fact.Why, want)
		}
		ledger.Apply(records, e.Writes)
		head = e.Head
	}
	if s.Head != head {
		t.Fatalf("head = %+v, the entries end at %+v", s.Head, head)
	}
	if fmt.Sprint(s.Records) != fmt.Sprint(records) {
		t.Fatalf("records = %s, the entries add up to %s", s.Records, records)
	}
	if n, verified, err := j.Verify(t.Context(), site); err != nil || n != head.N || verified != head {
		t.Fatalf("Verify = %d, %+v, %v, want %d, %+v", n, verified, err, head.N, head)
	}
	return head
}

// segmentsOf lists a site's segment files, oldest first.
func segmentsOf(t testing.TB, dir string, site aplomb.SiteName) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, string(site), "*"+segmentEnd))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no segments of %s: %v", site, err)
	}
	return paths
}

func TestJournalKeepsThePromises(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{"default": {}, "small": small, "tiny": {SegmentBytes: 1, Recent: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newStore := func(t *testing.T) ledgertest.Open {
				dir := filepath.Join(t.TempDir(), "a", "journal")
				return func(t *testing.T) ledger.Ledger {
					j, err := Open(quiet(), dir, cfg)
					if err != nil {
						t.Fatalf("Open: %v", err)
					}
					return j
				}
			}
			ledgertest.Run(t, func(t *testing.T) ledger.Ledger { return newStore(t)(t) })
			ledgertest.RunDurable(t, newStore)
		})
	}
}

func TestSegmentsBoundWhatIsReadAtAStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, small)
	add(t, j, "shop", 23)
	segs := segmentsOf(t, dir, "shop")
	if len(segs) != 5 {
		t.Fatalf("segments = %v, want 5", segs)
	}
	for i, path := range segs {
		if want := segmentName(int64(5*i + 1)); filepath.Base(path) != want {
			t.Errorf("segment %d = %s, want %s", i, path, want)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(b), `{"snapshot":true,`) {
			t.Errorf("segment %s begins with %.40s", path, b)
		}
	}
	checkWhole(t, j, "shop")
	checkWhole(t, mustOpen(t, dir, small), "shop")
}

func TestAtReturnsTheHeadAfterAnyFact(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, small)
	var heads []aplomb.Head
	for range 17 {
		heads = append(heads, add(t, j, "shop", 1))
	}
	for _, j := range []*Journal{j, mustOpen(t, dir, small)} {
		for i, want := range heads {
			if got, err := j.At("shop", int64(i+1)); err != nil || got != want {
				t.Errorf("At(%d) = %+v, %v, want %+v", i+1, got, err, want)
			}
		}
		for _, n := range []int64{0, 18, 100} {
			if _, err := j.At("shop", n); !errors.Is(err, aplomb.ErrNotFound) {
				t.Errorf("At(%d) = %v, want ErrNotFound", n, err)
			}
		}
	}
}

func TestDegradedSiteIsReadAndNotWritten(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), small)
	head := add(t, j, "shop", 7)
	add(t, j, "blog", 1)
	j.Degrade("shop", errors.New("the edge has fact 9"))
	_, err := j.Append(t.Context(), "shop", head, noteOf(8), nil)
	if !errors.Is(err, aplomb.ErrDegraded) || !strings.Contains(err.Error(), "the edge has fact 9") {
		t.Errorf("Append = %v, want ErrDegraded with the reason", err)
	}
	s, err := j.Load(t.Context(), "shop")
	if !errors.Is(err, aplomb.ErrDegraded) || s.Head != head {
		t.Errorf("Load = %+v, %v, want the head and ErrDegraded", s.Head, err)
	}
	if all, err := readAll(t, j, "shop", 0); err != nil || len(all) != 7 {
		t.Errorf("Entries = %d, %v, want all 7", len(all), err)
	}
	if got := j.Degraded(); len(got) != 1 || !errors.Is(got["shop"], aplomb.ErrDegraded) {
		t.Errorf("Degraded = %v, want shop alone", got)
	}
	add(t, j, "blog", 1)
}

func TestSiteTheJournalLostIsDegradedAndNotNew(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), small)
	j.Degrade("shop", errors.New("the edge has fact 9, the ledger has none"))
	if _, err := j.Append(t.Context(), "shop", aplomb.Head{}, noteOf(1), nil); !errors.Is(err, aplomb.ErrDegraded) {
		t.Errorf("Append = %v, want ErrDegraded", err)
	}
	if sites, err := j.Sites(t.Context()); err != nil || len(sites) != 1 {
		t.Errorf("Sites = %v, %v, want shop", sites, err)
	}
}
