package edge

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// records are what the edge told of its answers.
type records struct {
	mu   sync.Mutex
	of   []Record
	more chan struct{}
}

func (s *records) add(r Record) {
	s.mu.Lock()
	s.of = append(s.of, r)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// next waits for the next record: an answer is read before it is recorded.
func (s *records) next(t testing.TB) Record {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		if len(s.of) > 0 {
			r := s.of[0]
			s.of = s.of[1:]
			s.mu.Unlock()
			return r
		}
		s.mu.Unlock()
		select {
		case <-s.more:
		case <-limit:
			t.Fatal("nothing was recorded")
		}
	}
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// tcpApp is an app that answers by hand. Checks of health are answered well; each other request's head is handed to
// answer, after which the connection is closed.
func tcpApp(t testing.TB, answer func(c net.Conn, head string)) string {
	t.Helper()
	addr, _ := stoppingApp(t, answer)
	return addr
}

// stoppingApp is a tcpApp that can be stopped: from then on it refuses connections.
func stoppingApp(t testing.TB, answer func(c net.Conn, head string)) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				var head strings.Builder
				in := bufio.NewReader(c)
				for !strings.HasSuffix(head.String(), "\r\n\r\n") {
					b, err := in.ReadByte()
					if err != nil {
						return
					}
					head.WriteByte(b)
				}
				if strings.Contains(head.String(), "Aplomb-Health") {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					return
				}
				answer(bufferedConn{c, in}, head.String())
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return l.Addr().String(), func() { l.Close() }
}

type bufferedConn struct {
	net.Conn
	in *bufio.Reader
}

func (c bufferedConn) Read(b []byte) (int, error) { return c.in.Read(b) }

func tlsState() *tls.ConnectionState { return &tls.ConnectionState{ServerName: shopHost} }

// eventually waits until something is so.
func eventually(t testing.TB, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !so() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("it never became so")
		}
	}
}

// down counts the targets that are out of the turn.
func down(e *Edge) (n int) {
	ts := e.shelf.apps
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.all {
		if t.down.Load() {
			n++
		}
	}
	return n
}

// healthy answers checks, and hands on the rest.
func healthy(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "Aplomb-Health" {
			h(w, r)
		}
	}
}
