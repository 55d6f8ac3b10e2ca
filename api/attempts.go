package api

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxAttempts is how many requests that are not let in are answered in full, per address and attemptsIn.
	maxAttempts = 20
	attemptsIn  = time.Minute
	// maxAddresses bounds how many addresses are told apart; the others share one count.
	maxAddresses = 1024
)

// attempts counts requests that were not let in, by address, so that a log and this process are not filled by somebody who
// guesses. A right token is let in from everywhere at any time: nobody can keep a rollback out by guessing beside it.
type attempts struct {
	mu    sync.Mutex
	since map[netip.Prefix]window
}

type window struct {
	began time.Time
	n     int
}

func newAttempts() *attempts { return &attempts{since: map[netip.Prefix]window{}} }

// failed counts one, and returns how many there were from its address in this window.
func (a *attempts) failed(remote string, now time.Time) int {
	from := network(remote)
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.since[from]; !known && len(a.since) >= maxAddresses {
		for p, w := range a.since {
			if now.Sub(w.began) >= attemptsIn {
				delete(a.since, p)
			}
		}
		if len(a.since) >= maxAddresses {
			from = netip.Prefix{}
		}
	}
	w := a.since[from]
	if now.Sub(w.began) >= attemptsIn {
		w = window{began: now}
	}
	w.n++
	a.since[from] = w
	return w.n
}

// network is an address as far as it is somebody's own: an IPv4 address, or the /64 of an IPv6 address.
func network(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // bits are in range
	return p
}
