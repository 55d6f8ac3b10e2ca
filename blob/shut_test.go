package blob_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/blob/blobtest"
)

// TestWhatCanBeListedIsReadWhereTheFolderIsBroken promises that a store's folder in which something is not as it should be
// hides none of the other blobs, takes nothing and deletes nothing.
func TestWhatCanBeListedIsReadWhereTheFolderIsBroken(t *testing.T) {
	t.Parallel()
	kept := text(1, 500)
	other := "00" // a folder of blobs that is not kept's
	if aplomb.Sum(kept).String()[:2] == other {
		other = "01"
	}
	for _, broken := range []string{"tmp", "damaged", other} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
				if err := putContents(s, kept); err != nil {
					t.Fatal(err)
				}
			})
			if err := os.RemoveAll(filepath.Join(dir, broken)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, broken), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			reopen(t, dir, blob.Config{}, func(s *blob.Disk) { checkShut(t, s, kept) })
		})
	}
}

func checkShut(t *testing.T, s *blob.Disk, kept []byte) {
	t.Helper()
	if err := s.Shut(); !errors.Is(err, blob.ErrShut) {
		t.Errorf("Shut = %v, want that the store cannot be written", err)
	}
	f, _, err := s.Open(aplomb.Sum(kept))
	if err != nil {
		t.Fatalf("Open = %v, want the blob", err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || string(got) != string(kept) {
		t.Errorf("read %d bytes, %v; want the %d that were put", len(got), err, len(kept))
	}
	if missing := s.Missing([]blob.Ref{blobtest.Ref(kept)}); len(missing) != 0 {
		t.Errorf("Missing = %v, want none", missing)
	}
	if _, err := s.Begin(t.Context()); !errors.Is(err, blob.ErrShut) {
		t.Errorf("Begin = %v, want it refused", err)
	}
	if _, err := s.Collect(t.Context(), func(aplomb.Digest) bool { return false }, time.Now().Add(time.Hour)); !errors.Is(err, blob.ErrShut) {
		t.Errorf("Collect = %v, want it refused", err)
	}
}
