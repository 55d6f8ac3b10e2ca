package blob

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"aplomb"
)

// system is what the store's promises hang on. Tests replace single calls by ones that fail, or that do what is asked
// and report a failure.
type system struct {
	create func(path string) (fd int, err error)
	write  func(fd int, p []byte) (int, error)
	read   func(fd int, p []byte) (int, error)
	fsync  func(fd int) error
	syncfs func(fd int) error
	rename func(from, to string) error
}

func linux() system {
	return system{
		create: func(path string) (int, error) {
			return again(func() (int, error) {
				return unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
			})
		},
		write: func(fd int, p []byte) (int, error) {
			return again(func() (int, error) { return unix.Write(fd, p) })
		},
		read: func(fd int, p []byte) (int, error) {
			return again(func() (int, error) { return unix.Read(fd, p) })
		},
		fsync:  func(fd int) error { return againErr(func() error { return unix.Fsync(fd) }) },
		syncfs: func(fd int) error { return againErr(func() error { return unix.Syncfs(fd) }) },
		rename: func(from, to string) error { return againErr(func() error { return unix.Rename(from, to) }) },
	}
}

// again repeats a call that a signal interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

func againErr(call func() error) error {
	_, err := again(func() (int, error) { return 0, call() })
	return err
}

func (s *Disk) writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := s.sys.write(fd, p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (s *Disk) syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return diskError("open folder", err)
	}
	defer f.Close()
	if err := s.sys.fsync(int(f.Fd())); err != nil {
		return diskError("sync folder "+path, err)
	}
	return nil
}

// diskError names the act and, where the disk or the quota is full, the kind.
func diskError(act string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%s: %w: %w", act, aplomb.ErrNoSpace, err)
	}
	return fmt.Errorf("%s: %w", act, err)
}

func appendHex(b, p []byte) []byte { return hex.AppendEncode(b, p) }
