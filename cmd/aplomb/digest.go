package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"aplomb"
)

// digested is the outcome of reading a folder.
type digested struct {
	files  []aplomb.File // sorted by path
	stamps []stamp       // of the file at the same place
	bytes  int64
	read   int // files whose bytes were read
	known  []known
}

// digestFiles finds the digest of every file: from what is known where the stamp is the same, otherwise by reading the file,
// on all cores. It counts bytes read in progress.
func digestFiles(ctx context.Context, root *os.Root, list []found, before []known, now func() time.Time, progress *atomic.Int64) (digested, error) {
	d := digested{files: make([]aplomb.File, len(list)), stamps: make([]stamp, len(list)), known: make([]known, 0, len(list))}
	trusted := make([]bool, len(list))
	var todo []int
	for i, f := range list {
		d.files[i] = aplomb.File{Path: f.path, Size: f.stamp.size}
		d.stamps[i] = f.stamp
		d.bytes += f.stamp.size
		for len(before) > 0 && before[0].path < f.path {
			before = before[1:]
		}
		if len(before) > 0 && before[0].path == f.path && before[0].stamp == f.stamp {
			d.files[i].Digest, trusted[i] = before[0].digest, true
			continue
		}
		todo = append(todo, i)
	}
	d.read = len(todo)
	if err := readAll(ctx, root, &d, todo, trusted, now, progress); err != nil {
		return digested{}, err
	}
	for i, ok := range trusted {
		if ok {
			d.known = append(d.known, known{path: d.files[i].Path, stamp: d.stamps[i], digest: d.files[i].Digest})
		}
	}
	return d, nil
}

func readAll(ctx context.Context, root *os.Root, d *digested, todo []int, trusted []bool, now func() time.Time, progress *atomic.Int64) error {
	if len(todo) == 0 {
		return nil
	}
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), len(todo)) {
		g.Go(func() error {
			r := reader{hash: sha256.New(), buf: make([]byte, 256<<10), progress: progress}
			for {
				n := int(next.Add(1)) - 1
				if n >= len(todo) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				i := todo[n]
				at := now()
				digest, err := r.digest(root, d.files[i].Path, d.stamps[i])
				if err != nil {
					return err
				}
				d.files[i].Digest, trusted[i] = digest, d.stamps[i].trusted(at)
			}
		})
	}
	return g.Wait()
}

// reader hashes files one after the other with the same memory.
type reader struct {
	hash     hash.Hash
	buf      []byte
	progress *atomic.Int64
}

// digest reads a file that was seen with a stamp. The stamp is looked at again after the last byte: a file that was written
// meanwhile has no digest.
func (r *reader) digest(root *os.Root, path string, seen stamp) (aplomb.Digest, error) {
	f, err := openSame(root, path, seen)
	if err != nil {
		return aplomb.Digest{}, err
	}
	defer f.Close()
	r.hash.Reset()
	var total int64
	for {
		n, err := f.Read(r.buf)
		r.hash.Write(r.buf[:n])
		r.progress.Add(int64(n))
		total += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return aplomb.Digest{}, cannotRead(path, err)
		}
	}
	if err := sameStill(f, path, seen); err != nil || total != seen.size {
		return aplomb.Digest{}, changedWhileRead(path)
	}
	var d aplomb.Digest
	r.hash.Sum(d[:0])
	return d, nil
}

// openSame opens a file if it is still the one that was seen.
func openSame(root *os.Root, path string, seen stamp) (*os.File, error) {
	f, err := root.Open(path[1:])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, changedWhileRead(path)
	}
	if err != nil {
		return nil, cannotRead(path, err)
	}
	if err := sameStill(f, path, seen); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func sameStill(f *os.File, path string, seen stamp) error {
	info, err := f.Stat()
	if err != nil {
		return cannotRead(path, err)
	}
	if !info.Mode().IsRegular() || stampOf(info) != seen {
		return changedWhileRead(path)
	}
	return nil
}
