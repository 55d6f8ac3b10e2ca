package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"aplomb"
	"aplomb/ledger"
)

// It runs on a file system of 2 MB of its own, in a process that has a mount name space of its own.
func TestFullDiskRefusesRecordsAndTheReserveLetsARollbackThrough(t *testing.T) {
	t.Parallel()
	cmd := child(t, "full", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\nThe test needs a small file system of its own: run it as root, or allow user name spaces"+
			" (sysctl kernel.unprivileged_userns_clone=1).", err, out.String())
	}
	t.Log(out.String())
}

// fillDisk plays the test above, on the small file system.
func fillDisk(dir string) error {
	if err := syscall.Mount("aplomb", dir, "tmpfs", 0, "size=2m"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", dir, err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	reserve, err := OpenReserve(filepath.Join(dir, "reserve"), 256<<10)
	if err != nil {
		return err
	}
	if !reserve.Held() {
		return errors.New("no reserve on an empty disk")
	}
	pad, err := os.Create(filepath.Join(dir, "pad")) // what somebody else has on the disk
	if err != nil {
		return err
	}
	defer pad.Close()
	if _, err := pad.Write(make([]byte, 512<<10)); err != nil {
		return err
	}
	ctx := context.Background()
	j, err := Open(quiet(), filepath.Join(dir, "journal"), Config{SegmentFacts: 20})
	if err != nil {
		return err
	}
	defer j.Close()
	head, err := fillUp(ctx, j, aplomb.Head{})
	if err != nil {
		return err
	}
	for _, err := pad.Write(make([]byte, 4096)); err == nil; _, err = pad.Write(make([]byte, 4096)) {
	}
	if err := stillWhole(ctx, j, head); err != nil {
		return fmt.Errorf("on the full disk: %w", err)
	}
	if _, err := j.Append(ctx, "blog", aplomb.Head{}, noteOf(1), big(0)); !errors.Is(err, aplomb.ErrNoSpace) {
		return fmt.Errorf("a new site on a full disk: %v, want ErrNoSpace", err)
	}
	if sites, err := j.Sites(ctx); err != nil || len(sites) != 1 {
		return fmt.Errorf("sites = %v, %v, want shop alone", sites, err)
	}
	if err := reserve.Refill(); err != nil {
		return fmt.Errorf("refill what is held: %w", err)
	}
	if err := reserve.Free(); err != nil {
		return err
	}
	if head, err = j.Append(ctx, "shop", head, noteOf(head.N+1), nil); err != nil {
		return fmt.Errorf("a fact in the freed reserve: %w", err)
	}
	if err := reserve.Refill(); !errors.Is(err, aplomb.ErrNoSpace) || reserve.Held() {
		return fmt.Errorf("refill on a full disk: %v, held %v, want ErrNoSpace", err, reserve.Held())
	}
	if err := stillWhole(ctx, j, head); err != nil {
		return fmt.Errorf("after the rollback: %w", err)
	}
	if err := j.Close(); err != nil {
		return err
	}
	if j, err = Open(quiet(), filepath.Join(dir, "journal"), Config{}); err != nil {
		return err
	}
	defer j.Close()
	if err := stillWhole(ctx, j, head); err != nil {
		return fmt.Errorf("after reopening: %w", err)
	}
	if err := errors.Join(pad.Truncate(0), reserve.Refill()); err != nil || !reserve.Held() {
		return fmt.Errorf("refill with room: %v, held %v", err, reserve.Held())
	}
	fmt.Printf("%d facts, then full, then one more\n", head.N-1)
	return nil
}

func big(i int64) []ledger.Write {
	value := append(append([]byte{'"'}, bytes.Repeat([]byte{byte('a' + i%26)}, 30<<10)...), '"')
	return []ledger.Write{{Key: fmt.Sprintf("rel/r%d", i%3), Value: value}}
}

// fillUp appends until the disk is full.
func fillUp(ctx context.Context, j *Journal, head aplomb.Head) (aplomb.Head, error) {
	for {
		next, err := j.Append(ctx, "shop", head, noteOf(head.N+1), big(head.N))
		if errors.Is(err, aplomb.ErrNoSpace) && head.N > 10 {
			return head, nil
		}
		if err != nil {
			return head, fmt.Errorf("append %d: %w, want ErrNoSpace in the end", head.N+1, err)
		}
		head = next
	}
}

func stillWhole(ctx context.Context, j *Journal, head aplomb.Head) error {
	s, err := j.Load(ctx, "shop")
	if err != nil || s.Head != head {
		return fmt.Errorf("head = %+v, %v, want %+v", s.Head, err, head)
	}
	if n, got, err := j.Verify(ctx, "shop"); err != nil || n != head.N || got != head {
		return fmt.Errorf("verify = %d, %+v, %v, want %+v", n, got, err, head)
	}
	return nil
}
