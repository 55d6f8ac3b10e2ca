package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/ledger"
)

func recoveredFact() aplomb.Fact {
	return aplomb.Fact{At: time.Unix(1793714520, 0).UTC(), Kind: aplomb.FactRecovered, Actor: "anna", Why: "recovered"}
}

func recoveredWrites() []ledger.Write {
	return []ledger.Write{{Key: "state", Value: json.RawMessage(`{"recovered":true}`)}}
}

// rotten is a site whose newest segment has a damaged second fact of four: facts 11 to 14, of which 12 is bad.
func rotten(t testing.TB) (o original, dir string) {
	t.Helper()
	o = newOriginal(t, 14)
	name, _ := o.newest()
	b := bytes.Clone(o.files[name])
	lines := bytes.SplitAfter(b, []byte("\n"))
	b[len(lines[0])+len(lines[1])+40] ^= 1
	return o, o.copy(t, map[string][]byte{name: b})
}

// checkRecovered is the oracle after a recovery: the kept facts are the old ones, behind them stands the recovered one
// in a later epoch, the records are the kept ones with the recovery's on top, and the site takes facts, also after a
// restart.
func checkRecovered(t testing.TB, dir string, j *Journal, o original, kept int64, head aplomb.Head) {
	t.Helper()
	for range 2 {
		if got := j.Degraded(); len(got) > 0 {
			t.Fatalf("degraded after the recovery: %v", got)
		}
		s, err := j.Load(t.Context(), "shop")
		if err != nil {
			t.Fatalf("Load: %v", err)
		}
		if s.Head.Before(head) || string(s.Records["state"]) != `{"recovered":true}` {
			t.Fatalf("head = %+v, state = %s, want %+v at least, and the recovery's state", s.Head, s.Records["state"], head)
		}
		all, err := readAll(t, j, "shop", 0)
		if err != nil {
			t.Fatalf("Entries: %v", err)
		}
		for i := range kept {
			if all[i].Head != o.entries[i].Head {
				t.Fatalf("entry %d = %+v, was %+v", i+1, all[i].Head, o.entries[i].Head)
			}
		}
		if e := all[kept]; e.Fact.Kind != aplomb.FactRecovered || e.Head != head || head.Epoch < 2 {
			t.Fatalf("entry after the kept ones = %+v, want the recovery at %+v", e, head)
		}
		if n, got, err := j.Verify(t.Context(), "shop"); err != nil || n != int64(len(all)) || got != s.Head {
			t.Fatalf("Verify = %d, %+v, %v, want %d, %+v", n, got, err, len(all), s.Head)
		}
		h := s.Head
		for range 7 {
			if h, err = j.Append(t.Context(), "shop", h, noteOf(h.N+1), nil); err != nil {
				t.Fatalf("Append after the recovery: %v", err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = mustOpen(t, dir, small)
	}
}

func TestRecoverKeepsWhatIsWholeAndNamesWhatIsLost(t *testing.T) {
	t.Parallel()
	o, dir := rotten(t)
	j := mustOpen(t, dir, small)
	seen := make(chan ledger.Entry, 20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	following := make(chan error, 1)
	go func() {
		defer close(seen)
		for e, err := range j.Follow(ctx, "shop", 9) {
			if err != nil {
				following <- err
				return
			}
			seen <- e
		}
		following <- nil
	}()
	if e := <-seen; e.Head.N != 10 {
		t.Errorf("first followed entry = %d, want 10", e.Head.N)
	}
	if e := <-seen; e.Head.N != 11 {
		t.Errorf("second followed entry = %d, want 11", e.Head.N)
	}
	aside, lost, head, err := j.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites())
	if err != nil {
		t.Fatalf("Recover: %v", err)
	}
	if head.N != 15 || head.Epoch != 2 {
		t.Errorf("head = %+v, want 2.15", head)
	}
	if e := <-seen; e.Head != head {
		t.Errorf("followed entry = %+v, want the recovery %+v", e.Head, head)
	}
	cancel()
	if err := <-following; err != nil {
		t.Errorf("Follow: %v", err)
	}
	name, _ := o.newest()
	for _, want := range []string{"facts 12 to 14", "2 of 3", name, "damaged at byte"} {
		if !strings.Contains(lost, want) {
			t.Errorf("lost = %q, want it to name %q", lost, want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(aside, name)); err != nil || len(b) != len(o.files[name]) {
		t.Errorf("set aside: %d bytes, %v, want the damaged file as it was", len(b), err)
	}
	if !strings.HasPrefix(aside, filepath.Join(dir, "shop"+damagedEnd)) {
		t.Errorf("aside = %s", aside)
	}
	checkRecovered(t, dir, j, o, 11, head)
}

// TestGarbageBehindTheChainIsNotCountedAsLostFacts: what is said to be lost was a fact, or may have been one.
func TestGarbageBehindTheChainIsNotCountedAsLostFacts(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 14)
	name, _ := o.newest()
	good := o.files[name]
	lines := bytes.SplitAfter(good, []byte("\n"))
	cut := len(lines[len(lines)-2]) // of the last fact
	rotted := bytes.Clone(lines[len(lines)-2])
	rotted[20] ^= 1
	for _, c := range []struct {
		name, end string
		kept      int64 // facts of the original that stay
		n         int64 // of the recovery
		says      string
		not       string
	}{
		{"lines of garbage", "\x7fELF\x01\nmore\nand more\n", 14, 15, fmt.Sprintf("no fact that is known of; %s has 20 bytes from byte %d on that are no facts", name, len(good)), "fact 15"},
		{"a line of another file", "2026-11-24T10:00:00Z INFO started\n{}\n", 14, 15, "no fact that is known of; ", "can be read"},
		{"an old fact again", string(lines[1]), 14, 15, "no fact that is known of; ", "can be read"},
		{"a block without bytes", strings.Repeat("\x00", 4096) + "\nx\n", 14, 16, "perhaps fact 15, of which only damaged bytes are left", "no fact "},
		{"a fact that rotted", string(rotted) + "x\n", 14, 16, "perhaps fact 15", "no fact "},
		{"two facts in one line", strings.Repeat(strings.TrimSuffix(string(rotted), "\n"), 2) + "\nx\n", 14, 17, "perhaps facts 15 to 16", "no fact "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := o.copy(t, map[string][]byte{name: append(bytes.Clone(good), c.end...)})
			j := mustOpen(t, dir, small)
			_, lost, head, err := j.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites())
			if err != nil {
				t.Fatalf("Recover: %v", err)
			}
			if head.N != c.n || !strings.HasPrefix(lost, c.says) || strings.Contains(lost, c.not) {
				t.Errorf("Recover = n %d, lost %q\nwant n %d, %q and not %q", head.N, lost, c.n, c.says, c.not)
			}
			checkRecovered(t, dir, j, o, c.kept, head)
		})
	}
	t.Run("and the last fact cut", func(t *testing.T) {
		t.Parallel()
		b := append(bytes.Clone(good[:len(good)-cut]), "junk\njunk\n"...)
		dir := o.copy(t, map[string][]byte{name: b})
		j := mustOpen(t, dir, small)
		_, lost, head, err := j.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites())
		if err != nil || head.N != 15 || !strings.HasPrefix(lost, "fact 14 (0 of 1 can be read") {
			t.Fatalf("Recover = %+v, %q, %v, want fact 14 lost", head, lost, err)
		}
		checkRecovered(t, dir, j, o, 13, head)
	})
}

func TestRecoverAfterAnAnchorAheadGoesBeyondTheAnchor(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 13)
	dir := o.copy(t, nil)
	j := mustOpen(t, dir, small)
	j.Degrade("shop", errors.New("the edge has fact 20"))
	from := aplomb.Head{Epoch: 3, N: 20, SHA: aplomb.Sum([]byte("x"))}
	_, lost, head, err := j.Recover(t.Context(), "shop", from, recoveredFact(), recoveredWrites())
	if err != nil || head.N != 21 || head.Epoch != 4 {
		t.Fatalf("Recover = %+v, %v, want 4.21", head, err)
	}
	if !strings.Contains(lost, "facts 14 to 20 (0 of 7") {
		t.Errorf("lost = %q, want facts 14 to 20", lost)
	}
	checkRecovered(t, dir, j, o, 13, head)
}

