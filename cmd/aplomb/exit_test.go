package main

import (
	"context"
	"fmt"
	"testing"

	"aplomb"
)

func TestEveryKindOfErrorHasItsExitCode(t *testing.T) {
	t.Parallel()
	cases := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{fmt.Errorf("anything"), 1},
		{aplomb.ErrInternal, 1},
		{aplomb.ErrDown, 1},
		{aplomb.ErrUsage, 2},
		{context.Canceled, 2},
		{aplomb.ErrInvalid, 3},
		{aplomb.ErrNoSpace, 3},
		{aplomb.ErrDenied, 4},
		{errWithdrawn, 5},
		{errWaiting, 6},
		{aplomb.ErrRefused, 7},
		{aplomb.ErrNotFound, 7},
		{aplomb.ErrConflict, 7},
		{aplomb.ErrRunning, 8},
		{errDetached, 8},
		{aplomb.ErrNeeded, 9},
		{aplomb.ErrDegraded, 10},
		{aplomb.ErrDamaged, 10},
	}
	for _, c := range cases {
		err := c.err
		if err != nil {
			err = fmt.Errorf("act: %w", err)
		}
		if got := exitOf(err); got != c.want {
			t.Errorf("exitOf(%v) = %d, want %d", err, got, c.want)
		}
	}
}

func TestAnErrorExitsByItsCodeNotByItsCause(t *testing.T) {
	t.Parallel()
	err := aplomb.NewError(aplomb.CodeUsage, "a", "b", "c").Because(aplomb.ErrDegraded)
	if got := exitOf(err); got != exitUsage {
		t.Errorf("exitOf = %d, want %d", got, exitUsage)
	}
}

func TestEveryCodeOfAnErrorLeadsToAnExitCodeThatIsExplained(t *testing.T) {
	t.Parallel()
	for code := range aplomb.Codes {
		exit := exitOf(aplomb.NewError(code, "a", "b", "c"))
		if exit == exitDone || exitMeaning(exit) == exitMeaning(exitInterrupted) {
			t.Errorf("%s exits with %d, which --help does not explain", code, exit)
		}
	}
}
