package edge

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"aplomb"
)

const (
	dialTime = 3 * time.Second
	// idleConns is how many connections to one target wait for the next request, idleConnTime for how long.
	idleConns    = 256
	idleConnTime = 60 * time.Second
	// appDrainTime is how long what is under way goes on with a target that no kept release names any more.
	appDrainTime = 30 * time.Second
)

// targetKey names a target: an address of an app as one site asks it.
type targetKey struct {
	site   aplomb.SiteName
	addr   string
	health string
}

// target is one address of an app with the connections to it.
type target struct {
	key          targetKey
	network, dst string

	// host is what a check asks for; it changes with the site's hosts.
	host atomic.Pointer[string]
	// down takes it out of the turn while there is another.
	down atomic.Bool
	// checked is owned by whoever checks: how many checks in a row said the opposite of down.
	checked int

	mu      sync.Mutex // guards the rest
	idle    []*appConn // the longest idle first
	busy    *appConn   // a list
	retired time.Time  // since when no kept release names it; zero while one does
}

// targets are all targets of an edge. Releases that name the same address share it. Safe for concurrent use.
type targets struct {
	lg     *slog.Logger
	checks checker
	// trusted are the proxies whose word on their clients counts.
	trusted []netip.Prefix

	tunnels sync.WaitGroup

	mu  sync.Mutex // guards the rest
	all map[targetKey]*target
	// live are those that visitors get now: they are checked.
	live   map[*target]bool
	closed bool
}

func newTargets(lg *slog.Logger, trusted []netip.Prefix) *targets {
	checks := checker{every: checkEvery, limit: checkTime, warm: warmTime, warmUrgent: warmTimeUrgent}
	return &targets{lg: lg, checks: checks, trusted: trusted, all: map[targetKey]*target{}, live: map[*target]bool{}}
}

// enter counts a tunnel, unless the edge stops.
func (ts *targets) enter() bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if !ts.closed {
		ts.tunnels.Add(1)
	}
	return !ts.closed
}

// lookup returns the targets of a route's addresses, and makes those that are not known.
func (ts *targets) lookup(site aplomb.Site, r aplomb.AppRoute) []*target {
	host := answeredHost(site)
	out := make([]*target, len(r.To))
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for i, addr := range r.To {
		key := targetKey{site.Name, addr, healthPath(r)}
		t := ts.all[key]
		if t == nil {
			t = &target{key: key, network: "tcp", dst: addr}
			if path, ok := strings.CutPrefix(addr, "unix:"); ok {
				t.network, t.dst = "unix", path
			}
			ts.all[key] = t
		}
		t.host.Store(&host)
		t.retire(false, time.Time{})
		out[i] = t
	}
	return out
}

// healthPath is what a target of the route is asked for before it gets visitors.
func healthPath(r aplomb.AppRoute) string {
	if r.Health == "" {
		return "/"
	}
	return r.Health
}

// answeredHost is the first host of a site that does not lead to another.
func answeredHost(site aplomb.Site) string {
	for _, h := range site.Hosts {
		if _, led := site.RedirectTo[h]; !led {
			return string(h)
		}
	}
	return "localhost"
}

// settle makes the targets of live ones those that are checked, and retires those that no kept release names.
func (ts *targets) settle(sites map[aplomb.SiteName]*site, shelf *shelf) {
	needed, live := map[targetKey]bool{}, map[*target]bool{}
	for _, s := range sites {
		for _, app := range s.apps {
			for _, t := range app.to {
				live[t], needed[t.key] = true, true
			}
		}
		for _, k := range s.route.Kept {
			r, _ := shelf.lookup(k.Manifest)
			if r == nil {
				continue
			}
			for _, app := range r.app {
				for _, addr := range app.To {
					needed[targetKey{s.route.Site.Name, addr, healthPath(app)}] = true
				}
			}
		}
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.live = live
	now := time.Now()
	for key, t := range ts.all {
		t.retire(!needed[key], now)
	}
}

func (t *target) retire(retired bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !retired:
		t.retired = time.Time{}
	case t.retired.IsZero():
		t.retired = now
	}
}

// sweep closes connections that were idle for long, and what is left of targets that were retired long enough ago.
func (ts *targets) sweep(now time.Time) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for key, t := range ts.all {
		if t.sweep(now) {
			delete(ts.all, key)
		}
	}
}

// sweep reports whether the target has ended.
func (t *target) sweep(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ended := !t.retired.IsZero() && now.Sub(t.retired) >= appDrainTime
	old := len(t.idle)
	if !ended {
		old = 0
		for old < len(t.idle) && now.Sub(t.idle[old].since) > idleConnTime {
			old++
		}
	}
	for _, c := range t.idle[:old] {
		c.net.Close()
	}
	t.idle = slices.Delete(t.idle, 0, old)
	if ended {
		for c := t.busy; c != nil; c = c.next {
			c.net.Close()
		}
	}
	return ended
}

// run checks the live targets until ctx ends.
func (ts *targets) run(ctx context.Context) error {
	tick := time.NewTicker(ts.checks.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			ts.sweep(now)
			ts.check(ctx)
		}
	}
}

// close ends all connections, also those under way, and waits for the tunnels over them.
func (ts *targets) close() {
	ts.mu.Lock()
	ts.closed = true
	for _, t := range ts.all {
		t.retire(true, time.Time{}.Add(1))
		t.sweep(time.Now())
	}
	ts.mu.Unlock()
	ts.tunnels.Wait()
}

// connect returns a connection to the target: an idle one of the last so long, or a new one.
func (t *target) connect(ctx context.Context, idleMost time.Duration) (c *appConn, reused bool, err error) {
	for {
		c := t.takeIdle(idleMost)
		if c == nil {
			break
		}
		if c.quiet() {
			return c, true, nil
		}
		t.drop(c)
	}
	dialer := net.Dialer{Timeout: dialTime}
	made, err := dialer.DialContext(ctx, t.network, t.dst)
	if err != nil {
		return nil, false, fmt.Errorf("connect to the app at %s: %w", t.key.addr, err)
	}
	c = newAppConn(made)
	t.mu.Lock()
	t.link(c)
	t.mu.Unlock()
	return c, false, nil
}

// takeIdle takes the connection that was used last.
func (t *target) takeIdle(most time.Duration) *appConn {
	if most == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.idle)
	if n == 0 || time.Since(t.idle[n-1].since) > most {
		return nil
	}
	c := t.idle[n-1]
	t.idle[n-1] = nil
	t.idle = t.idle[:n-1]
	t.link(c)
	return c
}

// release gives a connection back for the next request.
func (t *target) release(c *appConn, now time.Time) {
	c.since = now
	t.mu.Lock()
	t.unlink(c)
	kept := len(t.idle) < idleConns && t.retired.IsZero()
	if kept {
		t.idle = append(t.idle, c)
	}
	t.mu.Unlock()
	if !kept {
		c.net.Close()
	}
}

// drop ends a connection.
func (t *target) drop(c *appConn) {
	t.mu.Lock()
	t.unlink(c)
	t.mu.Unlock()
	c.net.Close()
}

func (t *target) link(c *appConn) {
	c.prev, c.next = nil, t.busy
	if t.busy != nil {
		t.busy.prev = c
	}
	t.busy = c
}

func (t *target) unlink(c *appConn) {
	if c.prev != nil {
		c.prev.next = c.next
	} else if t.busy == c {
		t.busy = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}
