package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aplomb"
)

func TestTargetsTakeTurns(t *testing.T) {
	t.Parallel()
	named := func(name string) string {
		return app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) })
	}
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", named("a"), named("b"), named("c")))
	c, got := client(t), map[string]int{}
	for range 30 {
		got[bodyOf(t, ask(t, c, e, "GET", "/api", nil))]++
	}
	if got["a"] != 10 || got["b"] != 10 || got["c"] != 10 {
		t.Errorf("answers %v, want ten of each", got)
	}
}

func TestATargetThatRefusesConnectionsCostsNoRequest(t *testing.T) {
	t.Parallel()
	gone, stop := stoppingApp(t, func(c net.Conn, _ string) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") })
	well := app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, readAll(r.Body)) })
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", gone, well))
	stop()
	c := client(t)
	for i := range 20 {
		body := strings.Repeat("x", i*10_000) // also such as are streamed: nothing of them has been read
		if got := bodyOf(t, ask(t, c, e, "POST", "/api", strings.NewReader(body))); got != body {
			t.Fatalf("POST %d: got %d bytes, want %d", i, len(got), len(body))
		}
	}
}

func TestAReleaseGetsNoVisitorBeforeItsAppAnswers(t *testing.T) {
	t.Parallel()
	var well atomic.Bool
	var checked atomic.Int64
	at := app(t, func(w http.ResponseWriter, r *http.Request) {
		checked.Add(1)
		if r.URL.Path != "/up" || r.Host != shopHost {
			t.Errorf("checked with %s at %s", r.URL, r.Host)
		}
		if !well.Load() {
			w.WriteHeader(503)
		}
	})
	other := app(t, func(http.ResponseWriter, *http.Request) {})
	w := newWorld(t)
	e := w.edge(t.TempDir())
	e.shelf.apps.checks.warm = 500 * time.Millisecond
	w.perform(e, intent(route(1, w.release(1, content{"/index.html": "one"}))))
	next := way("/api", at)
	next.Health = "/up"
	r2 := route(2, w.release(2, content{"/index.html": "two"}, ways(way("/other", other), next)), e.Routes()[0].Kept...)
	_, err := e.Perform(t.Context(), intent(r2))
	told, ok := errors.AsType[*aplomb.Error](err)
	if !ok || told.Code != aplomb.CodeAppCold || !strings.Contains(told.Why, at) || !strings.Contains(told.Why, "503") || strings.Contains(told.Why, other) || !strings.Contains(told.Do, "promote r2 --site shop") {
		t.Fatalf("Perform: %v, want the app named that does not answer", err)
	}
	if got := e.Routes()[0].Live; got != "r1" || checked.Load() < 1 {
		t.Errorf("live %s after %d checks, want r1 still", got, checked.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Perform(ctx, intent(r2)); err == nil {
		t.Error("a cancelled intent moved")
	}
	well.Store(true)
	w.perform(e, intent(r2))
	if got := bodyOf(t, get(e, "/")); got != "two" {
		t.Errorf("serves %q, want two", got)
	}
}

func TestAnUrgentMoveChecksTooUnlessItIsTheLastChoice(t *testing.T) {
	t.Parallel()
	down, stop := stoppingApp(t, func(net.Conn, string) {})
	shared := app(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
	w := newWorld(t)
	e := w.edge(t.TempDir())
	e.shelf.apps.checks.warmUrgent = 100 * time.Millisecond
	r1 := w.release(1, content{"/index.html": "one"}, ways(way("/api", down)))
	w.perform(e, intent(route(1, r1)))
	r2 := w.release(2, content{"/index.html": "two"})
	w.perform(e, intent(route(2, r2, r1)))
	stop()
	_, err := e.Perform(t.Context(), urgent(route(3, r1, r2)))
	if told, ok := errors.AsType[*aplomb.Error](err); !ok || told.Code != aplomb.CodeAppCold || e.Routes()[0].Live != "r2" {
		t.Fatalf("urgent to a cold app: %v, live %s", err, e.Routes()[0].Live)
	}
	in := urgent(route(3, r1, r2))
	in.Cold = true
	w.perform(e, in)
	if got := e.Routes()[0].Live; got != "r1" || !strings.Contains(w.log.String(), "no other is left") {
		t.Errorf("live %s, want r1 and a word in the log", got)
	}
	// The same app behind both: going back is no worse than staying.
	r3, r4 := w.release(3, content{"/index.html": "three"}, ways(way("/api", shared))), w.release(4, content{"/index.html": "four"}, ways(way("/api", shared)))
	in = urgent(route(4, r3))
	in.Cold = true
	w.perform(e, in)
	w.perform(e, urgent(route(5, r4, r3)))
	if got := e.Routes()[0].Live; got != "r4" {
		t.Errorf("live %s, want r4", got)
	}
}

func TestOneBadCheckChangesNothingAndTheLastTargetIsNeverDropped(t *testing.T) {
	t.Parallel()
	a, b := &target{key: targetKey{addr: "a"}}, &target{key: targetKey{addr: "b"}}
	ts := newTargets(newWorld(t).lg, nil)
	route := &appRoute{to: []*target{a, b}}
	turn := func() string {
		var order []string
		route.inTurn(func(t *target) bool { order = append(order, t.key.addr); return false })
		return strings.Join(order, "")
	}
	bad := errors.New("bad")
	for i, c := range []struct {
		a    error
		down bool
	}{
		{bad, false}, {bad, false}, {nil, false}, {bad, false}, {bad, false}, {bad, true}, {nil, true}, {bad, true}, {nil, true}, {nil, false},
	} {
		ts.judge(a, c.a)
		if got := a.down.Load(); got != c.down {
			t.Errorf("after check %d: down %v, want %v", i, got, c.down)
		}
		if order := turn() + turn(); c.down && order != "baba" || !c.down && order != "abba" && order != "baab" {
			t.Errorf("after check %d: turns %q", i, order)
		}
	}
	for range 3 {
		ts.judge(a, bad)
		ts.judge(b, bad)
	}
	if order := turn(); len(order) != 2 {
		t.Errorf("all are down: turns %q, want both tried", order)
	}
}

func TestATargetThatIsDownIsPassedOverAndComesBack(t *testing.T) {
	t.Parallel()
	var sick atomic.Bool
	flapping := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() == "Aplomb-Health" && sick.Load() {
			w.WriteHeader(500)
		}
		io.WriteString(w, "flapping")
	})
	well := app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "well") })
	w, e, _ := serving(t, content{"/index.html": "home"}, way("/api", flapping, well))
	c := client(t)
	share := func() (n int) {
		for range 10 {
			if bodyOf(t, ask(t, c, e, "GET", "/api", nil)) == "flapping" {
				n++
			}
		}
		return n
	}
	sick.Store(true)
	eventually(t, func() bool { return down(e) == 1 })
	if n := share(); n != 0 {
		t.Errorf("%d of 10 went to a target that is down", n)
	}
	sick.Store(false)
	eventually(t, func() bool { return down(e) == 0 })
	if n := share(); n != 5 {
		t.Errorf("%d of 10 went to the target that is back, want 5", n)
	}
	sick.Store(true)
	gone := route(2, w.release(2, content{"/index.html": "x"}, ways(way("/api", flapping))), e.Routes()[0].Kept...)
	in := urgent(gone)
	in.Cold = true
	w.perform(e, in)
	if n := share(); n != 10 {
		t.Errorf("%d of 10 went to the last target, want all", n)
	}
}

