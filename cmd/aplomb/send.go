package main

import (
	"bufio"
	"io"
	"os"
	"sync/atomic"

	"aplomb"
	"aplomb/blob"
	"aplomb/release"
)

// missingFiles returns the places in d of one file for each missing digest, in path order, and the bytes of all.
func missingFiles(d digested, missing []aplomb.Digest) (list []int, total int64) {
	wanted := make(map[aplomb.Digest]bool, len(missing))
	for _, digest := range missing {
		wanted[digest] = true
	}
	for i, f := range d.files {
		if wanted[f.Digest] {
			delete(wanted, f.Digest)
			list = append(list, i)
			total += f.Size
		}
	}
	return list, total
}

// streamBuffer gathers small files into few writes.
const streamBuffer = 256 << 10

// writeStream writes files as a stream of blobs and counts bytes in sent. A file that is no longer what its digest was made of ends it.
func writeStream(w io.Writer, root *os.Root, d digested, list []int, sent *atomic.Int64) error {
	bw := bufio.NewWriterSize(w, streamBuffer)
	for _, i := range list {
		if err := writeFile(bw, root, d.files[i], d.stamps[i], sent); err != nil {
			return err
		}
	}
	if err := release.EndStream(bw); err != nil {
		return err
	}
	return bw.Flush()
}

func writeFile(w io.Writer, root *os.Root, f aplomb.File, seen stamp, sent *atomic.Int64) error {
	file, err := openSame(root, f.Path, seen)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := release.WriteBlob(w, blob.Ref{Digest: f.Digest, Size: f.Size}, counting{file, sent}); err != nil {
		if same := sameStill(file, f.Path, seen); same != nil {
			return same
		}
		return err
	}
	return sameStill(file, f.Path, seen)
}

// counting counts what is read through it.
type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
