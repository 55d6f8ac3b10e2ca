package api

import (
	"fmt"
	"testing"
	"time"
)

func TestAttemptsAreCountedByAddressAndForgotten(t *testing.T) {
	t.Parallel()
	a, now := newAttempts(), time.Now()
	for i := range 3 {
		if got := a.failed("192.0.2.1:1000", now); got != i+1 {
			t.Errorf("attempt %d counts as %d", i+1, got)
		}
	}
	for remote, want := range map[string]int{"192.0.2.1:2000": 4, "192.0.2.2:1000": 1, "[2001:db8:0:1::1]:1": 1} {
		if got := a.failed(remote, now); got != want {
			t.Errorf("%s counts as %d, want %d", remote, got, want)
		}
	}
	if got := a.failed("[2001:db8:0:1:ffff::2]:1", now); got != 2 {
		t.Errorf("another address of the same /64 counts as %d, want 2", got)
	}
	if got := a.failed("192.0.2.1:1000", now.Add(attemptsIn)); got != 1 {
		t.Errorf("a minute later: %d, want 1", got)
	}
}

func TestAttemptsFromEverywhereTakeNoMoreMemory(t *testing.T) {
	t.Parallel()
	a, now := newAttempts(), time.Now()
	for i := range 10 * maxAddresses {
		a.failed(fmt.Sprintf("10.%d.%d.1:5", i/256, i%256), now)
	}
	if n := len(a.since); n > maxAddresses+1 {
		t.Errorf("%d addresses are told apart, want at most %d", n, maxAddresses+1)
	}
	if got := a.failed("192.0.2.1:1", now); got <= maxAttempts {
		t.Errorf("one address more counts as %d, want it with all the others", got)
	}
	if got := a.failed("192.0.2.1:1", now.Add(2*attemptsIn)); got != 1 || len(a.since) > maxAddresses {
		t.Errorf("later: %d, of %d addresses; want those that are over forgotten", got, len(a.since))
	}
}
