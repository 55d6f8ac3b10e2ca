package edge

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"aplomb"
)

func TestRestartServesWhatWasServedLast(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	r1, r2 := w.release(1, content{"/index.html": "one", "/assets/a-abcd1234.js": "a"}), w.release(2, content{"/index.html": "two"})
	e := w.edge(dir)
	w.perform(e, intent(route(1, r1)))
	w.perform(e, intent(route(2, r2, r1)))
	back := route(2, r1, r2)
	back.Unrecorded, back.UnrecordedBy, back.UnrecordedWhy = true, "kim", "white screen"
	w.perform(e, urgent(back))
	again := w.edge(dir)
	if d := again.Damaged(); len(d) != 0 {
		t.Errorf("damaged: %v", d)
	}
	got := again.Routes()
	if len(got) != 1 || !sameRoute(got[0], back) || got[0].Head != back.Head || got[0].UnrecordedBy != "kim" || got[0].UnrecordedWhy != "white screen" {
		t.Errorf("routes after restart: %+v, want %+v", got, back)
	}
	if got := bodyOf(t, get(again, "/")); got != "one" {
		t.Errorf("serves %q, want one", got)
	}
}

func TestAnyChangedByteOfAStateFileIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, err := encodeState(route(7, w.release(2, content{"/index.html": "two"}), w.release(1, content{"/index.html": "one"})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeState(b, "shop"); err != nil {
		t.Fatalf("whole file: %v", err)
	}
	for i := range b {
		for _, bit := range []byte{0x01, 0x20, 0x80} {
			bad := bytes.Clone(b)
			bad[i] ^= bit
			if _, err := decodeState(bad, "shop"); err == nil {
				t.Fatalf("bit %#x of byte %d (%q) flipped: not noticed", bit, i, b[i])
			}
		}
		if _, err := decodeState(b[:i], "shop"); err == nil {
			t.Fatalf("cut after %d bytes: not noticed", i)
		}
	}
	if _, err := decodeState(b, "other"); err == nil {
		t.Error("file of another site: not noticed")
	}
}

func TestDamagedStateIsNamedAndTheOneBeforeServed(t *testing.T) {
	t.Parallel()
	damages := map[string]func(t *testing.T, file string){
		"torn":    func(t *testing.T, f string) { change(t, f, func(b []byte) []byte { return b[:len(b)/2] }) },
		"zeroed":  func(t *testing.T, f string) { change(t, f, func(b []byte) []byte { return make([]byte, len(b)) }) },
		"empty":   func(t *testing.T, f string) { change(t, f, func([]byte) []byte { return nil }) },
		"flipped": func(t *testing.T, f string) { change(t, f, func(b []byte) []byte { b[len(b)/2] ^= 4; return b }) },
		"gone": func(t *testing.T, f string) {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(t), t.TempDir()
			r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
			e := w.edge(dir)
			w.perform(e, intent(route(1, r1)))
			w.perform(e, intent(route(2, r2, r1)))
			damage(t, filepath.Join(dir, "shop.json"))

			again := w.edge(dir)
			checkDamaged(t, again, "shop.json")
			if got := bodyOf(t, get(again, "/")); got != "one" {
				t.Errorf("serves %q, want the one before", got)
			}
			w.perform(again, intent(route(3, r2, r1)))
			damage(t, filepath.Join(dir, "shop.json"))
			damage(t, filepath.Join(dir, "shop.json.1"))
			if name == "gone" {
				return
			}
			last := w.edge(dir)
			checkDamaged(t, last, "shop.json", "shop.json.1")
			if got := get(last, "/").StatusCode; got != 421 {
				t.Errorf("both damaged: status %d, want 421", got)
			}
		})
	}
}

func TestDamagedFileIsSetAsideNotKeptAsTheOneBefore(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
	e := w.edge(dir)
	w.perform(e, intent(route(1, r1)))
	w.perform(e, intent(route(2, r2, r1)))
	main := filepath.Join(dir, "shop.json")
	change(t, main, func(b []byte) []byte { return b[:10] })
	w.perform(e, intent(route(3, r1, r2)))
	if r, err := readState(filepath.Join(dir, "shop.json.1"), "shop"); err != nil || r.Live != "r1" {
		t.Errorf("the one before: %v, %v; want r1 whole", r.Live, err)
	}
	if _, err := os.Stat(main + ".damaged"); err != nil {
		t.Errorf("damaged file not set aside: %v", err)
	}
}

