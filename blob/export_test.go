package blob

import (
	"fmt"
	"log/slog"
	"os"
)

// Call is a call to the system, as a test sees it: create, write, read, fsync, syncfs or rename of a path.
type Call struct {
	Op, Path, From string
}

// OpenThrough opens a store whose calls go through a function, which does each or not and says what came of it.
func OpenThrough(lg *slog.Logger, dir string, cfg Config, through func(c Call, do func() error) error) (*Disk, error) {
	real := linux()
	count := func(op string, call func(int, []byte) (int, error)) func(int, []byte) (int, error) {
		return func(fd int, p []byte) (n int, _ error) {
			err := through(Call{Op: op, Path: pathOf(fd)}, func() (err error) {
				n, err = call(fd, p)
				return err
			})
			return n, err
		}
	}
	plain := func(op string, call func(int) error) func(int) error {
		return func(fd int) error {
			return through(Call{Op: op, Path: pathOf(fd)}, func() error { return call(fd) })
		}
	}
	return open(lg, dir, cfg, system{
		create: func(path string) (fd int, _ error) {
			err := through(Call{Op: "create", Path: path}, func() (err error) {
				fd, err = real.create(path)
				return err
			})
			return fd, err
		},
		write:  count("write", real.write),
		read:   count("read", real.read),
		fsync:  plain("fsync", real.fsync),
		syncfs: plain("syncfs", real.syncfs),
		rename: func(from, to string) error {
			return through(Call{Op: "rename", Path: to, From: from}, func() error { return real.rename(from, to) })
		},
	})
}

func pathOf(fd int) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err.Error()
	}
	return path
}

// ParseRecord and AppendRecord are the lines of the encodings file.
var (
	ParseRecord  = parseRecord
	AppendRecord = appendRecord
)
