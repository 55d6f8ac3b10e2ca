package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"aplomb"
)

var errFault = errors.New("made to fail")

// how a step fails.
const (
	lost     = "lost"     // not done, and reported
	reported = "reported" // done, but reported as failed
	partly   = "partly"   // a write that stops in the middle
	full     = "full"     // a write that stops in the middle of a full disk
)

// faults fails the step-th durable step in one way, and every later one too when dead: the process does nothing more.
type faults struct {
	mu    sync.Mutex
	step  int // 0: none fails
	how   string
	dead  bool
	count int
	log   []string
	after func(step) // sees each step that was done
}

func (f *faults) take(s step) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	f.log = append(f.log, s.act+" "+filepath.Base(s.path))
	if f.dead && f.step > 0 && f.count > f.step {
		return errFault
	}
	if f.count != f.step {
		err := s.do()
		if err == nil && f.after != nil {
			f.after(s)
		}
		return err
	}
	switch {
	case f.how == reported:
		if err := s.do(); err != nil {
			return err
		}
		if f.after != nil {
			f.after(s)
		}
	case (f.how == partly || f.how == full) && s.act == "write":
		if _, err := s.file.WriteAt(s.bytes[:len(s.bytes)/2], s.at); err != nil {
			return err
		}
	}
	if f.how == full {
		return fmt.Errorf("%w: %w", errFault, syscall.ENOSPC)
	}
	return errFault
}

func (f *faults) steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// run appends until n facts are acknowledged or an append fails, and returns the head it was told last.
func run(t *testing.T, j *Journal, n int64) (aplomb.Head, error) {
	t.Helper()
	var h aplomb.Head
	s, err := j.Load(t.Context(), "shop")
	if err == nil {
		h = s.Head
	} else if !errors.Is(err, aplomb.ErrNotFound) {
		return h, err
	}
	for h.N < n {
		next, err := j.Append(t.Context(), "shop", h, noteOf(h.N+1), writesOf(h.N+1))
		if err != nil {
			return h, err
		}
		h = next
	}
	return h, nil
}

// faultRun is long enough to make a site, to extend a segment, and to rotate.
const faultRun = 7

func countSteps(t *testing.T) (int, []string) {
	t.Helper()
	f := &faults{}
	j, err := open(quiet(), t.TempDir(), Config{SegmentFacts: 3, Recent: 2}, disk{fault: f.take})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := run(t, j, faultRun); err != nil {
		t.Fatal(err)
	}
	return f.steps(), f.log
}

func TestFailedDurableStepIsTakenBackAndLosesNothing(t *testing.T) {
	t.Parallel()
	steps, log := countSteps(t)
	if !slices.ContainsFunc(log, func(s string) bool { return strings.HasPrefix(s, "rename") }) {
		t.Fatalf("the run does not rotate: %v", log)
	}
	for _, how := range []string{lost, reported, partly, full} {
		for step := 1; step <= steps; step++ {
			t.Run(fmt.Sprintf("%s/%d_%s", how, step, log[step-1]), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				f := &faults{step: step, how: how}
				j, err := open(quiet(), dir, Config{SegmentFacts: 3, Recent: 2}, disk{fault: f.take})
				if err != nil {
					t.Fatal(err)
				}
				defer j.Close()
				acked, err := run(t, j, faultRun)
				if err == nil && acked.N < faultRun {
					t.Fatalf("stopped at %d without an error", acked.N)
				}
				if err != nil {
					if how == full != errors.Is(err, aplomb.ErrNoSpace) {
						t.Errorf("Append failed with %v", err)
					}
					if acked.N > 0 {
						if got := checkWhole(t, j, "shop"); got != acked {
							t.Fatalf("head after a write that was taken back = %+v, want %+v", got, acked)
						}
					}
					if _, err := run(t, j, faultRun); err != nil {
						t.Fatalf("after the fault: %v", err)
					}
				}
				checkWhole(t, j, "shop")
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
				again := mustOpen(t, dir, small)
				if got := checkWhole(t, again, "shop"); got.N != faultRun {
					t.Errorf("after reopening: n %d, want %d", got.N, faultRun)
				}
			})
		}
	}
}

func TestProcessThatStopsAtAnyStepLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	steps, log := countSteps(t)
	for _, how := range []string{lost, reported, partly} {
		for step := 1; step <= steps; step++ {
			t.Run(fmt.Sprintf("%s/%d_%s", how, step, log[step-1]), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				f := &faults{step: step, how: how, dead: true}
				j, err := open(quiet(), dir, Config{SegmentFacts: 3, Recent: 2}, disk{fault: f.take})
				if err != nil {
					t.Fatal(err)
				}
				acked, err := run(t, j, faultRun)
				if err == nil {
					t.Fatal("no append failed")
				}
				s, err := j.Load(t.Context(), "shop")
				if acked.N > 0 && s.Head != acked {
					t.Errorf("head in the stopped process = %+v, want %+v", s.Head, acked)
				}
				if errors.Is(err, aplomb.ErrDegraded) {
					if _, err := j.Append(t.Context(), "shop", acked, noteOf(1), nil); !errors.Is(err, aplomb.ErrDegraded) {
						t.Errorf("Append while the last write is uncertain = %v, want ErrDegraded", err)
					}
				}
				j.Close()
				afterCrash(t, dir, acked)
			})
		}
	}
}

