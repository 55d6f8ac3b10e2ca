package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"aplomb"
)

// Reserve is a file that takes space so that it can be given back: a rollback's fact is written on a full disk.
type Reserve struct {
	path string
	size int64
	disk disk

	// mu is held while the file is made or removed, so that the two never meet.
	mu   sync.Mutex
	held bool
}

// OpenReserve returns the reserve of size bytes at path, and makes it if there is room. A disk without room is no error:
// the reserve is then not held.
func OpenReserve(path string, size int64) (*Reserve, error) {
	r := &Reserve{path: path, size: size}
	if info, err := os.Stat(path); err == nil && taken(info) >= size {
		r.held = true
		return r, nil
	}
	if err := r.Refill(); err != nil && !errors.Is(err, aplomb.ErrNoSpace) {
		return nil, err
	}
	return r, nil
}

// taken is how much space a file takes, whatever its length says.
func taken(info os.FileInfo) int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Blocks * 512
}

// Held reports whether the space is reserved now.
func (r *Reserve) Held() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// Free gives the space back, for whoever writes next.
func (r *Reserve) Free() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.disk.remove(r.path); err != nil {
		return fmt.Errorf("free the reserve: %w", err)
	}
	r.held = false
	if err := r.disk.syncDir(filepath.Dir(r.path)); err != nil {
		return fmt.Errorf("free the reserve: %w", err)
	}
	return nil
}

// Refill takes the space again if the disk has twice as much free, so that the reserve never takes the last of it. When
// it has not, the error is aplomb.ErrNoSpace.
func (r *Reserve) Refill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held {
		return nil
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(r.path), &fs); err != nil {
		return fmt.Errorf("refill the reserve: %w", err)
	}
	if free := int64(fs.Bavail) * int64(fs.Bsize); free < 2*r.size {
		return fmt.Errorf("refill the reserve: %d bytes are free, %d are needed: %w", free, 2*r.size, aplomb.ErrNoSpace)
	}
	if err := r.fill(r.path + newEnd); err != nil {
		err = fmt.Errorf("refill the reserve: %w", spaceless(err))
		return errors.Join(err, r.disk.remove(r.path+newEnd))
	}
	r.held = true
	return nil
}

func (r *Reserve) fill(making string) error {
	if err := r.disk.remove(making); err != nil {
		return err
	}
	f, err := r.disk.create(making)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := allocate(f, r.size); err != nil {
		return err
	}
	if err := r.disk.sync(f); err != nil {
		return err
	}
	if err := r.disk.rename(making, r.path); err != nil {
		return err
	}
	return r.disk.syncDir(filepath.Dir(r.path))
}

// writeOut takes space by writing it, where a file system cannot just allocate it. The bytes are such that no file
// system stores them as a hole or compressed to nothing.
func writeOut(f *os.File, size int64) error {
	b := make([]byte, 64<<10)
	x := uint32(1)
	for size > 0 {
		for i := range b {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			b[i] = byte(x)
		}
		n, err := f.Write(b[:min(size, int64(len(b)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
