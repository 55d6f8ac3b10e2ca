package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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

	checkEvery = 2 * time.Second
	checkTime  = 2 * time.Second
	// So many checks in a row take a target out of the turn, and bring it back.
	checksDown, checksUp = 3, 2
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

// checker asks targets how they are.
type checker struct {
	every, limit     time.Duration
	warm, warmUrgent time.Duration
}

// check asks each live target once, all at the same time.
func (ts *targets) check(ctx context.Context) {
	ts.mu.Lock()
	live := make([]*target, 0, len(ts.live))
	for t := range ts.live {
		live = append(live, t)
	}
	ts.mu.Unlock()
	var asked sync.WaitGroup
	for _, t := range live {
		asked.Go(func() {
			err := ts.checks.ask(ctx, t)
			if ctx.Err() == nil {
				ts.judge(t, err)
			}
		})
	}
	asked.Wait()
}

// judge takes a target out of the turn, or back, after several checks in a row said so.
func (ts *targets) judge(t *target, err error) {
	down := t.down.Load()
	if (err != nil) == down {
		t.checked = 0
		return
	}
	t.checked++
	switch {
	case !down && t.checked >= checksDown:
		t.down.Store(true)
		t.checked = 0
		ts.lg.Warn("app target down", "site", t.key.site, "target", t.key.addr, "err", err)
	case down && t.checked >= checksUp:
		t.down.Store(false)
		t.checked = 0
		ts.lg.Info("app target up", "site", t.key.site, "target", t.key.addr)
	}
}

// ask asks a target for its health path once, on a connection of its own.
func (k checker) ask(ctx context.Context, t *target) error {
	if err := k.askOnce(ctx, t); err != nil {
		return fmt.Errorf("the app at %s: %w", t.key.addr, err)
	}
	return nil
}

func (k checker) askOnce(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, k.limit)
	defer cancel()
	dialer := net.Dialer{}
	made, err := dialer.DialContext(ctx, t.network, t.dst)
	if err != nil {
		return err
	}
	defer made.Close()
	stop := context.AfterFunc(ctx, func() { _ = made.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	ask := "GET " + t.key.health + " HTTP/1.1\r\nHost: " + *t.host.Load() + "\r\nUser-Agent: Aplomb-Health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := made.Write([]byte(ask)); err != nil {
		return err
	}
	c := &appConn{net: made, buf: new([answerHeadMost]byte)}
	var h answerHead
	for h.status < 200 {
		if err := c.readHead(http.MethodGet, &h); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("no answer within %v", k.limit)
			}
			return err
		}
	}
	if h.status >= 400 {
		return fmt.Errorf("GET %s answers %d", t.key.health, h.status)
	}
	return nil
}

const (
	// warmTime is how long the app of a release may take until it answers its checks, before visitors go there.
	warmTime = 10 * time.Second
	// warmTimeUrgent is the same where visitors are taken away from a release.
	warmTimeUrgent = 2 * time.Second
	warmAgain      = 200 * time.Millisecond
)

// warm waits until every route has a target that answers its check.
func (ts *targets) warm(ctx context.Context, apps []*appRoute, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	failed := make([]error, len(apps))
	var routes sync.WaitGroup
	for i, app := range apps {
		routes.Go(func() { failed[i] = ts.warmRoute(ctx, app) })
	}
	routes.Wait()
	return errors.Join(failed...)
}

// warmRoute asks the targets of one route until one of them is well.
func (ts *targets) warmRoute(ctx context.Context, app *appRoute) error {
	again := time.NewTicker(warmAgain)
	defer again.Stop()
	last := make([]error, len(app.to))
	for {
		errs := make([]error, len(app.to))
		var asked sync.WaitGroup
		for i, t := range app.to {
			asked.Go(func() { errs[i] = ts.checks.ask(ctx, t) })
		}
		asked.Wait()
		if ctx.Err() == nil || last[0] == nil {
			last = errs
		}
		if slices.Contains(errs, nil) {
			for i, t := range app.to {
				t.down.Store(errs[i] != nil)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(last...)
		case <-again.C:
		}
	}
}
