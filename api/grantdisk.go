package api

import (
	"errors"
	"os"
	"syscall"
)

// errNoSpace is what the system says when the disk is full.
var errNoSpace error = syscall.ENOSPC

// writeSynced writes to a file of this user alone, and returns when the disk has it.
func writeSynced(file string, how int, body []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|how, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
