package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// space returns what this user may still write to the disk of the data folder, and the disk's size.
func (h *house) space() (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(h.dir, &st); err != nil {
		return 0, 0, fmt.Errorf("look at the disk of %s: %w", h.dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}