func TestUnreadableManifestIsNamedAndTheRestServed(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	r1, r2 := w.release(1, content{"/index.html": "one", "/assets/one-abcd1234.js": "1"}), w.release(2, content{"/index.html": "two", "/assets/two-abcd1234.js": "2"})
	w.perform(w.edge(dir), intent(route(2, r2, r1)))
	w.blobs.damage(r1.Manifest, aplomb.ErrDamaged)
	e := w.edge(dir)
	checkDamaged(t, e, "r1 of shop")
	if got := bodyOf(t, get(e, "/")); got != "two" {
		t.Errorf("serves %q, want two", got)
	}
	w.blobs.damage(r1.Manifest, nil)
	w.blobs.damage(r2.Manifest, aplomb.ErrNotFound)
	e = w.edge(dir)
	checkDamaged(t, e, "r2 of shop")
	if resp := get(e, "/"); resp.StatusCode != 500 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("live manifest gone: %d %s, want 500 no-store", resp.StatusCode, resp.Header.Get("Cache-Control"))
	}
	if got := bodyOf(t, get(e, "/assets/one-abcd1234.js")); got != "1" {
		t.Errorf("kept asset: %q, want 1", got)
	}
	if got := e.Routes(); len(got) != 1 || got[0].Live != "r2" {
		t.Errorf("routes %v: the site has vanished", got)
	}
	w.perform(e, urgent(route(3, r1, r2)))
	if got := bodyOf(t, get(e, "/")); got != "one" {
		t.Errorf("after going back: %q, want one", got)
	}
}

func checkDamaged(t *testing.T, e *Edge, want ...string) {
	t.Helper()
	got := e.Damaged()
	if len(got) != len(want) {
		t.Fatalf("damaged: %q, want %d", got, len(want))
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("damaged: %q does not name %s", got[i], want[i])
		}
	}
}

