package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"aplomb"
)

const (
	bufferSize = 256 << 10

	// syncEach is the number of files up to which each file and each folder is synced on its own. Beyond, one syncfs
	// is faster, although it waits for what others have written too.
	syncEach = 64

	// writers put small blobs into files while the next are read and hashed.
	writers = 2
)

// batch implements Batch. Blobs that fit a buffer are checked in memory and handed to the writers, larger ones are
// checked while they are written.
type batch struct {
	s *Disk

	// owned by the caller's goroutine
	folder string   // tmp/N, with a folder for each writer; "" until the first blob is kept
	root   *os.File // tmp/N, opened before anything is written to it: syncfs on it tells of every failed write since
	put    []*putFile
	known  map[aplomb.Digest]struct{} // of put
	jobs   chan job
	made   [folders]bool // folders made or used, and not known to be durable
	failed bool          // a Commit failed
	closed bool
	// unsure is set while files have their final names and these may not be durable. If it stays so, the folder is
	// left behind: the next start takes it for a crash and syncs before it lists.
	unsure bool

	running sync.WaitGroup // the writers

	// mu guards the rest
	mu  sync.Mutex
	err error // of the first write that failed
}

// putFile is a blob in tmp/. Its writer owns it until the writers have ended.
type putFile struct {
	digest aplomb.Digest
	number int    // in the batch
	tmp    string // where it was written
	early  bool   // one of the first syncEach: its file stays open for an fsync
	fd     int    // or -1
	stamp  stamp
}

type job struct {
	file *putFile
	buf  *[]byte
	size int
}

// Begin implements Store. It waits while Collect deletes a group of blobs.
func (s *Disk) Begin(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("begin batch: %w", err)
	}
	if s.closed.Load() {
		return nil, fmt.Errorf("begin batch: %w", os.ErrClosed)
	}
	if s.shut != nil {
		return nil, fmt.Errorf("begin batch: %w", s.shut)
	}
	s.lease.RLock()
	return &batch{s: s, known: map[aplomb.Digest]struct{}{}}, nil
}

// Put implements Batch.
func (b *batch) Put(ref Ref, r io.Reader) error {
	err := b.usable()
	if err == nil {
		err = b.writeError()
	}
	if err == nil && ref.Size < bufferSize {
		err = b.putSmall(ref, r)
	} else if err == nil {
		err = b.putLarge(ref, r)
	}
	if err != nil {
		return fmt.Errorf("put blob %s: %w", ref.Digest.Short(), err)
	}
	return nil
}

func (b *batch) usable() error {
	switch {
	case b.closed:
		return os.ErrClosed
	case b.failed:
		return errors.New("the batch failed before")
	}
	return nil
}

func (b *batch) putSmall(ref Ref, r io.Reader) error {
	if ref.Size < 0 {
		return fmt.Errorf("%w: a size of %d bytes", aplomb.ErrInvalid, ref.Size)
	}
	buf := b.s.buffers.Get().(*[]byte)
	n, err := io.ReadFull(r, (*buf)[:ref.Size+1]) // one more, which must not be there
	if err == nil || int64(n) != ref.Size || !atEnd(err) {
		b.s.buffers.Put(buf)
		return readError(ref, int64(n), err)
	}
	if sum := aplomb.Sum((*buf)[:n]); sum != ref.Digest {
		b.s.buffers.Put(buf)
		return fmt.Errorf("%w: the bytes have the sha-256 %s", aplomb.ErrInvalid, sum)
	}
	if b.kept(ref) {
		b.s.buffers.Put(buf)
		return nil
	}
	f, err := b.newFile(ref.Digest)
	if err != nil {
		b.s.buffers.Put(buf)
		return err
	}
	b.start()
	b.jobs <- job{f, buf, n}
	return nil
}

func (b *batch) putLarge(ref Ref, r io.Reader) error {
	if b.kept(ref) {
		return b.stream(ref, r, func([]byte) error { return nil })
	}
	f, err := b.newFile(ref.Digest)
	if err != nil {
		return err
	}
	err = b.write(0, f, func(fd int) error {
		return b.stream(ref, r, func(p []byte) error { return b.s.writeAll(fd, p) })
	})
	if err != nil {
		b.put = b.put[:len(b.put)-1]
		delete(b.known, ref.Digest)
	}
	return err
}

