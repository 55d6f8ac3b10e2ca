package journal

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"aplomb"
)

func TestSecondProcessIsToldWhoHasTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := child(t, "lock", dir)
	in, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || said != "locked\n" {
		t.Fatalf("the first process says %q, %v", said, err)
	}

	second, err := child(t, "lock", dir).Output() // it ends while the first goes on: it does not wait
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"process " + strconv.Itoa(first.Process.Pid), "aplomb up", "since 20", dir, string(aplomb.CodeLocked)} {
		if !strings.Contains(string(second), want) {
			t.Errorf("the second process says %q, want it to name %q", second, want)
		}
	}
	started := time.Now()
	_, err = Lock(dir, "aplomb recover")
	if took := time.Since(started); took > time.Second {
		t.Errorf("Lock took %v, want an answer at once", took)
	}
	var e *aplomb.Error
	if !errors.As(err, &e) || e.Code != aplomb.CodeLocked || e.What == "" || e.Why == "" || e.Do == "" {
		t.Errorf("Lock = %#v, want CodeLocked with all its parts", err)
	}

	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, out)
	if err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	l, err := Lock(dir, strings.Repeat("a long command ", 100))
	if err != nil {
		t.Fatalf("Lock after the first process ended: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestKilledProcessLeavesNoLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := child(t, "lock", dir)
	in, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err == nil {
		t.Fatal("the killed process ended well")
	}
	l, err := Lock(dir, "aplomb up")
	if err != nil {
		t.Fatalf("Lock: %v", err)
	}
	if _, err := Lock(dir, "aplomb up"); !errors.Is(err, aplomb.ErrRefused) {
		t.Errorf("second Lock in one process = %v, want ErrRefused", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
