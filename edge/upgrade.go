package edge

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// tunnelPause is how long both ends of a tunnel may be silent.
	tunnelPause = time.Hour
	// tunnelLinger is how long the other direction goes on when one has ended.
	tunnelLinger = 5 * time.Second
)

// tunnel joins the visitor's connection and the app's, from the app's 101 on until one of them ends, the target's drain
// ends, or the edge stops.
func (x *exchange) tunnel() {
	if !strings.EqualFold(x.head.upgrade, "websocket") {
		x.fail(garbage("it switches to %.40q", x.head.upgrade))
		return
	}
	if !x.apps.enter() {
		x.fail(errors.New("the edge stops"))
		return
	}
	defer x.apps.tunnels.Done()
	client, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.o.sendFailure(x.w, x.r, x.host, failure{http.StatusBadGateway, CauseEdge})
		return
	}
	defer client.Close()
	if !x.stop() { // the visitor is gone
		panic(http.ErrAbortHandler)
	}
	x.stop = func() bool { return false }
	c := x.conn
	first := append(x.switchingHead(), c.buf[c.begin:c.end]...)
	if rec := recorderOf(x.w); rec != nil {
		rec.record.Status = http.StatusSwitchingProtocols
		rec.record.Bytes = join(client, c.net, buffered, first)
		return
	}
	join(client, c.net, buffered, first)
}

// switchingHead is the head of the 101 as the visitor gets it.
func (x *exchange) switchingHead() []byte {
	b := []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
	for _, f := range x.head.fields {
		switch f.name {
		case "Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		}
		b = append(b, f.name+": "+f.value+"\r\n"...)
	}
	return append(b, "\r\n"...)
}

// join copies both ways until one has ended and the other had time to, and returns the bytes sent to the client after the
// head. early is what the client sent too early to be asked for it, first what it gets first.
func join(client, app net.Conn, early io.Reader, first []byte) int64 {
	if _, err := client.Write(first); err != nil {
		return 0
	}
	_ = app.SetDeadline(time.Time{})
	var j joint
	j.last.Store(time.Now().UnixNano())
	done := make(chan struct{})
	go func() {
		defer close(done)
		j.pass(app, client, early)
	}()
	n := j.pass(client, app, app)
	<-done
	return n
}

// joint is what the two directions of a tunnel know of each other.
type joint struct {
	last   atomic.Int64 // when something came last, from either side
	ending atomic.Bool
	broken atomic.Bool // what is under way ends too
}

// pass copies one way. At its end the other side is told, and has a short time for what it still sends; where it broke off,
// or was cut, it has none.
func (j *joint) pass(to, from net.Conn, in io.Reader) (n int64) {
	buf := uploadBuffers.Get().(*[32 << 10]byte)
	defer uploadBuffers.Put(buf)
	for {
		_ = from.SetReadDeadline(time.Unix(0, j.last.Load()).Add(tunnelPause))
		if j.ending.Load() {
			_ = from.SetReadDeadline(j.until())
		}
		k, err := in.Read(buf[:])
		if k > 0 {
			j.last.Store(time.Now().UnixNano())
			_ = to.SetWriteDeadline(time.Now().Add(sendTime))
			if _, failed := to.Write(buf[:k]); failed != nil {
				err = failed
			}
			n += int64(k)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && !j.ending.Load() && time.Since(time.Unix(0, j.last.Load())) < tunnelPause {
			continue
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				j.broken.Store(true)
			}
			break
		}
	}
	j.ending.Store(true)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = to.SetReadDeadline(j.until())
	return n
}

// until is how long the direction that is left may go on.
func (j *joint) until() time.Time {
	if j.broken.Load() {
		return longAgo
	}
	return time.Now().Add(tunnelLinger)
}