func TestRecoverOfAForkNamesTheFact(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 13)
	dir := o.copy(t, nil)
	j := mustOpen(t, dir, small)
	j.Degrade("shop", errors.New("fork"))
	_, lost, head, err := j.Recover(t.Context(), "shop", aplomb.Head{Epoch: 1, N: 12, SHA: aplomb.Sum([]byte("x"))}, recoveredFact(), recoveredWrites())
	if err != nil || head.N != 14 {
		t.Fatalf("Recover = %+v, %v, want n 14", head, err)
	}
	if !strings.Contains(lost, "fact 12 exists in two forms") {
		t.Errorf("lost = %q", lost)
	}
	checkRecovered(t, dir, j, o, 13, head)
}

func TestRecoverOfASiteThatIsGoneBeginsBehindTheAnchor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, small)
	j.Degrade("shop", errors.New("the edge has fact 9, the ledger has none"))
	aside, lost, head, err := j.Recover(t.Context(), "shop", aplomb.Head{Epoch: 1, N: 9}, recoveredFact(), recoveredWrites())
	if err != nil || aside != "" || head.N != 10 || head.Epoch != 2 || !strings.Contains(lost, "facts 1 to 9") {
		t.Fatalf("Recover = %q, %q, %+v, %v", aside, lost, head, err)
	}
	checkRecovered(t, dir, j, original{}, 0, head)
}

