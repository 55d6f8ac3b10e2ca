package aplomb

import (
	"errors"
	"fmt"
)

// The kinds of errors callers branch on with errors.Is. Exit codes and HTTP statuses are made from kinds, each in one
// place (cmd/aplomb and api).
var (
	ErrUsage    = errors.New("usage")         // the call is wrong: exit 2
	ErrNotFound = errors.New("not found")     // no such site, release, blob
	ErrInvalid  = errors.New("invalid")       // what was sent cannot be used; before the first share: exit 3
	ErrDenied   = errors.New("denied")        // not logged in or not allowed: exit 4
	ErrRefused  = errors.New("refused")       // policy, or a flag is needed: exit 7
	ErrRunning  = errors.New("still running") // still going on: exit 8
	ErrNeeded   = errors.New("person needed") // a withdrawal could not be completed: exit 9
	ErrDegraded = errors.New("degraded")      // the store refuses to write: exit 10
	ErrConflict = errors.New("conflict")      // somebody else was first: reload and try again
	ErrDamaged  = errors.New("damaged")       // stored bytes are not what was stored
	ErrNoSpace  = errors.New("no space")      // the disk is full
	ErrInternal = errors.New("internal")      // our bug: exit 1
	ErrDown     = errors.New("unreachable")   // the server does not answer: exit 1
)

// Code names an error for people and documentation: "APL-2104". Codes are listed, with their kind and a text, in
// Codes; a code is never used for two things.
type Code string

// Error is an error as people get it. All five parts are there: what happened, why, what to do (ready to paste),
// whether production changed, and a code. NewError makes one; whoever knows the site's state adds Production.
type Error struct {
	Code Code   `json:"code"`
	What string `json:"what"`
	Why  string `json:"why"`
	Do   string `json:"do"`
	// Production says what production is now: "Production is unchanged: still r41, live since 14:02."
	Production string `json:"production"`

	cause error
}

// NewError returns an error with the code's kind. Why and Do are never empty.
func NewError(code Code, what, why, do string) *Error {
	return &Error{Code: code, What: what, Why: why, Do: do}
}

// Because returns e with the error that caused it, for errors.Is and logs. It is not shown to people.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// With returns e with the sentence that says what production is now.
func (e *Error) With(production string) *Error {
	c := *e
	c.Production = production
	return &c
}

// Kind returns the kind of the error's code, ErrInternal for an unlisted one.
func (e *Error) Kind() error {
	if c, ok := Codes[e.Code]; ok {
		return c.Kind
	}
	return ErrInternal
}

// Error returns the error in one line.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s (%s)", e.What, e.Why, e.Code) }

// Unwrap gives errors.Is the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{e.Kind(), e.cause}
	}
	return []error{e.Kind()}
}

// CodeText is what is known of a code.
type CodeText struct {
	Kind  error
	Title string
}
