package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"aplomb"
)

// FolderLock keeps other processes out of a data folder. It ends with the process, however that ends.
type FolderLock struct {
	file *os.File
}

// holder is what stands in the lock's file.
type holder struct {
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
	Who   string    `json:"who"`
}

// holderSize is what the file always holds: with its block taken once, it can be written on a full disk.
const holderSize = 512

// Lock takes the lock of the data folder dir, for the command who. When another process has it, the error is of code
// aplomb.CodeLocked and names that process; Lock never waits.
func Lock(dir, who string) (*FolderLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	readOnly := errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EACCES)
	if readOnly { // a lock needs no writing
		if f, err = os.Open(path); errors.Is(err, os.ErrNotExist) {
			f, err = os.Open(dir)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, lockedBy(f, dir)
		}
		return nil, fmt.Errorf("lock the data folder %s: %w", dir, err)
	}
	l := &FolderLock{file: f}
	if readOnly {
		return l, nil
	}
	if err := l.sign(who); err != nil && !noSpace(err) {
		f.Close()
		return nil, fmt.Errorf("lock the data folder %s: %w", dir, err)
	}
	return l, nil
}

// sign writes who holds the lock. It is for people: nothing depends on it.
func (l *FolderLock) sign(who string) error {
	for {
		b, err := json.Marshal(holder{PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second), Who: who})
		if err != nil {
			return err
		}
		if len(b) < holderSize {
			text := append(b, bytes.Repeat([]byte(" "), holderSize-len(b)-1)...)
			_, err = l.file.WriteAt(append(text, '\n'), 0)
			return err
		}
		who = who[:min(len(who)/2, 100)]
	}
}

func lockedBy(f *os.File, dir string) error {
	why := "another process, which has just started, uses it"
	do := "stop that process, or use another folder with --dir"
	var h holder
	b, err := io.ReadAll(io.LimitReader(f, holderSize))
	signed := err == nil && json.Unmarshal(b, &h) == nil && h.PID > 0
	if pid := lockedByPID(f); pid > 0 && (!signed || pid != h.PID) {
		// It could not sign: what stands in the file is of a process before it.
		return aplomb.NewError(aplomb.CodeLocked, fmt.Sprintf("the data folder %s is in use", dir),
			fmt.Sprintf("process %d uses it, and could not write its name there", pid), "aplomb status (it serves already), or use another folder with --dir")
	}
	if signed {
		why = fmt.Sprintf("process %d (%s) has used it since %s", h.PID, h.Who, h.Since.Format(time.RFC3339))
		do = "aplomb status (it serves already), or use another folder with --dir"
	}
	return aplomb.NewError(aplomb.CodeLocked, fmt.Sprintf("the data folder %s is in use", dir), why, do)
}

// lockedByPID asks the system which process has a file's lock; 0 where it does not tell.
func lockedByPID(f *os.File) int {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	table, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	inode := fmt.Sprintf(":%d", st.Ino)
	for line := range strings.Lines(string(table)) { // "1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF"
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || !strings.HasSuffix(fields[5], inode) {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil {
			return pid
		}
	}
	return 0
}

// Close gives the lock back.
func (l *FolderLock) Close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
