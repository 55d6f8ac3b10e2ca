package blob_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"aplomb"
	"aplomb/blob"
	"aplomb/blob/blobtest"
)

const (
	benchFiles = 10_000
	benchSize  = 30_000
)

// benchContents returns files that nothing has seen yet.
func benchContents(b *testing.B, random *rand.ChaCha8) ([][]byte, []blob.Ref) {
	b.Helper()
	contents, refs := make([][]byte, benchFiles), make([]blob.Ref, benchFiles)
	for i := range contents {
		contents[i] = make([]byte, benchSize)
		random.Read(contents[i])
		refs[i] = blobtest.Ref(contents[i])
	}
	return contents, refs
}

func reportFiles(b *testing.B) {
	b.ReportMetric(float64(benchFiles)*float64(b.N)/b.Elapsed().Seconds(), "files/s")
	b.ReportMetric(float64(benchFiles*benchSize)*float64(b.N)/b.Elapsed().Seconds()/1e6, "MB/s")
}

// BenchmarkPut is an upload of 10,000 files of 30 KB, with its anchors: files under their names and one sync, without
// hashing, checking or a second name; and an fsync for each. What they write is deleted when all are over: ext4 looks
// for a free inode many times longer while the last ones were deleted less than five seconds ago.
func BenchmarkPut(b *testing.B) {
	random := rand.NewChaCha8([32]byte{})
	parent := b.TempDir()
	n := 0
	b.Run("batch", func(b *testing.B) {
		contents, refs := benchContents(b, random)
		for b.Loop() {
			b.StopTimer()
			s := openDisk(b, filepath.Join(parent, fmt.Sprint(n)), blob.Config{})
			n++
			unix.Sync()
			b.StartTimer()
			benchUpload(b, s, contents, refs)
		}
		reportFiles(b)
	})
	for _, anchor := range []struct {
		name string
		each bool
	}{{"raw-one-sync", false}, {"raw-fsync-each", true}} {
		b.Run(anchor.name, func(b *testing.B) {
			contents, refs := benchContents(b, random)
			for b.Loop() {
				b.StopTimer()
				dir := filepath.Join(parent, fmt.Sprint(n))
				n++
				for i := range 256 {
					if err := os.MkdirAll(fmt.Sprintf("%s/%02x", dir, i), 0o700); err != nil {
						b.Fatal(err)
					}
				}
				unix.Sync()
				b.StartTimer()
				rawWrite(b, dir, contents, refs, anchor.each)
			}
			reportFiles(b)
		})
	}
}

func benchUpload(b *testing.B, s *blob.Disk, contents [][]byte, refs []blob.Ref) {
	b.Helper()
	batch, err := s.Begin(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer batch.Close()
	var r bytes.Reader
	for i, c := range contents {
		r.Reset(c)
		if err := batch.Put(refs[i], &r); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Commit(); err != nil {
		b.Fatal(err)
	}
}

func rawWrite(b *testing.B, dir string, contents [][]byte, refs []blob.Ref, each bool) {
	b.Helper()
	for i, c := range contents {
		fd, err := unix.Open(blobPath(dir, refs[i].Digest), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := unix.Write(fd, c); err != nil {
			b.Fatal(err)
		}
		if each {
			if err := unix.Fsync(fd); err != nil {
				b.Fatal(err)
			}
		}
		unix.Close(fd)
	}
	root, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	if err := unix.Syncfs(int(root.Fd())); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPutOne(b *testing.B) {
	s := openDisk(b, b.TempDir(), blob.Config{})
	random := rand.NewChaCha8([32]byte{1})
	content := make([]byte, benchSize)
	for b.Loop() {
		random.Read(content)
		blobtest.Put(b, s, content)
	}
}

func benchStore(b *testing.B, files, size int) (string, *blob.Disk, []blob.Ref) {
	b.Helper()
	dir := b.TempDir()
	var refs []blob.Ref
	reopen(b, dir, blob.Config{}, func(s *blob.Disk) {
		batch, err := s.Begin(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer batch.Close()
		for i := range files {
			c := fmt.Appendf(nil, "%0*d", size, i)
			refs = append(refs, blobtest.Ref(c))
			if err := batch.Put(refs[i], bytes.NewReader(c)); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Commit(); err != nil {
			b.Fatal(err)
		}
	})
	return dir, openDisk(b, dir, blob.Config{}), refs
}

func BenchmarkOpen(b *testing.B) {
	_, s, refs := benchStore(b, 1000, 30_000)
	open := func(b *testing.B, s *blob.Disk, d aplomb.Digest) {
		f, _, err := s.Open(d)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	for _, ref := range refs {
		open(b, s, ref.Digest)
	}
	b.Run("hashed", func(b *testing.B) {
		i := 0
		for b.Loop() {
			open(b, s, refs[i%len(refs)].Digest)
			i++
		}
	})
	dir, first, refs := benchStore(b, 1000, 30_000)
	if err := first.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("first-1000", func(b *testing.B) {
		for b.Loop() {
			reopen(b, dir, blob.Config{}, func(s *blob.Disk) {
				for _, ref := range refs {
					open(b, s, ref.Digest)
				}
			})
		}
	})
}

func BenchmarkMissing(b *testing.B) {
	_, s, refs := benchStore(b, 10_000, 100)
	b.Run("10000-held", func(b *testing.B) {
		for b.Loop() {
			if got := s.Missing(refs); len(got) != 0 {
				b.Fatal(len(got))
			}
		}
	})
}

func BenchmarkStart(b *testing.B) {
	dir, first, _ := benchStore(b, 100_000, 8)
	if err := first.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("100000-blobs", func(b *testing.B) {
		for b.Loop() {
			reopen(b, dir, blob.Config{}, func(*blob.Disk) {})
		}
	})
}

func BenchmarkEncodings(b *testing.B) {
	_, s, refs := benchStore(b, 10_000, 100)
	of := map[aplomb.Digest]blob.Encodings{}
	for i, ref := range refs[:5000] {
		of[ref.Digest] = blob.Encodings{blob.Gzip: {Digest: refs[5000+i].Digest, Size: 100, Level: 6}}
	}
	if err := s.PutEncodings(of); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if s.Encodings(refs[i%5000].Digest)[blob.Gzip].Level == 0 {
			b.Fatal("no form")
		}
		i++
	}
}

func BenchmarkEncode(b *testing.B) {
	script := javaScript(b)
	for c := range blob.NumCodings {
		for _, effort := range []blob.Effort{blob.Quick, blob.Best} {
			b.Run(fmt.Sprintf("%s-%d", c, effort.Level(c)), func(b *testing.B) {
				e := blob.NewEncoder(c, effort.Level(c))
				b.SetBytes(int64(len(script)))
				n := 0
				for b.Loop() {
					n = len(e.Encode(script))
				}
				b.ReportMetric(100*float64(n)/float64(len(script)), "%left")
			})
		}
	}
}
