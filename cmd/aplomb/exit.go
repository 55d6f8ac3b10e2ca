package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"aplomb"
)

// The exit codes. They are part of the contract: scripts branch on them.
const (
	exitDone        = 0
	exitUnexpected  = 1
	exitUsage       = 2
	exitInvalid     = 3
	exitDenied      = 4
	exitWithdrawn   = 5
	exitWaiting     = 6
	exitRefused     = 7
	exitRunning     = 8
	exitNeeded      = 9
	exitDegraded    = 10
	exitInterrupted = 130
)

// What a command can end with although nothing failed: its result was printed, and the exit code says the rest.
var (
	errWaiting   = errors.New("the release waits")
	errWithdrawn = errors.New("the release was taken back")
	errDetached  = errors.New("it goes on without this command")
	errUnproved  = errors.New("what was looked for afterwards is still there")
)

// exitOf is the one place where a kind of error becomes an exit code.
func exitOf(err error) int {
	if err == nil {
		return exitDone
	}
	kind := err
	if e, ok := errors.AsType[*aplomb.Error](err); ok {
		kind = e.Kind()
	}
	switch {
	case errors.Is(kind, errWaiting):
		return exitWaiting
	case errors.Is(kind, errWithdrawn):
		return exitWithdrawn
	case errors.Is(kind, errDetached), errors.Is(kind, aplomb.ErrRunning):
		return exitRunning
	case errors.Is(kind, aplomb.ErrNeeded), errors.Is(kind, errUnproved):
		return exitNeeded
	case errors.Is(kind, aplomb.ErrDegraded), errors.Is(kind, aplomb.ErrDamaged):
		return exitDegraded
	case errors.Is(kind, aplomb.ErrDenied):
		return exitDenied
	case errors.Is(kind, aplomb.ErrRefused), errors.Is(kind, aplomb.ErrNotFound), errors.Is(kind, aplomb.ErrConflict):
		return exitRefused
	case errors.Is(kind, aplomb.ErrInvalid), errors.Is(kind, aplomb.ErrNoSpace):
		return exitInvalid
	case errors.Is(kind, aplomb.ErrUsage), errors.Is(kind, context.Canceled):
		return exitUsage
	}
	return exitUnexpected
}

// printed reports whether an error only carries an exit code: its result is on stdout already.
func printed(err error) bool {
	return errors.Is(err, errWaiting) || errors.Is(err, errWithdrawn) || errors.Is(err, errDetached) || errors.Is(err, errUnproved)
}

// exitHelp explains the given codes for a command's --help.
func exitHelp(codes ...int) string {
	var b strings.Builder
	for _, code := range codes {
		b.WriteString("  " + pad(strconv.Itoa(code), 3) + exitMeaning(code) + "\n")
	}
	return b.String()
}

func exitMeaning(code int) string {
	switch code {
	case exitDone:
		return "done"
	case exitUnexpected:
		return "unexpected error, or no server answers; the last line says what production is"
	case exitUsage:
		return "called in a way it does not know, or cancelled before anything was sent"
	case exitInvalid:
		return "what was sent cannot be used; production is unchanged"
	case exitDenied:
		return "not logged in or not allowed"
	case exitWithdrawn:
		return "went live and was taken back"
	case exitWaiting:
		return "waiting; it goes on by itself"
	case exitRefused:
		return "refused: no such site or release, a rule, or a flag is needed"
	case exitRunning:
		return "still going on; ask with: aplomb status"
	case exitNeeded:
		return "it could not be completed: a person is needed"
	case exitDegraded:
		return "the store refuses to write; reads and rollback still work"
	}
	return "ended by a second signal"
}
