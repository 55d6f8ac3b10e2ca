package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	loadRequests = 100_000
	loadClients  = 16
	loadSwitches = 20
)

// tally is what the visitors of a load saw.
type tally struct {
	requests, failed, closed, stale, chunks404 atomic.Int64
}

// load asks 10^5 times over 20 switches, with the server on one core. A document that was asked for after a switch was
// acknowledged and shows the release before counts as stale; every document's chunk is asked for right after it.
func (r *run) load() error {
	s, err := r.up(true)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, key := range []string{"Aa", "Bb"} {
		dir, err := r.smallSite(key)
		if err != nil {
			return err
		}
		if _, err := r.deploy(s, dir); err != nil {
			return err
		}
	}
	var t tally
	var acked atomic.Pointer[string] // the key that the last acknowledged switch brought; nil while one is under way
	key := "Bb"
	acked.Store(&key)
	var visitors sync.WaitGroup
	began := time.Now()
	for range loadClients {
		visitors.Go(func() { visit(s.addr, &t, &acked) })
	}
	took, err := r.switchUnder(s, &t, &acked)
	visitors.Wait()
	if err != nil {
		return err
	}
	ours := fmt.Sprintf("%d requests in %s s, rollback and undo median %s ms", t.requests.Load(), number(time.Since(began).Seconds()), number(median(took)))
	for _, c := range []struct {
		what string
		n    int64
	}{
		{"failed", t.failed.Load()}, {"closed under a request", t.closed.Load()}, {"from the table before, after the acknowledgement", t.stale.Load()}, {"open pages' chunks answered 404", t.chunks404.Load()},
	} {
		r.add(fmt.Sprintf("full load on one core, %d switches: %s", loadSwitches, c.what), ours, "", fmt.Sprint(c.n), "0", c.n == 0)
	}
	return nil
}

// switchUnder switches whenever another part of the requests is through.
func (r *run) switchUnder(s *server, t *tally, acked *atomic.Pointer[string]) ([]float64, error) {
	var took []float64
	keys := []string{"Aa", "Bb"}
	for i := range loadSwitches {
		for t.requests.Load() < int64((i+1)*loadRequests/(loadSwitches+2)) {
			time.Sleep(time.Millisecond)
		}
		verb := []string{"rollback", "undo"}[i%2]
		acked.Store(nil)
		ms, err := timed(func() error { _, err := r.aplomb(s, verb, "--site", "shop"); return err })
		if err != nil {
			t.requests.Store(loadRequests)
			return took, err
		}
		acked.Store(&keys[i%2])
		took = append(took, ms)
	}
	return took, nil
}

// visit loads pages on one kept-alive connection until enough requests were made.
func visit(addr string, t *tally, acked *atomic.Pointer[string]) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.failed.Add(1)
		return
	}
	defer func() { conn.Close() }()
	br := bufio.NewReader(conn)
	ask := func(path string) (int, string) {
		t.requests.Add(1)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", path)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.closed.Add(1)
			if c, err := net.Dial("tcp", addr); err == nil {
				conn.Close()
				conn, br = c, bufio.NewReader(c)
			}
			return 0, ""
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.Close {
			t.closed.Add(1)
		}
		return resp.StatusCode, string(b)
	}
	for t.requests.Load() < loadRequests {
		want := acked.Load()
		status, body := ask("/")
		if status != http.StatusOK {
			t.failed.Add(1)
			continue
		}
		if want != nil && acked.Load() == want && !strings.Contains(body, "<title>"+*want+"</title>") {
			t.stale.Add(1)
		}
		_, rest, _ := strings.Cut(body, "src=")
		chunk, _, _ := strings.Cut(rest, ">")
		if status, _ := ask(chunk); status == http.StatusNotFound {
			t.chunks404.Add(1)
		} else if status != http.StatusOK {
			t.failed.Add(1)
		}
	}
}