// afterCrash opens a folder after a crash: the acknowledged facts are there, at most one more is, and it goes on.
func afterCrash(t *testing.T, dir string, acked aplomb.Head) {
	t.Helper()
	j := mustOpen(t, dir, Config{SegmentFacts: 3, Recent: 2})
	if got := j.Degraded(); len(got) > 0 {
		t.Fatalf("degraded after a crash: %v", got)
	}
	var head aplomb.Head
	if _, err := j.Load(t.Context(), "shop"); !errors.Is(err, aplomb.ErrNotFound) {
		head = checkWhole(t, j, "shop")
	}
	if head.N < acked.N || head.N > acked.N+1 {
		t.Fatalf("n after the crash = %d, acknowledged were %d", head.N, acked.N)
	}
	if acked.N > 0 {
		if at, err := j.At("shop", acked.N); err != nil || at != acked {
			t.Fatalf("At(%d) = %+v, %v, want %+v", acked.N, at, err, acked)
		}
	}
	if _, err := run(t, j, head.N+4); err != nil {
		t.Fatalf("after the crash: %v", err)
	}
	checkWhole(t, j, "shop")
}

// shadow is what a disk is sure to hold when the power goes: of each file the bytes of its last sync, of each folder
// the names of its last sync.
type shadow struct {
	root    uint64
	files   map[uint64][]byte
	folders map[uint64]map[string]uint64
}

func inode(t *testing.T, path string) uint64 {
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func newShadow(t *testing.T, root string) *shadow {
	return &shadow{root: inode(t, root), files: map[uint64][]byte{}, folders: map[uint64]map[string]uint64{}}
}

// seen returns what keeps the shadow: it is told each step that was done.
func (s *shadow) seen(t *testing.T) func(step) {
	return func(st step) { s.see(t, st) }
}

func (s *shadow) see(t *testing.T, st step) {
	switch st.act {
	case "sync":
		info, err := st.file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, info.Size())
		if _, err := st.file.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		s.files[info.Sys().(*syscall.Stat_t).Ino] = b
	case "sync folder":
		names := map[string]uint64{}
		found, err := os.ReadDir(st.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			names[f.Name()] = inode(t, filepath.Join(st.path, f.Name()))
		}
		s.folders[inode(t, st.path)] = names
	}
}

// restore writes what the disk holds after the power cut into an empty folder.
func (s *shadow) restore(t *testing.T, ino uint64, to string) {
	for name, child := range s.folders[ino] {
		path := filepath.Join(to, name)
		if b, ok := s.files[child]; ok {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		s.restore(t, child, path)
	}
}

func TestPowerCutAtAnyStepLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	steps, log := countSteps(t)
	for step := 1; step <= steps; step++ {
		t.Run(fmt.Sprintf("%d_%s", step, log[step-1]), func(t *testing.T) {
			t.Parallel()
			dir, after := t.TempDir(), t.TempDir()
			sh := newShadow(t, dir)
			f := &faults{step: step, how: lost, dead: true, after: sh.seen(t)}
			j, err := open(quiet(), dir, Config{SegmentFacts: 3, Recent: 2}, disk{fault: f.take})
			if err != nil {
				t.Fatal(err)
			}
			acked, err := run(t, j, faultRun)
			if err == nil {
				t.Fatal("no append failed")
			}
			j.Close()
			sh.restore(t, sh.root, after)
			afterCrash(t, after, acked)
		})
	}
}

func TestAnotherProgramThatTouchesTheFileIsFound(t *testing.T) {
	t.Parallel()
	for name, touch := range map[string]func(path string) error{
		"cut":     func(path string) error { return os.Truncate(path, 100) },
		"removed": os.Remove,
		"replaced": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(path+"~", b, 0o600), os.Rename(path+"~", path))
		},
		"extended": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("\n")
			return errors.Join(err, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := mustOpen(t, dir, Config{})
			head := add(t, j, "shop", 3)
			if err := touch(segmentsOf(t, dir, "shop")[0]); err != nil {
				t.Fatal(err)
			}
			_, err := j.Append(t.Context(), "shop", head, noteOf(4), nil)
			if !errors.Is(err, aplomb.ErrDegraded) || !strings.Contains(err.Error(), segmentName(1)) {
				t.Errorf("Append = %v, want ErrDegraded naming the file", err)
			}
		})
	}
}

func TestFullDiskDoesNotStopALineForWantOfASnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := disk{fault: func(s step) error {
		if s.act == "create" && strings.HasSuffix(s.path, newEnd) {
			return syscall.ENOSPC
		}
		return s.do()
	}}
	j, err := open(quiet(), dir, Config{SegmentFacts: 3, Recent: 2}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := run(t, j, 10); err != nil {
		t.Fatal(err)
	}
	if segs := segmentsOf(t, dir, "shop"); len(segs) != 1 {
		t.Errorf("segments = %v, want one that grows on", segs)
	}
	checkWhole(t, j, "shop")
}
