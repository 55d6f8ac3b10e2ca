package edge

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// upload streams a request's body to an app while the answer is waited for. It is the one thing that takes a goroutine:
// an app may answer before it has read everything.
type upload struct {
	done    chan struct{}
	stopped atomic.Bool
	// valid once done is closed
	clientErr, appErr error
}

var errStopped = errors.New("the answer came first")

var uploadBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// startUpload sends the head and then the body.
func (x *exchange) startUpload() {
	control := http.NewResponseController(x.w)
	_ = control.EnableFullDuplex() // where there is no such thing there is no need
	_ = x.conn.net.SetDeadline(time.Time{})
	u := &upload{done: make(chan struct{})}
	x.upload = u
	c, body, chunks, head, timeout := x.conn, x.body, x.chunks, x.out, x.app.timeout
	go func() {
		defer close(u.done)
		u.copy(c, body, chunks, head, timeout, control)
		switch {
		case u.clientErr != nil:
			_ = c.net.SetDeadline(longAgo) // the app gets no whole request
		case u.appErr != nil:
			_ = c.net.SetReadDeadline(time.Now().Add(dialTime)) // it may have said why
		default:
			_ = control.SetReadDeadline(time.Time{})
			_ = c.net.SetReadDeadline(time.Now().Add(timeout))
		}
	}()
}

func (u *upload) copy(c *appConn, body io.Reader, chunks bool, head []byte, timeout time.Duration, control *http.ResponseController) {
	write := func(b []byte) bool {
		_ = c.net.SetWriteDeadline(time.Now().Add(appWriteTime))
		_, u.appErr = c.net.Write(b)
		return u.appErr == nil
	}
	if !write(head) {
		return
	}
	buf := uploadBuffers.Get().(*[32 << 10]byte)
	defer uploadBuffers.Put(buf)
	const room = 16 // for the size of a chunk, and 2 for its end
	began, total := time.Now(), int64(0)
	for {
		most := began.Add(uploadTime + time.Duration(total/uploadRate)*time.Second)
		if pause := time.Now().Add(uploadPause); pause.Before(most) {
			most = pause
		}
		_ = control.SetReadDeadline(most)
		_ = control.SetWriteDeadline(most.Add(timeout + sendTime))
		if u.stopped.Load() {
			u.appErr = errStopped
			return
		}
		n, err := body.Read(buf[room : len(buf)-2])
		total += int64(n)
		if n > 0 {
			part := buf[room : room+n]
			if chunks {
				size := strconv.AppendInt(nil, int64(n), 16)
				start := room - 2 - len(size)
				copy(buf[start:], size)
				copy(buf[room-2:], "\r\n")
				copy(buf[room+n:], "\r\n")
				part = buf[start : room+n+2]
			}
			if !write(part) {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			if chunks {
				write([]byte("0\r\n\r\n"))
			}
			return
		}
		if err != nil {
			u.clientErr = err
			return
		}
	}
}

// ended reports whether nothing more will be sent.
func (u *upload) ended() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// clean reports whether all was sent. Valid once ended.
func (u *upload) clean() bool { return u.clientErr == nil && u.appErr == nil }

// endUpload waits until nothing of the request is read any more. What is still under way is ended.
func (x *exchange) endUpload() {
	if x.upload == nil || x.upload.ended() {
		return
	}
	x.upload.stopped.Store(true)
	if x.conn != nil {
		x.conn.net.Close()
	}
	_ = http.NewResponseController(x.w).SetReadDeadline(longAgo)
	<-x.upload.done
}
