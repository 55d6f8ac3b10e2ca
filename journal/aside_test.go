package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"aplomb"
)

func TestAChainSetAsideStaysReadableAndIsNotFoundAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, small)
	add(t, j, "shop", 12)
	add(t, j, "blog", 2)
	aside, err := j.SetAside(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	add(t, j, "shop", 1)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, dir, small)
	if head := checkWhole(t, again, "shop"); head.N != 1 {
		t.Errorf("the chain that began anew ends at n %d, want 1", head.N)
	}
	if names, err := again.Sites(t.Context()); err != nil || len(names) != 2 {
		t.Errorf("sites = %v, %v, want blog and shop", names, err)
	}
	// Put under a name of its own elsewhere, it is the chain that it was.
	other := t.TempDir()
	if err := os.CopyFS(filepath.Join(other, "shop"), os.DirFS(aside)); err != nil {
		t.Fatal(err)
	}
	if head := checkWhole(t, mustOpen(t, other, small), "shop"); head.N != 12 {
		t.Errorf("the chain set aside ends at n %d, want 12", head.N)
	}
}

// TestSettingAsideIsDoneOrNot: whichever step of it fails, lost or done and reported lost, it can be asked for again.
func TestSettingAsideIsDoneOrNot(t *testing.T) {
	t.Parallel()
	for _, act := range []string{"rename", "sync folder"} {
		for _, done := range []bool{false, true} {
			dir := t.TempDir()
			armed, met := false, false
			j, err := open(quiet(), dir, small, disk{fault: func(s step) error {
				if !armed || s.act != act {
					return s.do()
				}
				armed, met = false, true
				if done {
					if err := s.do(); err != nil {
						return err
					}
				}
				return errors.New("the disk says no")
			}})
			if err != nil {
				t.Fatal(err)
			}
			add(t, j, "shop", 3)
			armed = true
			if _, err := j.SetAside(t.Context(), "shop"); err == nil || !met {
				t.Fatalf("%s, done %v: no fault was met (%v)", act, done, err)
			}
			if _, err := j.SetAside(t.Context(), "shop"); err != nil {
				t.Errorf("%s, done %v: the second time: %v", act, done, err)
			}
			if _, err := j.Load(t.Context(), "shop"); !errors.Is(err, aplomb.ErrNotFound) {
				t.Errorf("%s, done %v: Load = %v", act, done, err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
			if names, err := mustOpen(t, dir, small).Sites(t.Context()); err != nil || len(names) != 0 {
				t.Errorf("%s, done %v: after a restart there are %v, %v", act, done, names, err)
			}
		}
	}
}
