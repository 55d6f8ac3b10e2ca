// Command aplomb serves web sites, puts new releases of them live and takes them back. It reads flags, environment and
// aplomb.toml, opens every part and joins every goroutine; it decides nothing about releases itself.
package main

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	ctx, release := untilSignal()
	c := &call{
		stdin:  os.Stdin,
		stdout: os.Stdout,
		stderr: os.Stderr,
		screen: screenOf(os.Stderr, os.Getenv),
		getenv: os.Getenv,
		now:    time.Now,
		name:   calledAs(os.Args[0]),
	}
	code := c.run(ctx, os.Args[1:])
	release()
	os.Exit(code)
}

// calledAs returns how people have to call this program again: by its name where that finds it, else by the path they gave.
func calledAs(arg string) string {
	name := filepath.Base(arg)
	if name == arg {
		return name
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return shellWord(arg)
	}
	this, thisErr := os.Stat(arg)
	that, thatErr := os.Stat(found)
	if thisErr == nil && thatErr == nil && !os.SameFile(this, that) {
		return shellWord(arg)
	}
	return name
}

// untilSignal returns a context that ends with the first interrupt or termination signal. The second one ends the
// process at once: whoever asks twice does not want to wait for a drain.
func untilSignal() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel()
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// screenOf looks at a file as a place to write for people.
func screenOf(f *os.File, getenv func(string) string) screen {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return newScreen(false, 0, getenv)
	}
	width, _, err := term.GetSize(fd)
	if err != nil {
		width = 80
	}
	return newScreen(true, width, getenv)
}