func TestWhatIsNoLongerKeptEndsAfterTheDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ts := newTargets(newWorld(t).lg, nil)
		site := aplomb.Site{Name: "shop", Hosts: []aplomb.Host{shopHost}}
		got := ts.lookup(site, way("/", "127.0.0.1:1"))[0]
		if again := ts.lookup(site, way("/api", "127.0.0.1:1"))[0]; again != got {
			t.Error("two targets of one address")
		}
		idle, busy := &endedConn{}, &endedConn{}
		got.mu.Lock()
		got.link(&appConn{net: busy})
		got.mu.Unlock()
		parked := &appConn{net: idle}
		got.mu.Lock()
		got.link(parked)
		got.mu.Unlock()
		got.release(parked, time.Now())
		ts.settle(nil, newShelf(nil))
		time.Sleep(appDrainTime - time.Second)
		ts.sweep(time.Now())
		if busy.ended || idle.ended {
			t.Error("ended before the drain's end")
		}
		time.Sleep(2 * time.Second)
		ts.sweep(time.Now())
		if !busy.ended || !idle.ended || len(ts.all) != 0 {
			t.Errorf("after the drain: busy ended %v, idle ended %v, %d targets", busy.ended, idle.ended, len(ts.all))
		}
	})
}

func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := &target{}
		var conns []*endedConn
		for range 3 {
			c := &endedConn{}
			conns = append(conns, c)
			a := &appConn{net: c}
			got.link(a)
			got.release(a, time.Now())
			time.Sleep(idleConnTime / 2)
		}
		got.sweep(time.Now())
		if !conns[0].ended || conns[1].ended || conns[2].ended || len(got.idle) != 2 {
			t.Errorf("ended %v %v %v, %d idle", conns[0].ended, conns[1].ended, conns[2].ended, len(got.idle))
		}
	})
}