// stream reads exactly what ref says, hands it on and checks it.
func (b *batch) stream(ref Ref, r io.Reader, to func([]byte) error) error {
	buf := b.s.buffers.Get().(*[]byte)
	defer b.s.buffers.Put(buf)
	h := sha256.New()
	for total := int64(0); ; {
		n, err := io.ReadFull(r, *buf)
		total += int64(n)
		if total > ref.Size || err != nil && (!atEnd(err) || total != ref.Size) {
			return readError(ref, total, err)
		}
		h.Write((*buf)[:n])
		if werr := to((*buf)[:n]); werr != nil {
			return diskError("write", werr)
		}
		if err == nil {
			continue
		}
		if sum := aplomb.Digest(h.Sum(nil)); sum != ref.Digest {
			return fmt.Errorf("%w: the bytes have the sha-256 %s", aplomb.ErrInvalid, sum)
		}
		return nil
	}
}

func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func readError(ref Ref, n int64, err error) error {
	switch {
	case n > ref.Size:
		return fmt.Errorf("%w: more than the %d bytes announced", aplomb.ErrInvalid, ref.Size)
	case atEnd(err):
		return fmt.Errorf("%w: %d bytes instead of %d", aplomb.ErrInvalid, n, ref.Size)
	}
	return fmt.Errorf("read: %w", err)
}

// kept reports whether the blob is in this batch or in the store already.
func (b *batch) kept(ref Ref) bool {
	if _, ok := b.known[ref.Digest]; ok {
		return true
	}
	if !b.s.holds(ref) {
		return false
	}
	b.s.index.see([]aplomb.Digest{ref.Digest}, time.Now())
	return true
}

func (b *batch) newFile(d aplomb.Digest) (*putFile, error) {
	if b.root == nil {
		if err := b.makeFolders(); err != nil {
			return nil, err
		}
	}
	f := &putFile{digest: d, number: len(b.put), fd: -1, early: len(b.put) < syncEach}
	b.put = append(b.put, f)
	b.known[d] = struct{}{}
	return f, nil
}

func (b *batch) makeFolders() error {
	b.folder = filepath.Join(b.s.dir, tmpFolder, strconv.FormatInt(b.s.batches.Add(1), 10))
	for w := range writers {
		if err := os.MkdirAll(b.writerFolder(w), 0o700); err != nil {
			return errors.Join(diskError("create folder", err), os.RemoveAll(b.folder))
		}
	}
	root, err := os.Open(b.folder)
	if err != nil {
		return errors.Join(diskError("open folder", err), os.RemoveAll(b.folder))
	}
	b.root = root
	return nil
}

// writerFolder is where a writer makes its files: in one folder, writers would wait for each other.
func (b *batch) writerFolder(w int) string { return b.folder + "/" + strconv.Itoa(w) }

// start starts the writers; finish ends them.
func (b *batch) start() {
	if b.jobs != nil {
		return
	}
	jobs := make(chan job, 2*writers)
	b.jobs = jobs
	for w := range writers {
		b.running.Go(func() {
			for j := range jobs {
				b.writeSmall(w, j)
			}
		})
	}
}

func (b *batch) finish() {
	if b.jobs != nil {
		close(b.jobs)
		b.jobs = nil
	}
	b.running.Wait()
}

func (b *batch) writeSmall(w int, j job) {
	defer b.s.buffers.Put(j.buf)
	if b.writeError() != nil {
		return
	}
	err := b.write(w, j.file, func(fd int) error {
		if err := b.s.writeAll(fd, (*j.buf)[:j.size]); err != nil {
			return diskError("write", err)
		}
		return nil
	})
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.err = errors.Join(b.err, err)
	}
}

func (b *batch) writeError() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// write makes a file in a writer's folder and fills it. After an error the file is gone.
func (b *batch) write(w int, f *putFile, fill func(fd int) error) error {
	f.tmp = b.writerFolder(w) + "/" + strconv.Itoa(f.number)
	fd, err := b.s.sys.create(f.tmp)
	if err != nil {
		return diskError("create file", err)
	}
	err = fill(fd)
	if err == nil {
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil {
			f.stamp = stampOf(&st)
		}
	}
	if err == nil && f.early {
		f.fd = fd
		return nil
	}
	if cerr := unix.Close(fd); err == nil && cerr != nil {
		err = diskError("close file", cerr)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.tmp))
	}
	return nil
}