func TestRecoverOfOldRotKeepsTheNewestFacts(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, 18)
	b := bytes.Clone(o.files[o.names[1]])
	b[len(b)/2] ^= 1
	dir := o.copy(t, map[string][]byte{o.names[1]: b})
	j := mustOpen(t, dir, small)
	if _, _, err := j.Verify(t.Context(), "shop"); !errors.Is(err, aplomb.ErrDegraded) {
		t.Fatalf("Verify = %v, want ErrDegraded", err)
	}
	_, lost, head, err := j.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites())
	if err != nil || head.N != 19 {
		t.Fatalf("Recover = %+v, %v, want n 19", head, err)
	}
	if !strings.Contains(lost, "facts 1 to 10") || !strings.Contains(lost, o.names[1]) {
		t.Errorf("lost = %q, want facts 1 to 10 and the file", lost)
	}
	j.Close()
	j = mustOpen(t, dir, small)
	all, err := readAll(t, j, "shop", 0)
	if err != nil || len(all) != 9 || all[0].Head != o.entries[10].Head || all[8].Head != head {
		t.Errorf("entries = %d, %v, want 11 to 19", len(all), err)
	}
	if n, _, err := j.Verify(t.Context(), "shop"); err != nil || n != 9 {
		t.Errorf("Verify = %d, %v, want 9", n, err)
	}
	// What was left out is known: a segment that goes missing afterwards is found.
	segs := segmentsOf(t, dir, "shop")
	j.Close()
	if err := os.Remove(segs[0]); err != nil {
		t.Fatal(err)
	}
	if got := mustOpen(t, dir, small).Degraded(); got["shop"] == nil {
		t.Error("the oldest kept segment is gone, and the site is called sound")
	}
}

func TestRecoverTwiceWorks(t *testing.T) {
	t.Parallel()
	o, dir := rotten(t)
	j := mustOpen(t, dir, small)
	_, _, first, err := j.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites())
	if err != nil {
		t.Fatal(err)
	}
	j.Degrade("shop", errors.New("again"))
	_, _, second, err := j.Recover(t.Context(), "shop", first, recoveredFact(), recoveredWrites())
	if err != nil || second.N != first.N+1 || second.Epoch != first.Epoch+1 {
		t.Fatalf("second Recover = %+v, %v, after %+v", second, err, first)
	}
	checkRecovered(t, dir, j, o, 11, first)
}

func TestRecoverOfASoundSiteIsRefused(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), small)
	head := add(t, j, "shop", 3)
	_, _, _, err := j.Recover(t.Context(), "shop", head, recoveredFact(), nil)
	var e *aplomb.Error
	if !errors.As(err, &e) || e.Code != aplomb.CodeHealthy {
		t.Errorf("Recover = %v, want CodeHealthy", err)
	}
	if _, _, _, err := j.Recover(t.Context(), "blog", head, recoveredFact(), nil); !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("Recover of an unknown site = %v, want ErrNotFound", err)
	}
	checkWhole(t, j, "shop")
}