type endedConn struct {
	net.Conn
	ended bool
}

func (c *endedConn) Close() error { c.ended = true; return nil }

func TestSwitchesWithAnotherAppUnderLoadFailNothing(t *testing.T) {
	t.Parallel()
	const switches, visitors, visitsBetween = 20, 8, 50
	w, e, _ := serving(t, content{"/index.html": "start"})
	var kept []aplomb.KeptRelease
	for n := 1; n <= switches; n++ {
		at := app(t, healthy(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, n, " ", len(readAll(r.Body))) }))
		kept = append(kept, w.release(n+1, content{"/index.html": fmt.Sprint("document ", n)}, ways(way("/api", at))))
	}
	to := func(n int) aplomb.Route {
		return route(int64(n+1), kept[n-1], slices.Concat(kept[:n-1], kept[n:])...)
	}
	w.perform(e, intent(to(1)))
	var acked atomic.Int64
	acked.Store(1)
	visited, stop := make(chan error), make(chan struct{})
	var load sync.WaitGroup
	for v := range visitors {
		load.Go(func() {
			c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			defer c.CloseIdleConnections()
			for {
				select {
				case visited <- visitApp(c, "http://"+e.Addrs()[0].String(), v, &acked):
				case <-stop:
					return
				}
			}
		})
	}
	for n := 2; n <= switches; n++ {
		for range visitsBetween {
			if err := <-visited; err != nil {
				t.Error(err)
			}
		}
		w.perform(e, intent(to(n)))
		acked.Store(int64(n))
	}
	close(stop)
	load.Wait()
}

// visitApp asks the app, which must be that of the last acknowledged switch or a later one.
func visitApp(c *http.Client, base string, visitor int, acked *atomic.Int64) error {
	least := acked.Load()
	method, body := []string{"GET", "POST", "PUT"}[visitor%3], ""
	if method != "GET" {
		body = strings.Repeat("x", 1+visitor*20_000)
	}
	r, err := http.NewRequest(method, base+"/api", strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Host = shopHost
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got := readAll(resp.Body)
	name, length, _ := strings.Cut(got, " ")
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil || resp.StatusCode != 200 || n < least || length != strconv.Itoa(len(body)) {
		return fmt.Errorf("%s after switch %d: %d %q", method, least, resp.StatusCode, got)
	}
	return nil
}

func TestAPreviewOfAReleaseAsksItsApp(t *testing.T) {
	t.Parallel()
	at := app(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, r.Header.Get("Aplomb-Release")) })
	w := newWorld(t)
	r2 := w.release(2, content{"/index.html": "two"}, ways(way("/api", at)))
	shown := route(1, w.release(1, content{"/index.html": "one"}), r2)
	table := w.table(shown)
	s := table.sites["shop"]
	table.previews = &previews{key: []byte("k"), now: time.Now, shelf: newShelf(w.blobs)}
	as := &site{route: s.route, union: s.union}
	as.route.Live = "r2"
	rec := httptest.NewRecorder()
	table.answerPreview(rec, request("POST", "/api"), shopHost, as, near(s))
	if got := rec.Body.String(); got != "POSTr2" {
		t.Errorf("the preview's app said %q", got)
	}
}

func TestAShortTimeoutDoesNotCostTheConnection(t *testing.T) {
	t.Parallel()
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	w := newWorld(t)
	table := w.table(route(1, w.release(1, content{"/index.html": "x"}, ways(way("/api", s.Listener.Addr().String())))))
	const timeout = 200 * time.Millisecond
	table.sites["shop"].apps[0].timeout = timeout
	for range 2 {
		if got := get(table, "/api").StatusCode; got != 200 {
			t.Fatalf("status %d", got)
		}
		<-time.After(timeout + 20*time.Millisecond)
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections, want the first used again", n)
	}
}
