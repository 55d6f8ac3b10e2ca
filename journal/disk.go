package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"aplomb"
)

// disk takes every durable step of a journal. Tests put themselves between a step and the file system, and fail it
// both ways: lost, or done but reported lost.
type disk struct {
	fault func(step) error // nil in production: the step is done
}

// step is one durable step: what is done to which path.
type step struct {
	act   string
	path  string
	bytes []byte // of a write
	at    int64
	file  *os.File
	do    func() error
}

func (d disk) take(s step) error {
	if d.fault == nil {
		return s.do()
	}
	return d.fault(s)
}

// create makes a file that did not exist, for reading and writing.
func (d disk) create(path string) (*os.File, error) {
	var f *os.File
	err := d.take(step{act: "create", path: path, do: func() (err error) {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	}})
	if err != nil && f != nil {
		f.Close()
		return nil, err
	}
	return f, err
}

func (d disk) write(f *os.File, b []byte, at int64) error {
	return d.take(step{act: "write", path: f.Name(), bytes: b, at: at, file: f, do: func() error {
		_, err := f.WriteAt(b, at)
		return err
	}})
}

func (d disk) sync(f *os.File) error {
	return d.take(step{act: "sync", path: f.Name(), file: f, do: f.Sync})
}

func (d disk) truncate(f *os.File, size int64) error {
	return d.take(step{act: "truncate", path: f.Name(), file: f, do: func() error { return f.Truncate(size) }})
}

func (d disk) mkdir(path string) error {
	return d.take(step{act: "mkdir", path: path, do: func() error { return os.Mkdir(path, 0o700) }})
}

func (d disk) link(from, to string) error {
	return d.take(step{act: "link", path: to, do: func() error { return os.Link(from, to) }})
}

func (d disk) rename(from, to string) error {
	return d.take(step{act: "rename", path: to, do: func() error { return os.Rename(from, to) }})
}

// remove takes away a file or a folder with all it holds; that it is not there is no error.
func (d disk) remove(path string) error {
	return d.take(step{act: "remove", path: path, do: func() error { return os.RemoveAll(path) }})
}

// syncDir makes names in a folder durable: without it a created or renamed file can be gone after a power cut.
func (d disk) syncDir(path string) error {
	return d.take(step{act: "sync folder", path: path, do: func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	}})
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// noSpace reports whether err says that the disk, or the user's part of it, is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, aplomb.ErrNoSpace)
}

// spaceless gives err the kind aplomb.ErrNoSpace where it says so. Only an act that left nothing behind may use it.
func spaceless(err error) error {
	if err != nil && noSpace(err) && !errors.Is(err, aplomb.ErrNoSpace) {
		return fmt.Errorf("%w: %w", err, aplomb.ErrNoSpace)
	}
	return err
}
