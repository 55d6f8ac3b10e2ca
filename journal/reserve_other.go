//go:build !linux

package journal

import "os"

// allocate takes size bytes of space for an empty file.
func allocate(f *os.File, size int64) error { return writeOut(f, size) }
