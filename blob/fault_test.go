package blob_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"aplomb"
	"aplomb/blob"
	"aplomb/blob/blobtest"
)

// recorder notes calls and lets one of them fail.
type recorder struct {
	mu    sync.Mutex
	calls []blob.Call
	// fail is the index of the call that fails, counted from when the recorder was armed; -1 for none
	fail int
	done bool // the failing call is done all the same
	with error
}

func (r *recorder) through(c blob.Call, do func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
	if len(r.calls)-1 != r.fail {
		return do()
	}
	if r.done {
		if err := do(); err != nil {
			return err
		}
	}
	return r.with
}

// putAll puts and commits, and returns the first error.
func putAll(t *testing.T, s blob.Store, contents [][]byte) (failed error) {
	t.Helper()
	b, err := s.Begin(t.Context())
	if err != nil {
		return err
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}()
	for _, c := range contents {
		if err := b.Put(blobtest.Ref(c), bytes.NewReader(c)); err != nil {
			return err
		}
	}
	return b.Commit()
}

func uploadOf(files int) [][]byte {
	var contents [][]byte
	for i := range files {
		contents = append(contents, text(i, 100+i))
	}
	return append(contents, text(files, 300_000)) // one that is checked while it is written
}

func TestEachCallOfAnUploadMayFail(t *testing.T) {
	t.Parallel()
	for _, files := range []int{3, 80} { // synced each, and together
		clean := recordUpload(t, uploadOf(files))
		for i := range clean {
			if files > 10 && clean[i].Op != "syncfs" && i%17 != 0 {
				continue
			}
			for _, done := range []bool{false, true} {
				name := fmt.Sprintf("%d-files/%d-%s/done=%v", files, i, clean[i].Op, done)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					failOneCall(t, files, &recorder{fail: i, done: done, with: syscall.EIO})
				})
			}
		}
	}
}

func recordUpload(t *testing.T, contents [][]byte) []blob.Call {
	t.Helper()
	r := &recorder{fail: -1}
	dir := t.TempDir()
	reopen(t, dir, blob.Config{}, func(*blob.Disk) {})
	s, err := blob.OpenThrough(quiet(), dir, blob.Config{}, r.through)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := putAll(t, s, contents); err != nil {
		t.Fatal(err)
	}
	return r.calls
}

func failOneCall(t *testing.T, files int, r *recorder) {
	dir := t.TempDir()
	before := text(1000, 700)
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) { blobtest.Put(t, s, before) })
	s, err := blob.OpenThrough(quiet(), dir, blob.Config{}, r.through)
	if err != nil {
		t.Fatal(err)
	}
	contents := uploadOf(files)
	if err := putAll(t, s, contents); !errors.Is(err, syscall.EIO) {
		t.Errorf("upload = %v, want the failed call's error", err)
	}
	checkFolder(t, dir)
	if got := s.Missing([]blob.Ref{blobtest.Ref(contents[0])}); len(got) != 1 {
		t.Error("a blob of a failed commit is taken for held: its name may not be durable")
	}
	blobtest.Same(t, s, before)
	// The next upload heals it, in this process and, for the other half, in the next.
	half := contents[:len(contents)/2]
	if err := putAll(t, s, half); err != nil {
		t.Fatalf("next upload = %v", err)
	}
	for _, c := range half {
		blobtest.Same(t, s, c)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		blobtest.Put(t, s, contents...)
		for _, c := range append(contents, before) {
			blobtest.Same(t, s, c)
		}
	})
	if n := checkFolder(t, dir); n != len(contents)+1 {
		t.Errorf("%d blobs in the folder, want %d", n, len(contents)+1)
	}
}

func TestFullDiskIsNamedByItsKind(t *testing.T) {
	t.Parallel()
	for i, call := range recordUpload(t, uploadOf(2)) {
		for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT} {
			dir := t.TempDir()
			r := &recorder{fail: i, with: errno}
			reopen(t, dir, blob.Config{}, func(*blob.Disk) {})
			s, err := blob.OpenThrough(quiet(), dir, blob.Config{}, r.through)
			if err != nil {
				t.Fatal(err)
			}
			if err := putAll(t, s, uploadOf(2)); !errors.Is(err, aplomb.ErrNoSpace) {
				t.Errorf("upload with %v from %s = %v, want no space", errno, call.Op, err)
			}
			s.Close()
		}
	}
}

