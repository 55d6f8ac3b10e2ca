package edge

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aplomb"
	"aplomb/blob"
)

// TestDiskStoreIsServedAndItsDamageIsNot uses the real store over a real connection: large files go from their
// descriptors to the socket.
func TestDiskStoreIsServedAndItsDamageIsNot(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	disk, err := blob.Open(w.lg, dir, blob.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	large, other := strings.Repeat("0123456789abcdef", 1<<16), strings.Repeat("fedcba9876543210", 1<<16)
	kept := w.release(1, content{"/index.html": "home", "/large.bin": large, "/other.bin": other})
	put(t, disk, w.blobs)
	e, err := Open(w.lg, Config{Listen: []string{"127.0.0.1:0"}, StateDir: t.TempDir(), Blobs: disk})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e)
	w.perform(e, intent(route(1, kept)))
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	base := "http://" + e.Addrs()[0].String()
	for path, want := range map[string]string{"/": "home", "/large.bin": large, "/other.bin": other} {
		if got, err := fetch(&client, base+path); err != nil || got != want {
			t.Errorf("%s: %d bytes, %v; want %d", path, len(got), err, len(want))
		}
	}
	flip(t, dir, aplomb.Sum([]byte(other)))
	resp, err := client.Get(base + "/other.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := bodyOf(t, resp); resp.StatusCode != http.StatusInternalServerError || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("damaged: %d with %d bytes, want 500 no-store", resp.StatusCode, len(got))
	}
	if got, err := fetch(&client, base+"/large.bin"); err != nil || got != large {
		t.Errorf("the file beside it: %d bytes, %v", len(got), err)
	}
}

// put stores every blob of from.
func put(t *testing.T, to blob.Store, from *memoryBlobs) {
	t.Helper()
	batch, err := to.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for d, b := range from.of {
		if err := batch.Put(blob.Ref{Digest: d, Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := batch.Close(); err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit of a blob's file.
func flip(t *testing.T, dir string, d aplomb.Digest) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", d.String()))
	if err != nil || len(found) != 1 {
		t.Fatalf("file of blob %s: %v, %v", d.Short(), found, err)
	}
	if err := os.Chmod(found[0], 0o600); err != nil {
		t.Fatal(err)
	}
	change(t, found[0], func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
}
