package journal

import (
	"errors"
	"os"
	"syscall"
)

// allocate takes size bytes of space for an empty file.
func allocate(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return writeOut(f, size)
	}
	return err
}
