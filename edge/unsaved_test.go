package edge

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"aplomb"
)

// makeNewer makes a state file one of a version to come.
func makeNewer(t *testing.T, file string) {
	t.Helper()
	change(t, file, func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1`), []byte(`"version":2`), 1) })
}

func TestFileOfANewerVersionIsSaidAndNeverReplaced(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
	e := w.edge(dir)
	w.perform(e, intent(route(1, r1)))
	w.perform(e, intent(route(2, r2, r1)))
	main := filepath.Join(dir, "shop.json")
	makeNewer(t, main)
	before := read(t, main)

	e = w.edge(dir)
	if got := bodyOf(t, get(e, "/")); got != "one" {
		t.Errorf("serves %q, want the file before, one", got)
	}
	if why := e.Unsaved()["shop"]; !errors.Is(why, errNewer) || len(e.Damaged()) != 0 {
		t.Errorf("unsaved: %v, damaged: %v; want it called newer, and not damaged", why, e.Damaged())
	}
	if ev := w.perform(e, urgent(route(3, r2, r1))); !ev.Unsaved {
		t.Error("an urgent switch does not say that it is not saved")
	}
	if _, err := e.Perform(t.Context(), intent(route(4, r1, r2))); !errors.Is(err, errNewer) {
		t.Errorf("a switch that is not urgent: %v, want it refused", err)
	}
	if e.saveAgain() || !bytes.Equal(read(t, main), before) {
		t.Error("the file of the newer version was replaced")
	}
	if err := os.Remove(main); err != nil {
		t.Fatal(err)
	}
	if !e.saveAgain() || len(e.Unsaved()) != 0 || w.edge(dir).Routes()[0].Head.N != 3 {
		t.Errorf("with that file moved away: unsaved %v; want what is served saved", e.Unsaved())
	}
}

func TestFileOfANewerVersionAloneIsNotTakenForARefusedRoute(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	r1 := w.release(1, content{"/index.html": "one"})
	w.perform(w.edge(dir), intent(route(1, r1)))
	main := filepath.Join(dir, "shop.json")
	makeNewer(t, main)
	e := w.edge(dir)
	if e.saveAgain() || len(e.Routes()) != 0 {
		t.Errorf("routes %v: want none, and the file blocked", e.Routes())
	}
	if _, err := e.Perform(t.Context(), intent(route(2, r1))); !errors.Is(err, errNewer) {
		t.Errorf("a first switch: %v, want it refused", err)
	}
	if e.saveAgain() || e.Unsaved()["shop"] == nil {
		t.Error("the site counts as saved")
	}
	read(t, main)
}

func TestRefusedRouteIsOffTheDiskBeforeTheRefusalIsSaid(t *testing.T) {
	t.Parallel()
	for _, served := range []bool{false, true} {
		refused := 0
		for n, left := 1, true; left; n++ {
			f := &faults{at: n, doIt: true, err: errDisk}
			if checkRefused(t, f, served) {
				refused++
			}
			left = f.op != ""
		}
		if refused < 5 {
			t.Errorf("served before: %v: only %d of the operations refused the switch", served, refused)
		}
	}
}

// checkRefused lets one operation of a switch be done and reported lost, and looks at what a crash right after would serve.
// It reports whether the switch was refused.
func checkRefused(t *testing.T, f *faults, served bool) bool {
	t.Helper()
	w, dir := newWorld(t), t.TempDir()
	r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
	e := w.edge(dir)
	want := 0
	if served {
		w.perform(e, intent(route(1, r1)))
		want = 1
	}
	e.state.try = f.try
	if _, err := e.Perform(t.Context(), intent(route(2, r2, r1))); err == nil {
		return false
	}
	after := w.edge(dir).Routes()
	if len(after) != want || want == 1 && after[0].Live != "r1" {
		t.Errorf("fault at %q: a restart serves %v, want what was served before", f.op, after)
	}
	if len(e.Unsaved()) != 0 {
		t.Errorf("fault at %q: unsaved %v, though the disk holds what is served", f.op, e.Unsaved())
	}
	return true
}

func TestFullDiskThatRefusesADeployLeavesTheStateSaved(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
	e := w.edge(dir)
	w.perform(e, intent(route(1, r1)))
	e.state.try = func(op string, act func() error) error {
		if op == "write" {
			return aplomb.ErrNoSpace
		}
		return act()
	}
	if _, err := e.Perform(t.Context(), intent(route(2, r2, r1))); !errors.Is(err, aplomb.ErrNoSpace) {
		t.Fatalf("Perform: %v, want no space", err)
	}
	if got := e.Unsaved(); len(got) != 0 {
		t.Errorf("unsaved: %v, though nothing on the disk has changed", got)
	}
}

func TestWhoAsksWhatIsUnsavedNeverWaitsForASwitch(t *testing.T) {
	t.Parallel()
	e := newWorld(t).edge(t.TempDir())
	e.mu.Lock() // as a switch holds it
	defer e.mu.Unlock()
	if got := e.Unsaved(); len(got) != 0 {
		t.Errorf("unsaved: %v", got)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
