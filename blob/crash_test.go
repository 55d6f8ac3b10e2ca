package blob_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/blob/blobtest"
)

// childAct makes the test binary play the part of a process that is killed, or has a small disk.
const childAct = "BLOB_TEST_CHILD"

func runChild(act string) int {
	var err error
	switch act {
	case "put":
		err = putUntilKilled(os.Getenv("BLOB_TEST_DIR"), os.Getenv("BLOB_TEST_SEED"))
	case "full":
		err = fillSmallDisk(os.Getenv("BLOB_TEST_DIR"))
	default:
		err = errors.New("no such act")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	return 0
}

func child(t *testing.T, act, dir, seed string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childAct+"="+act, "BLOB_TEST_DIR="+dir, "BLOB_TEST_SEED="+seed)
	cmd.Stderr = os.Stderr
	return cmd
}

// putUntilKilled puts batches and says "committed N" for each. The kill comes from itself, before or after one of the
// calls that matter, which the seed chooses: every moment between two calls is met sooner or later.
func putUntilKilled(dir, seed string) error {
	n, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(n, 1))
	left := 1 + random.IntN(600) // never 0: the kill has to come
	r := &recorder{fail: -1}
	s, err := blob.OpenThrough(quiet(), dir, blob.Config{}, func(c blob.Call, do func() error) error {
		r.mu.Lock()
		left--
		last := left == 0
		r.mu.Unlock()
		if last && random.IntN(2) == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		err := do()
		if last {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return err
	})
	if err != nil {
		return err
	}
	for batch := int(n) * 1000; ; batch++ {
		if err := putBatch(s, batch, random.IntN(90)+1); err != nil {
			return err
		}
	}
}

func batchContent(batch, i int) []byte { return text(batch*7+i, 50+i*37+batch%11) }

func putBatch(s *blob.Disk, batch, files int) error {
	b, err := s.Begin(context.Background())
	if err != nil {
		return err
	}
	defer b.Close()
	for i := range files {
		c := batchContent(batch, i)
		if err := b.Put(blobtest.Ref(c), bytes.NewReader(c)); err != nil {
			return err
		}
	}
	if err := b.Commit(); err != nil {
		return err
	}
	fmt.Printf("committed %d %d\n", batch, files)
	return b.Close()
}

func TestKilledProcessLeavesWholeBlobs(t *testing.T) {
	t.Parallel()
	kills := 15
	if os.Getenv("APLOMB_FULL") != "" {
		kills = 300
	}
	dir := t.TempDir()
	start := rand.Uint64N(1 << 40)
	t.Logf("seed %d", start)
	committed := map[aplomb.Digest][]byte{}
	for k := range kills {
		out, err := child(t, "put", dir, strconv.FormatUint(start+uint64(k), 10)).Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("child ended with %v, want it killed", err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
			var batch, files int
			if _, err := fmt.Sscanf(lines.Text(), "committed %d %d", &batch, &files); err != nil {
				t.Fatalf("line %q: %v", lines.Text(), err)
			}
			for i := range files {
				c := batchContent(batch, i)
				committed[aplomb.Sum(c)] = c
			}
		}
		checkFolderAfterKill(t, dir)
		reopen(t, dir, blob.Config{OnDamage: func(d blob.Damage) { t.Errorf("damaged: %+v", d) }}, func(s *blob.Disk) {
			for _, c := range committed {
				blobtest.Same(t, s, c)
			}
		})
		checkFolder(t, dir)
		if t.Failed() {
			t.Fatalf("after kill %d", k)
		}
	}
	t.Logf("%d blobs committed over %d kills", len(committed), kills)
	if len(committed) == 0 {
		t.Error("nothing was ever committed: the kills come too early to say anything")
	}
}

// checkFolderAfterKill looks at the blobs' folders alone: tmp/ may hold anything.
func checkFolderAfterKill(t *testing.T, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "??", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := aplomb.Sum(b).String(); got != filepath.Base(path) {
			t.Errorf("%s holds %d bytes with the sha-256 %s", path, len(b), got)
		}
	}
}

// TestFullDiskFailsTheUploadAlone runs in a child that has a mount namespace of its own, and in it a disk of 2 MB.
func TestFullDiskFailsTheUploadAlone(t *testing.T) {
	t.Parallel()
	cmd := child(t, "full", t.TempDir(), "")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if out, err := cmd.Output(); err != nil {
		t.Fatalf("with a small disk: %v %s\n(it needs root or user namespaces, to mount one)", err, out)
	}
}

func fillSmallDisk(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,nr_inodes=400"); err != nil {
		return fmt.Errorf("mount a small disk: %w", err)
	}
	for _, c := range []struct {
		what  string
		files int
		size  int
	}{{"bytes, small files", 80, 100_000}, {"bytes, one large file", 1, 3 << 20}, {"inodes", 1000, 10}} {
		if err := overfill(dir, c.files, c.size); err != nil {
			return fmt.Errorf("out of %s: %w", c.what, err)
		}
	}
	return nil
}

func overfill(dir string, files, size int) error {
	s, err := blob.Open(quiet(), dir, blob.Config{})
	if err != nil {
		return err
	}
	defer s.Close()
	before := text(5000, 1000)
	if err := putContents(s, before); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	var contents [][]byte
	for i := range files {
		contents = append(contents, text(i, size))
	}
	if err := putContents(s, contents...); !errors.Is(err, aplomb.ErrNoSpace) {
		return fmt.Errorf("upload = %v, want no space", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) != 0 || err != nil {
		return fmt.Errorf("tmp holds %s, %w", strings.Join(left, " "), err)
	}
	f, _, err := s.Open(aplomb.Sum(before))
	if err != nil {
		return fmt.Errorf("a blob from before: %w", err)
	}
	f.Close()
	if err := putContents(s, text(6000, 1000)); err != nil {
		return fmt.Errorf("an upload that fits, afterwards: %w", err)
	}
	_, err = s.Collect(context.Background(), func(aplomb.Digest) bool { return false }, time.Now().Add(time.Hour))
	return err
}

func putContents(s *blob.Disk, contents ...[]byte) error {
	b, err := s.Begin(context.Background())
	if err != nil {
		return err
	}
	defer b.Close()
	for _, c := range contents {
		if err := b.Put(blobtest.Ref(c), bytes.NewReader(c)); err != nil {
			return err
		}
	}
	if err := b.Commit(); err != nil {
		return err
	}
	return b.Close()
}
