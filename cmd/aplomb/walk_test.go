package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"aplomb"
)

// folderOf writes files into a new folder. Their times lie an hour back, as those of a finished build do.
func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestAFolderIsListedAsURLPathsInOrder(t *testing.T) {
	t.Parallel()
	root := openRoot(t, folderOf(t, map[string]string{
		"index.html": "", "a/b.js": "x", "a-b.js": "x", "a/c/d e.css": "x", "ünï.txt": "x", ".well-known/x": "x",
	}))
	list, err := walk(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list {
		got = append(got, f.path)
	}
	want := "/.well-known/x /a-b.js /a/b.js /a/c/d e.css /index.html /ünï.txt"
	if strings.Join(got, " ") != want {
		t.Errorf("walk = %q, want %q", strings.Join(got, " "), want)
	}
}

func TestWhatIsNotAPlainFileIsRefusedByName(t *testing.T) {
	t.Parallel()
	cases := []struct {
		kind string
		make func(file string) error
	}{
		{"a symbolic link", func(file string) error { return os.Symlink("/etc/passwd", file) }},
		{"a symbolic link", func(file string) error { return os.Symlink("index.html", file) }},
		{"a symbolic link", func(file string) error { return os.Symlink("..", file) }},
		{"a symbolic link", func(file string) error { return os.Symlink("gone", file) }},
		{"a named pipe", func(file string) error { return syscall.Mkfifo(file, 0o644) }},
		{"a socket", func(file string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: file})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return l.Close()
		}},
	}
	for _, c := range cases {
		dir := folderOf(t, map[string]string{"index.html": "x", "sub/a.js": "x"})
		if err := c.make(filepath.Join(dir, "sub", "odd")); err != nil {
			t.Fatal(err)
		}
		_, err := walk(openRoot(t, dir))
		e, ok := errors.AsType[*aplomb.Error](err)
		if !ok || e.Code != aplomb.CodePath || !strings.Contains(e.What, "/sub/odd is "+c.kind) {
			t.Errorf("%s: error = %v", c.kind, err)
		}
	}
}

func TestANameThatIsNoTextIsRefused(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"index.html": "x", "a\xffb": "x"})
	if _, err := walk(openRoot(t, dir)); !errors.Is(err, aplomb.ErrInvalid) {
		t.Errorf("error = %v", err)
	}
}

// digestOf reads a folder with what is known of it at a moment.
func digestOf(t *testing.T, dir string, before []known, at time.Time) (digested, error) {
	t.Helper()
	root := openRoot(t, dir)
	list, err := walk(root)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	return digestFiles(context.Background(), root, list, before, func() time.Time { return at }, &n)
}

func TestEveryFileHasTheDigestOfItsBytes(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"index.html": "one", "a.js": "two", "b/c.js": strings.Repeat("x", 700_000), "empty": ""})
	d, err := digestOf(t, dir, nil, time.Now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.files {
		b, err := os.ReadFile(filepath.Join(dir, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		if f.Digest != aplomb.Sum(b) || f.Size != int64(len(b)) {
			t.Errorf("%s: %s of %d bytes, want %s of %d", f.Path, f.Digest.Short(), f.Size, aplomb.Sum(b).Short(), len(b))
		}
	}
	if d.read != 4 || d.bytes != 700_006 {
		t.Errorf("read %d files, %d bytes", d.read, d.bytes)
	}
}

func TestAnUnchangedFileIsNotReadAgain(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"index.html": "one", "a.js": "two"})
	later := time.Now().Add(time.Second)
	first, err := digestOf(t, dir, nil, later)
	if err != nil {
		t.Fatal(err)
	}
	again, err := digestOf(t, dir, first.known, later)
	if err != nil {
		t.Fatal(err)
	}
	if again.read != 0 {
		t.Errorf("%d files were read again", again.read)
	}
	for i := range first.files {
		if first.files[i] != again.files[i] {
			t.Errorf("%+v became %+v", first.files[i], again.files[i])
		}
	}
}

func TestAFileReadTooSoonAfterItsChangeIsReadAgain(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"a.js": "two"})
	info, err := os.Stat(filepath.Join(dir, "a.js"))
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]int{99 * time.Millisecond: 0, -time.Hour: 0, 150 * time.Millisecond: 1} {
		d, err := digestOf(t, dir, nil, info.ModTime().Add(after))
		if err != nil {
			t.Fatal(err)
		}
		if len(d.known) != want {
			t.Errorf("read %v after its change: %d digests kept, want %d", after, len(d.known), want)
		}
	}
}

func TestAFileChangedWithItsSizeAndTimeKeptIsSeen(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"a.js": "two"})
	file := filepath.Join(dir, "a.js")
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	first, err := digestOf(t, dir, nil, time.Now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".new", []byte("TWO"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, before.ModTime(), before.ModTime()); err != nil {
		t.Fatal(err)
	}
	d, err := digestOf(t, dir, first.known, time.Now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if want := aplomb.Sum([]byte("TWO")); d.files[0].Digest != want {
		t.Errorf("digest = %s, want %s: the stamp's inode and change time were not looked at", d.files[0].Digest.Short(), want.Short())
	}
}

func TestAFileThatChangesWhileItIsReadIsNamed(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"a.js": "two"})
	root := openRoot(t, dir)
	list, err := walk(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.js"), []byte("longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	_, err = digestFiles(t.Context(), root, list, nil, time.Now, &n)
	if e, ok := errors.AsType[*aplomb.Error](err); !ok || !strings.Contains(e.What, "/a.js changed while it was read") {
		t.Errorf("error = %v", err)
	}
}

func TestAFileThatChangesBetweenReadingAndSendingIsNamed(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, map[string]string{"a.js": "two"})
	d, err := digestOf(t, dir, nil, time.Now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.js"), []byte("TWO"), 0o644); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	err = writeStream(&strings.Builder{}, openRoot(t, dir), d, []int{0}, &sent)
	if e, ok := errors.AsType[*aplomb.Error](err); !ok || !strings.Contains(e.What, "/a.js changed") {
		t.Errorf("error = %v", err)
	}
}

func TestEqualFilesAreSentOnce(t *testing.T) {
	t.Parallel()
	d := digested{files: []aplomb.File{
		{Path: "/a", Digest: aplomb.Sum([]byte("x")), Size: 1}, {Path: "/b", Digest: aplomb.Sum([]byte("x")), Size: 1},
		{Path: "/c", Digest: aplomb.Sum([]byte("yy")), Size: 2}, {Path: "/d", Digest: aplomb.Sum([]byte("z")), Size: 1},
	}}
	list, total := missingFiles(d, []aplomb.Digest{aplomb.Sum([]byte("yy")), aplomb.Sum([]byte("x"))})
	if len(list) != 2 || list[0] != 0 || list[1] != 2 || total != 3 {
		t.Errorf("missingFiles = %v, %d", list, total)
	}
}