// TestNamesFollowBytesToTheDisk checks the order in which an upload becomes durable, call by call, as a power failure
// after any of them would show it.
func TestNamesFollowBytesToTheDisk(t *testing.T) {
	t.Parallel()
	for _, files := range []int{0, 3, 63, 64, 300} {
		contents := uploadOf(files)
		calls := recordUpload(t, contents)
		isFolder := func(path string) bool { return len(filepath.Base(path)) == 2 }
		wet := map[string]bool{}     // written and not synced
		unnamed := map[string]bool{} // folders with names that are not synced
		syncs := 0
		for _, c := range calls {
			switch c.Op {
			case "create", "write":
				wet[c.Path] = true
			case "fsync":
				delete(wet, c.Path)
				delete(unnamed, c.Path)
			case "syncfs":
				syncs++
				clear(wet)
				clear(unnamed)
			case "rename":
				if wet[c.From] {
					t.Fatalf("%d files: %s got its name before its bytes were durable", files, c.Path)
				}
				if !isFolder(filepath.Dir(c.Path)) {
					t.Fatalf("%d files: renamed to %s", files, c.Path)
				}
				unnamed[filepath.Dir(c.Path)] = true
				unnamed[filepath.Dir(filepath.Dir(c.Path))] = true // the folder is new
			}
		}
		if len(wet)+len(unnamed) != 0 {
			t.Errorf("%d files: Commit returned before %v and the names in %v were durable", files, wet, unnamed)
		}
		if want := map[bool]int{true: 0, false: 2}[len(contents) <= 64]; syncs != want {
			t.Errorf("%d files: %d times syncfs, want %d", files, syncs, want)
		}
	}
}

func TestNewFolderIsSyncedByEachUploadUntilOneHas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := text(1, 100)
	broken := true
	var mu sync.Mutex // guards synced: folders are synced at the same time
	var synced []string
	folder := filepath.Dir(blobPath(dir, aplomb.Sum(c)))
	s, err := blob.OpenThrough(quiet(), dir, blob.Config{}, func(call blob.Call, do func() error) error {
		if call.Op == "fsync" && (call.Path == folder || call.Path == dir) {
			if broken && call.Path == folder {
				return syscall.EIO
			}
			mu.Lock()
			synced = append(synced, call.Path)
			mu.Unlock()
		}
		return do()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := putAll(t, s, [][]byte{c}); err == nil {
		t.Fatal("upload succeeded without its folder synced")
	}
	broken, synced = false, nil
	if err := putAll(t, s, [][]byte{c}); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(synced, dir) {
		t.Errorf("synced %v, want %s among them: the folder's own name is not durable yet", synced, dir)
	}
	synced = nil
	other := text(2, 100)
	for i := 3; aplomb.Sum(other)[0] != aplomb.Sum(c)[0]; i++ {
		other = text(i, 100)
	}
	if err := putAll(t, s, [][]byte{other}); err != nil {
		t.Fatal(err)
	}
	if want := []string{folder}; !slices.Equal(synced, want) {
		t.Errorf("synced %v for a blob in a known folder, want %v", synced, want)
	}
}

func TestDamagedBlobThatCannotBeMovedIsNotServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := text(1, 100)
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) { blobtest.Put(t, s, c) })
	path := blobPath(dir, aplomb.Sum(c))
	damageFile(t, path, func(b []byte) []byte { return b[1:] })
	var told []blob.Damage
	s, err := blob.OpenThrough(quiet(), dir, blob.Config{OnDamage: func(d blob.Damage) { told = append(told, d) }},
		func(c blob.Call, do func() error) error {
			if c.Op == "rename" {
				return syscall.EROFS
			}
			return do()
		})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		if _, _, err := s.Open(aplomb.Sum(c)); !errors.Is(err, aplomb.ErrDamaged) {
			t.Errorf("Open = %v, want damaged", err)
		}
	}
	if len(told) != 1 || told[0].File != path {
		t.Errorf("told %+v, want it once, where it is", told)
	}
}
