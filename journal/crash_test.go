package journal

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"aplomb"
)

// child returns the test binary playing a role on a folder.
func child(t testing.TB, role, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, dirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	kills := 25
	if os.Getenv("APLOMB_FULL") == "1" {
		kills = 300
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	dir := t.TempDir()
	var before aplomb.Head
	facts := int64(0)
	for kill := range kills {
		acked := killAfter(t, dir, 1+r.IntN(60), time.Duration(r.IntN(3000))*time.Microsecond)
		j, err := Open(quiet(), dir, Config{SegmentFacts: 7, Recent: 5})
		if err != nil {
			t.Fatalf("seed %d, kill %d: Open: %v", seed, kill, err)
		}
		head := checkWhole(t, j, "shop")
		if head.N < acked || head.N > acked+1 {
			t.Fatalf("seed %d, kill %d: n %d, acknowledged were %d", seed, kill, head.N, acked)
		}
		if before.N > 0 {
			if at, err := j.At("shop", before.N); err != nil || at != before {
				t.Fatalf("seed %d, kill %d: At(%d) = %+v, %v, was %+v", seed, kill, before.N, at, err, before)
			}
		}
		facts, before = head.N, head
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d facts", kills, facts)
}

// killAfter starts a writer, kills it a moment after it has acknowledged n facts, and returns the last n it acknowledged.
func killAfter(t *testing.T, dir string, n int, moment time.Duration) (acked int64) {
	t.Helper()
	cmd := child(t, "append", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		next, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil || acked > 0 && next != acked+1 {
			t.Fatalf("acknowledged %q after %d", lines.Text(), acked)
		}
		acked = next
		if i == n {
			time.AfterFunc(moment, func() { cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the writer ended by itself")
	}
	if acked == 0 {
		t.Fatal("the writer acknowledged nothing")
	}
	return acked
}

func BenchmarkAppend(b *testing.B) {
	j := mustOpen(b, b.TempDir(), Config{})
	h := add(b, j, "shop", 1)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		var err error
		if h, err = j.Append(b.Context(), "shop", h, noteOf(h.N+1), writesOf(h.N+1)); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	report(b, took)
}

// BenchmarkAnchor is what BenchmarkAppend is compared with: the same bytes appended to a file and synced, and nothing else.
func BenchmarkAnchor(b *testing.B) {
	f, err := os.Create(b.TempDir() + "/anchor")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	line := fmt.Appendf(nil, "%0399d\n", 7)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	report(b, took)
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	j, err := Open(quiet(), dir, Config{})
	if err != nil {
		b.Fatal(err)
	}
	add(b, j, "shop", 2900)
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		j, err := Open(quiet(), dir, Config{})
		if err != nil {
			b.Fatal(err)
		}
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