// recoverySteps counts the durable steps of opening and recovering a rotten site.
func recoverySteps(t *testing.T) (o original, dir string, opened int, log []string) {
	t.Helper()
	o, dir = rotten(t)
	f := &faults{}
	probe := o.copy(t, nil)
	if err := os.CopyFS(filepath.Join(probe, "copy"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	j, err := open(quiet(), filepath.Join(probe, "copy"), small, disk{fault: f.take})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	opened = f.steps()
	if _, _, _, err := j.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites()); err != nil {
		t.Fatal(err)
	}
	return o, dir, opened, f.log
}

func TestRecoverThatFailsAtAnyStepCanBeDoneAgain(t *testing.T) {
	t.Parallel()
	o, dir, opened, log := recoverySteps(t)
	for _, how := range []string{lost, reported, full} {
		for step := opened + 1; step <= len(log); step++ {
			t.Run(fmt.Sprintf("%s/%d_%s", how, step, log[step-1]), func(t *testing.T) {
				t.Parallel()
				to := filepath.Join(t.TempDir(), "journal")
				if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				f := &faults{step: step, how: how}
				j, err := open(quiet(), to, small, disk{fault: f.take})
				if err != nil {
					t.Fatal(err)
				}
				_, _, head, err := j.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites())
				if err != nil {
					if s, err := j.Load(t.Context(), "shop"); !errors.Is(err, aplomb.ErrDegraded) || s.Head.N != 11 {
						t.Fatalf("Load after a recovery that failed = %+v, %v, want n 11 and ErrDegraded", s.Head, err)
					}
					if all, err := readAll(t, j, "shop", 0); err != nil || len(all) != 11 {
						t.Fatalf("Entries after a recovery that failed = %d, %v", len(all), err)
					}
					if _, _, head, err = j.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites()); err != nil {
						t.Fatalf("second Recover: %v", err)
					}
				}
				checkRecovered(t, to, j, o, 11, head)
			})
		}
	}
}

func TestRecoverThatStopsAtAnyStepLeavesTheOldOrTheNewChain(t *testing.T) {
	t.Parallel()
	o, dir, opened, log := recoverySteps(t)
	for _, power := range []bool{false, true} {
		for step := opened + 1; step <= len(log)+1; step++ { // the last one: right after Recover has answered
			t.Run(fmt.Sprintf("power_cut_%v/%d_%s", power, step, append(log, "answered")[step-1]), func(t *testing.T) {
				t.Parallel()
				to := filepath.Join(t.TempDir(), "journal")
				if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				sh := newShadow(t, to)
				sh.fill(t, to)
				f := &faults{step: step, how: lost, dead: true, after: sh.seen(t)}
				j, err := open(quiet(), to, small, disk{fault: f.take})
				if err != nil {
					t.Fatal(err)
				}
				_, _, acked, err := j.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites())
				if (err == nil) != (step > len(log)) {
					t.Fatalf("Recover = %+v, %v", acked, err)
				}
				j.Close()
				if power {
					to = t.TempDir()
					sh.restore(t, sh.root, to)
				}
				again := mustOpen(t, to, small)
				sites, err := again.Sites(t.Context())
				if err != nil || len(sites) != 1 {
					t.Fatalf("Sites = %v, %v, want shop", sites, err)
				}
				s, err := again.Load(t.Context(), "shop")
				if errors.Is(err, aplomb.ErrDegraded) && s.Head.N == 11 && acked.N == 0 {
					_, _, head, err := again.Recover(t.Context(), "shop", o.head(), recoveredFact(), recoveredWrites())
					if err != nil {
						t.Fatalf("Recover after the stop: %v", err)
					}
					checkRecovered(t, to, again, o, 11, head)
					return
				}
				if err != nil || acked.N > 0 && s.Head != acked {
					t.Fatalf("Load = %+v, %v, acknowledged was %+v", s.Head, err, acked)
				}
				checkRecovered(t, to, again, o, 11, s.Head)
			})
		}
	}
}

// fill makes everything under path durable in the shadow.
func (s *shadow) fill(t *testing.T, path string) {
	names := map[string]uint64{}
	found, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		child := filepath.Join(path, f.Name())
		names[f.Name()] = inode(t, child)
		if f.IsDir() {
			s.fill(t, child)
			continue
		}
		b, err := os.ReadFile(child)
		if err != nil {
			t.Fatal(err)
		}
		s.files[inode(t, child)] = b
	}
	s.folders[inode(t, path)] = names
}
