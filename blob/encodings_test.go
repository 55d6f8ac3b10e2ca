package blob_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aplomb"
	"aplomb/blob"
	"aplomb/blob/blobtest"
)

// withForms puts n blobs with one form each into the store in dir and returns what is recorded.
func withForms(t *testing.T, dir string, n int) map[aplomb.Digest]blob.Encodings {
	t.Helper()
	of := map[aplomb.Digest]blob.Encodings{}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		var contents [][]byte
		for i := range n {
			source, form := text(i, 1000), text(10_000+i, 100)
			contents = append(contents, source, form)
			of[aplomb.Sum(source)] = blob.Encodings{blob.Zstd: {Digest: aplomb.Sum(form), Size: 100, Level: 3}}
		}
		blobtest.Put(t, s, contents...)
		if err := s.PutEncodings(of); err != nil {
			t.Fatal(err)
		}
	})
	return of
}

func countForms(s *blob.Disk, of map[aplomb.Digest]blob.Encodings) int {
	n := 0
	for d, want := range of {
		if s.Encodings(d) == want {
			n++
		}
	}
	return n
}

func TestEncodingsAreThereAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	of := withForms(t, dir, 20)
	for range 2 {
		reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
			if n := countForms(s, of); n != len(of) {
				t.Errorf("%d of %d records are there", n, len(of))
			}
		})
	}
}

func TestDamagedEncodingsFileLosesOnlyTheDamagedRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		left   int
	}{
		{"torn", func(b []byte) []byte { return b[:len(b)-7] }, 19},
		{"torn at the newline", func(b []byte) []byte { return b[:len(b)-1] }, 20},
		{"bit flipped", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, 19},
		{"zeroed at the end", func(b []byte) []byte { clear(b[len(b)-10:]); return b }, 19},
		{"all zeros", func(b []byte) []byte { clear(b); return b }, 0},
		{"emptied", func([]byte) []byte { return []byte{} }, 0},
		{"deleted", func([]byte) []byte { return nil }, 0},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			of := withForms(t, dir, 20)
			damageFile(t, filepath.Join(dir, "encodings"), c.damage)
			reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
				if n := countForms(s, of); n != c.left {
					t.Errorf("%d records are left, want %d", n, c.left)
				}
				if err := s.PutEncodings(of); err != nil {
					t.Fatal(err)
				}
			})
			reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
				if n := countForms(s, of); n != len(of) {
					t.Errorf("%d of %d records are there after they were recorded again", n, len(of))
				}
			})
		})
	}
}

func TestUnreadableEncodingsFileDoesNotStopTheStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	of := withForms(t, dir, 3)
	path := filepath.Join(dir, "encodings")
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		blobtest.Same(t, s, text(0, 1000))
		if n := countForms(s, of); n != 0 {
			t.Errorf("%d records are there", n)
		}
	})
}

func TestFormsWhoseBlobsAreGoneAreNotOffered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	of := withForms(t, dir, 3)
	if err := os.Remove(blobPath(dir, aplomb.Sum(text(10_001, 100)))); err != nil {
		t.Fatal(err)
	}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		if got := s.Encodings(aplomb.Sum(text(1, 1000))); got != (blob.Encodings{}) {
			t.Errorf("Encodings = %v, want none", got)
		}
		if n := countForms(s, of); n != 2 {
			t.Errorf("%d other records are there, want 2", n)
		}
	})
}

func TestEncodingsFileDoesNotGrowWithoutBound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	of := withForms(t, dir, 10)
	path := filepath.Join(dir, "encodings")
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		for level := 4; level < 500; level++ {
			for d, forms := range of {
				forms[blob.Zstd].Level = level
				of[d] = forms
			}
			if err := s.PutEncodings(of); err != nil {
				t.Fatal(err)
			}
		}
	})
	grown, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := grown.Size() / (st.Size() / 10); lines > 1100 {
		t.Errorf("about %d lines for 10 records after 500 changes", lines)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new file is left: %v", err)
	}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		if n := countForms(s, of); n != len(of) {
			t.Errorf("%d of %d records are there after compaction", n, len(of))
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	full := blob.Encodings{
		blob.Brotli: {Digest: aplomb.Sum([]byte("a")), Size: 1 << 40, Level: 11},
		blob.Zstd:   {Digest: aplomb.Sum([]byte("b")), Size: 0, Level: 19},
		blob.Gzip:   {Digest: aplomb.Sum([]byte("c")), Size: 300, Level: 9},
	}
	f.Add(string(blob.AppendRecord(nil, aplomb.Sum(nil), full)))
	f.Add(string(blob.AppendRecord(nil, aplomb.Sum(nil), blob.Encodings{})))
	f.Add("")
	f.Add("00000000 ")
	f.Add("9ae0daaf 00 br:1:1:")
	f.Fuzz(func(t *testing.T, line string) {
		d, forms, err := blob.ParseRecord(line)
		if err != nil {
			return
		}
		again := bytes.TrimSuffix(blob.AppendRecord(nil, d, forms), []byte("\n"))
		d2, forms2, err := blob.ParseRecord(string(again))
		if err != nil || d2 != d || forms2 != forms {
			t.Errorf("%q is read as %v, %v and then as %v, %v, %v", line, d, forms, d2, forms2, err)
		}
	})
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	want := blob.Encodings{blob.Gzip: {Digest: aplomb.Sum([]byte("c")), Size: 300, Level: 9}}
	line := strings.TrimSuffix(string(blob.AppendRecord(nil, aplomb.Sum(nil), want)), "\n")
	d, got, err := blob.ParseRecord(line)
	if err != nil || d != aplomb.Sum(nil) || got != want {
		t.Errorf("ParseRecord = %v, %v, %v", d, got, err)
	}
	for i := range line {
		torn, flipped := line[:i], line[:i]+string(line[i]^1)+line[i+1:]
		for _, bad := range []string{torn, flipped} {
			if _, _, err := blob.ParseRecord(bad); err == nil {
				t.Errorf("%q is taken for a record", bad)
			}
		}
	}
}
