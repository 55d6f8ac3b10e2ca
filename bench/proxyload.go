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
)

// proxyLoad asks an app 10^5 times over 20 switches between two releases that have an app each. An answer of the other app
// than the one that was acknowledged before the question counts as stale.
func (r *run) proxyLoad() error {
	s, err := r.up(true)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, key := range []string{"Aa", "Bb"} {
		app, err := r.nginxOf("app"+key, "", `return 200 "`+key+`";`, "default_type text/plain;", "1")
		if err != nil {
			return err
		}
		defer app.stop()
		if err := r.deployApp(s, app.addr); err != nil {
			return err
		}
	}
	var t tally
	var acked atomic.Pointer[string]
	key := "Bb"
	acked.Store(&key)
	var visitors sync.WaitGroup
	for i := range loadClients {
		visitors.Go(func() { visitApp(s.addr, i, &t, &acked) })
	}
	took, err := r.switchUnder(s, &t, &acked)
	visitors.Wait()
	if err != nil {
		return err
	}
	ours := fmt.Sprintf("%d requests, rollback and undo median %s ms", t.requests.Load(), number(median(took)))
	for _, c := range []struct {
		what string
		n    int64
	}{{"failed", t.failed.Load()}, {"closed under a request", t.closed.Load()}, {"from the other app, after the acknowledgement", t.stale.Load()}} {
		r.add(fmt.Sprintf("another app with each of %d switches, under full load: %s", loadSwitches, c.what), ours, "", fmt.Sprint(c.n), "0", c.n == 0)
	}
	return nil
}

// visitApp asks the app on one kept-alive connection, every other visitor with a body.
func visitApp(addr string, visitor int, t *tally, acked *atomic.Pointer[string]) {
	ask := "GET /api HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"
	if visitor%2 == 1 {
		ask = "POST /api HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000)
	}
	var conn net.Conn
	var in *bufio.Reader
	for t.requests.Add(1) <= loadRequests {
		if conn == nil {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.failed.Add(1)
				continue
			}
			conn, in = c, bufio.NewReader(c)
		}
		want := acked.Load()
		_, err := io.WriteString(conn, ask)
		var resp *http.Response
		if err == nil {
			resp, err = http.ReadResponse(in, nil)
		}
		var body []byte
		if err == nil {
			body, err = io.ReadAll(resp.Body)
		}
		switch {
		case err != nil || resp.Close:
			t.closed.Add(1)
			conn.Close()
			conn = nil
		case resp.StatusCode != http.StatusOK:
			t.failed.Add(1)
		case want != nil && acked.Load() == want && string(body) != *want:
			t.stale.Add(1)
		}
	}
	if conn != nil {
		conn.Close()
	}
}
