package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"aplomb"
)

// copyCut writes a cut's segments where a journal in dir has them.
func copyCut(t *testing.T, c *Cut, dir string, site aplomb.SiteName) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, string(site)), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Segments {
		b, err := io.ReadAll(s.Reader())
		if err != nil || int64(len(b)) != s.Size {
			t.Fatalf("segment %s has %d bytes, %v, want %d", s.Name, len(b), err, s.Size)
		}
		if err := os.WriteFile(filepath.Join(dir, string(site), s.Name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACutIsOneMomentOfAChainThatGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, filepath.Join(dir, "journal"), small)
	add(t, j, "shop", 3)
	var writer sync.WaitGroup
	writer.Go(func() { add(t, j, "shop", 60) })
	var cuts []*Cut
	for range 20 {
		c, err := j.Cut(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, c)
	}
	writer.Wait()
	if _, err := j.SetAside(t.Context(), "shop"); err != nil { // a cut outlives its site
		t.Fatal(err)
	}
	for i, c := range cuts {
		to := filepath.Join(dir, fmt.Sprint("copy", i))
		copyCut(t, c, to, "shop")
		copied := mustOpen(t, to, small)
		n, head, err := copied.Verify(t.Context(), "shop")
		if err != nil || head != c.Head || n != head.N {
			t.Errorf("cut %d at n %d: its copy has %d facts up to %d, %v", i, c.Head.N, n, head.N, err)
		}
		if len(copied.Torn()) > 0 {
			t.Errorf("cut %d ends in a part of a line: %+v", i, copied.Torn())
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func TestADegradedSiteIsNotCut(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), small)
	add(t, j, "shop", 3)
	j.Degrade("shop", fmt.Errorf("behind: %w", aplomb.ErrDegraded))
	if _, err := j.Cut(t.Context(), "shop"); !errors.Is(err, aplomb.ErrDegraded) {
		t.Errorf("Cut = %v, want degraded", err)
	}
	if _, err := j.Cut(t.Context(), "blog"); !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("Cut of an unknown site = %v, want not found", err)
	}
}
