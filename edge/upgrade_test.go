package edge

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const upgradeRequest = "GET /live HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// echo is an app whose WebSockets say its name and then whatever they are told.
func echo(t testing.TB, name string) string {
	return tcpApp(t, func(c net.Conn, head string) {
		if !strings.Contains(head, "Connection: Upgrade\r\nUpgrade: websocket\r\n") || !strings.Contains(head, "Sec-Websocket-Key: dGhl") {
			fmt.Fprintf(c, "HTTP/1.1 400 Bad\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(head), head)
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"+name+"\n")
		io.Copy(c, c)
	})
}

// webSocket opens one and reads the name of the app at its end.
func webSocket(t *testing.T, e *Edge, early string) (net.Conn, *bufio.Reader, string) {
	t.Helper()
	c, err := net.Dial("tcp", e.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, upgradeRequest+early)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Sec-Websocket-Accept") != "x" {
		t.Fatalf("upgrade: %v %v", resp, err)
	}
	name, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return c, in, strings.TrimSpace(name)
}

func say(t *testing.T, c net.Conn, in *bufio.Reader, text string) {
	t.Helper()
	done := make(chan error, 1)
	go func() { _, err := io.WriteString(c, text); done <- err }()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(in, got); err != nil || string(got) != text {
		t.Fatalf("echo of %d bytes: %.20q, %v", len(text), got, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestAWebSocketStaysWithItsAppThroughASwitch(t *testing.T) {
	t.Parallel()
	w, e, seen := serving(t, content{"/index.html": "home"}, way("/live", echo(t, "one")))
	c, in, name := webSocket(t, e, "early")
	if name != "one" {
		t.Fatalf("reached %q", name)
	}
	early := make([]byte, 5)
	if _, err := io.ReadFull(in, early); err != nil || string(early) != "early" {
		t.Errorf("what was sent early: %q, %v", early, err)
	}
	say(t, c, in, "hello")
	w.perform(e, intent(route(2, w.release(2, content{"/index.html": "two"}, ways(way("/live", echo(t, "two")))), e.Routes()[0].Kept...)))
	say(t, c, in, strings.Repeat("a large message ", 20_000))
	_, _, name = webSocket(t, e, "")
	if name != "two" {
		t.Errorf("a new one reached %q, want two", name)
	}
	c.Close()
	if rec := seen.next(t); rec.Status != 101 || rec.Release != "r1" || rec.Bytes < 320_000 || rec.Cause != CauseNone {
		t.Errorf("record %+v", rec)
	}
}

func TestAWebSocketEndsWithItsOtherEnd(t *testing.T) {
	t.Parallel()
	at := tcpApp(t, func(c net.Conn, _ string) {
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\none\nlast words")
	})
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/live", at))
	_, in, _ := webSocket(t, e, "")
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "last words" {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

func TestTheEdgeEndsWithoutWaitingForWebSockets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := listening(t, w, anyPort)
	stop := run(t, e)
	w.perform(e, intent(route(1, w.release(1, content{"/index.html": "home"}, ways(way("/live", echo(t, "one")))))))
	_, in, _ := webSocket(t, e, "")
	began := time.Now()
	stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if rest, _ := io.ReadAll(in); len(rest) > 0 {
		t.Errorf("after the end: %q", rest)
	}
}

// TestOnlyWebSocketsAreSwitchedTo: other protocols, HTTP/2 in the clear among them, are not the app's to choose.
func TestOnlyWebSocketsAreSwitchedTo(t *testing.T) {
	t.Parallel()
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/live", echo(t, "one")))
	for _, c := range []struct{ from, to string }{
		{"Upgrade: websocket", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"}, {"Upgrade: websocket", "Upgrade: websocket, h2c"},
		{"Connection: keep-alive, Upgrade", "Connection: keep-alive"}, {"GET ", "POST "}, {"Upgrade: websocket", "Upgrade: websocket\r\nContent-Length: 3"},
	} {
		sent := strings.Replace(upgradeRequest, c.from, c.to, 1)
		sent = strings.Replace(sent, "\r\n\r\n", "\r\nX-End: 1\r\n\r\nabc", 1)
		conn, err := net.Dial("tcp", e.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, sent)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 400 {
			t.Errorf("%s: %v %v, want no switch", c.to, resp, err)
			continue
		}
		head, _ := io.ReadAll(resp.Body)
		for _, not := range []string{"Upgrade:", "Http2-Settings", "Connection:"} {
			if bytes.Contains(head, []byte(not)) {
				t.Errorf("%s: the app got %q", c.to, head)
			}
		}
	}
}

func TestAWebSocketOverTLSReachesTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	table := w.table(route(1, w.release(1, content{"/index.html": "home"}, ways(way("/live", echo(t, "one"))))))
	s := httptest.NewTLSServer(table)
	t.Cleanup(s.Close)
	c, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // the certificate is the test's own
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, upgradeRequest)
	in := bufio.NewReader(c)
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v %v", resp, err)
	}
	if name, err := in.ReadString('\n'); err != nil || name != "one\n" {
		t.Fatalf("%q %v", name, err)
	}
	say(t, c, in, strings.Repeat("said ", 10_000))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
	table.apps.close() // returns when the tunnel has ended
}

func TestAFileIsNoWebSocket(t *testing.T) {
	t.Parallel()
	_, e, _ := serving(t, content{"/index.html": "home", "/live": "a file"}, way("/", echo(t, "rest")))
	if _, _, name := webSocket(t, e, ""); name != "rest" {
		t.Errorf("reached %q", name)
	}
}
