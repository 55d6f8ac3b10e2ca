package blob

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"aplomb"
)

// Copy writes a blob's bytes to w and hashes them on the way, whether or not they were hashed before. At most ref.Size bytes
// are written. An error of kind aplomb.ErrNotFound or aplomb.ErrDamaged speaks of the blob: what was written of it is worth
// nothing, and a damaged one is set aside as Open does. Any other error speaks of w or of the machine.
func (s *Disk) Copy(w io.Writer, ref Ref) error {
	d := ref.Digest
	e, ok := s.index.lookup(d)
	switch {
	case !ok:
		return fmt.Errorf("blob %s: %w", d.Short(), aplomb.ErrNotFound)
	case e.damaged:
		return fmt.Errorf("blob %s: %w", d.Short(), aplomb.ErrDamaged)
	}
	fd, st, err := openFile(s.path(d))
	if err != nil {
		if !isDamage(err) {
			return fmt.Errorf("open blob %s: %w", d.Short(), err)
		}
		return s.condemnCopied(d, 0, openFailure(err))
	}
	defer unix.Close(fd)
	if st.size != ref.Size {
		return s.condemnCopied(d, st.ino, fmt.Sprintf("its file has %d bytes instead of %d", st.size, ref.Size))
	}
	sum, n, err := s.copyFile(w, fd, ref.Size)
	switch {
	case err != nil && isDamage(err):
		return s.condemnCopied(d, st.ino, "it cannot be read: "+err.Error())
	case err != nil:
		return fmt.Errorf("copy blob %s: %w", d.Short(), err)
	case sum != d || n != ref.Size:
		return s.condemnCopied(d, st.ino, mismatch(sum, n))
	}
	s.index.trust(d, st)
	return nil
}

// condemnCopied sets a damaged blob aside. Where a good file took its place meanwhile, what was copied is damaged all the same.
func (s *Disk) condemnCopied(d aplomb.Digest, ino uint64, why string) error {
	damage, err := s.setAside(d, ino, why)
	s.tell(damage)
	if errors.Is(err, errReplaced) || err == nil {
		err = fmt.Errorf("blob %s: %w: %s", d.Short(), aplomb.ErrDamaged, why)
	}
	return err
}

// writeFailure keeps an error of the writer from being taken for one of the blob.
type writeFailure struct{ error }

// copyFile writes at most size bytes, and returns the sum over what it read.
func (s *Disk) copyFile(w io.Writer, fd int, size int64) (sum aplomb.Digest, read int64, err error) {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	h := sha256.New()
	for {
		n, err := s.sys.read(fd, *buf)
		if err != nil {
			return aplomb.Digest{}, read, err
		}
		if n == 0 {
			return aplomb.Digest(h.Sum(nil)), read, nil
		}
		h.Write((*buf)[:n])
		fits := min(int64(n), max(0, size-read))
		read += int64(n)
		if _, err := w.Write((*buf)[:fits]); err != nil {
			return aplomb.Digest{}, read, writeFailure{err}
		}
	}
}
