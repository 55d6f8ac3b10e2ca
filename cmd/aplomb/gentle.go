package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// gentleness is how far work that can wait stands behind visitors where both want a processor.
const gentleness = 10

// gently does work on a thread of its own that visitors' threads go before. The thread ends with the work: without
// privileges no thread gets its rank back.
func gently(work func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()                                             // and never unlocked
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), gentleness) // where it is not allowed, the work is done all the same
		done <- work()
	}()
	return <-done
}