func change(t *testing.T, file string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// faults fails the n-th durable operation: lost, or done and reported lost.
type faults struct {
	at    int
	doIt  bool
	err   error
	count int
	op    string
}

func (f *faults) try(op string, act func() error) error {
	f.count++
	if f.count != f.at {
		return act()
	}
	f.op = op
	if f.doIt {
		if err := act(); err != nil {
			return err
		}
	}
	return f.err
}

var errDisk = errors.New("input/output error")

func TestEachDurableWriteFailedBothWays(t *testing.T) {
	t.Parallel()
	operations := 0
	for n := 1; ; n++ {
		for _, doIt := range []bool{false, true} {
			for _, isUrgent := range []bool{false, true} {
				f := &faults{at: n, doIt: doIt, err: errDisk}
				checkFaultySwitch(t, f, isUrgent)
				if f.op == "" {
					if operations = n - 1; operations < 7 {
						t.Errorf("a switch has only %d durable operations", operations)
					}
					return
				}
			}
		}
	}
}

// checkFaultySwitch moves from r1 to r2 with one fault and checks the whole state after each step.
func checkFaultySwitch(t *testing.T, f *faults, isUrgent bool) {
	t.Helper()
	w, dir := newWorld(t), t.TempDir()
	r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
	before, after := route(2, r1), route(3, r2, r1)
	e := w.edge(dir)
	w.perform(e, intent(route(1, r1)))
	w.perform(e, intent(before))

	e.state.try = f.try
	in := intent(after)
	in.Urgent = isUrgent
	ev, err := e.Perform(t.Context(), in)
	e.state.try = newStateDir(dir).try
	what := fmt.Sprintf("%s (done: %v, urgent: %v)", f.op, f.doIt, isUrgent)
	switch {
	case f.op == "":
		if err != nil || ev.Unsaved {
			t.Errorf("no fault: %v, unsaved %v", err, ev.Unsaved)
		}
		checkWhole(t, w, e, dir, "no fault", after, after)
	case isUrgent:
		if err != nil || !ev.Unsaved {
			t.Errorf("%s: %v, unsaved %v; want moved and said", what, err, ev.Unsaved)
		}
		checkWhole(t, w, e, dir, what, after, before, after)
	default:
		if !errors.Is(err, errDisk) {
			t.Errorf("%s: %v, want the disk's error", what, err)
		}
		checkWhole(t, w, e, dir, what, before, before, after)
	}
	if !e.saveAgain() {
		t.Errorf("%s: not saved when the disk works again", what)
	}
	served := e.Routes()[0]
	checkWhole(t, w, e, dir, what+", saved again", served, served)
}

// checkWhole is the oracle: the edge serves exactly one route, and a restart serves that or one of the others, whole.
func checkWhole(t *testing.T, w *world, e *Edge, dir, what string, served aplomb.Route, restart ...aplomb.Route) {
	t.Helper()
	bodies := map[aplomb.ReleaseID]string{"r1": "one", "r2": "two"}
	if got := e.Routes(); len(got) != 1 || !sameRoute(got[0], served) || got[0].Head != served.Head {
		t.Errorf("%s: serves %v, want %v", what, got, served)
	}
	if got := bodyOf(t, get(e, "/")); got != bodies[served.Live] {
		t.Errorf("%s: answers %q, want %q", what, got, bodies[served.Live])
	}
	again := w.edge(dir)
	if d := again.Damaged(); len(d) != 0 {
		t.Errorf("%s: restart finds damage: %q", what, d)
	}
	got := again.Routes()
	if len(got) != 1 {
		t.Errorf("%s: restart serves %v", what, got)
		return
	}
	for _, r := range restart {
		if got[0].Head == r.Head && sameRoute(got[0], r) && bodyOf(t, get(again, "/")) == bodies[r.Live] {
			return
		}
	}
	t.Errorf("%s: restart serves %s as of n %d", what, got[0].Live, got[0].Head.N)
}

func TestUrgentSwitchOnAFullDiskUsesTheReserve(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
	freed := 0
	full := &faults{at: 2, err: &os.PathError{Op: "write", Path: "state", Err: syscall.ENOSPC}}
	e, err := open(w.lg, Config{StateDir: dir, Blobs: w.blobs, FreeReserve: func() error { freed++; return nil }}, newStateDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	w.perform(e, intent(route(1, r2, r1)))
	e.state.try = full.try
	if ev := w.perform(e, urgent(route(2, r1, r2))); ev.Unsaved || freed != 1 {
		t.Errorf("unsaved %v, reserve freed %d times; want saved with the reserve", ev.Unsaved, freed)
	}
	*full = faults{at: 2, err: syscall.ENOSPC}
	if ev, err := e.Perform(t.Context(), intent(route(3, r2, r1))); err != nil || ev.Unsaved || freed != 1 {
		t.Errorf("not urgent, with a file before: %v, unsaved %v, reserve freed %d times; want that file's room used and the reserve kept", err, ev.Unsaved, freed)
	}
	e.state.try = func(op string, act func() error) error {
		if op == "write" {
			return syscall.ENOSPC
		}
		return act()
	}
	if _, err := e.Perform(t.Context(), intent(route(4, r1, r2))); !errors.Is(err, aplomb.ErrNoSpace) || freed != 1 {
		t.Errorf("not urgent: %v, reserve freed %d times; want no space and the reserve kept", err, freed)
	}
	if got := bodyOf(t, get(e, "/")); got != "two" {
		t.Errorf("serves %q, want two", got)
	}
}

func TestRefusedFirstReleaseOfASiteIsNotServedAfterARestart(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	e := w.edge(dir)
	f := &faults{at: 5, doIt: true, err: errDisk}
	e.state.try = f.try
	if _, err := e.Perform(t.Context(), intent(route(1, w.release(1, content{"/index.html": "one"})))); err == nil {
		t.Fatalf("fault at %q did not fail the switch", f.op)
	}
	e.state.try = newStateDir(dir).try
	if !e.saveAgain() || len(e.Routes()) != 0 || len(w.edge(dir).Routes()) != 0 {
		t.Errorf("served: %v, after restart: %v; want nothing", e.Routes(), w.edge(dir).Routes())
	}
}
