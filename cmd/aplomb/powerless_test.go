package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// powerlessMain is the command powerless COMMAND…: it runs a command for which the modes of files hold, also where root runs
// the scripts.
func powerlessMain() {
	runtime.LockOSThread() // powers belong to a thread, and this one becomes the command
	for _, power := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, power, 0, 0, 0); err != nil && !errors.Is(err, unix.EPERM) {
			fail(err)
		}
	}
	file, err := exec.LookPath(os.Args[1])
	if err != nil {
		fail(err)
	}
	fail(unix.Exec(file, os.Args[1:], os.Environ()))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
