package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"aplomb"
)

const (
	// smallUpload is the size up to which a request's body is read before an app is asked: the app's connection does not wait
	// for a slow client, and a request that cannot have arrived can be sent again.
	smallUpload = 64 << 10
	// A client's body has uploadTime at first, and uploadTime more for each uploadRate*uploadTime bytes that came. It may
	// pause for so long.
	uploadTime  = 60 * time.Second
	uploadRate  = 1 << 10 // bytes a second
	uploadPause = 30 * time.Second
	// appWriteTime is how long an app may not read what it is sent.
	appWriteTime = 60 * time.Second
	// appPause is how long an app may pause inside an answer of known length, streamPause inside any other.
	appPause    = 60 * time.Second
	streamPause = time.Hour
	// freshConnTime is how long a connection may have been idle for a request that must not be sent twice.
	freshConnTime = time.Second
	// interimMost bounds the answers before the answer.
	interimMost = 10
)

// exchange is one request to an app and its answer.
type exchange struct {
	o    *sender
	apps *targets
	w    http.ResponseWriter
	r    *http.Request
	site *site
	host aplomb.Host
	app  *appRoute

	out    []byte // the request's head, and its body where that is small
	body   io.Reader
	chunks bool // body is sent in chunks
	upload *upload
	// repeatable requests may be sent again when nothing came back.
	repeatable bool
	webSocket  bool
	interims   int

	target *target
	conn   *appConn
	stop   func() bool
	head   answerHead
}

var (
	exchanges   = sync.Pool{New: func() any { return &exchange{out: make([]byte, 0, 2<<10)} }}
	appBuffers  = sync.Pool{New: func() any { return new([answerHeadMost]byte) }}
	longAgo     = time.Unix(1, 0)
	closeStatus = []string{"close"}
)

// forward answers a request from an app.
func (t *Table) forward(w http.ResponseWriter, r *http.Request, s *site, host aplomb.Host, app *appRoute) {
	if refused := checkApp(r); refused.status != 0 {
		t.out.refuse(w, r, host, refused)
		return
	}
	delete(w.Header(), "Connection") // the body is read here
	x := exchanges.Get().(*exchange)
	*x = exchange{
		o: t.out, apps: t.apps, w: w, r: r, site: s, host: host, app: app,
		out: x.out[:0], head: x.head, webSocket: asksForWebSocket(r),
	}
	defer x.end()
	if !x.takeBody() {
		return
	}
	x.writeRequest()
	if err := x.send(); err != nil {
		x.fail(err)
		return
	}
	if x.head.status == http.StatusSwitchingProtocols {
		x.tunnel()
		return
	}
	x.answer()
}

// end gives back what the exchange holds.
func (x *exchange) end() {
	x.endUpload()
	if x.conn != nil {
		x.leave(false)
	}
	if cap(x.out) <= 2*smallUpload {
		*x = exchange{out: x.out, head: answerHead{fields: x.head.fields[:0], named: x.head.named[:0]}}
		exchanges.Put(x)
	}
}

// takeBody reads a small body, and keeps a large one to be streamed.
func (x *exchange) takeBody() bool {
	n := x.r.ContentLength
	if n == 0 || x.r.Body == nil || x.r.Body == http.NoBody {
		x.repeatable = idempotent(x.r.Method)
		return true
	}
	x.webSocket = false
	if n < 0 || n > smallUpload {
		x.body, x.chunks = x.r.Body, n < 0
		return true
	}
	x.repeatable = idempotent(x.r.Method)
	x.out = slices.Grow(x.out, int(n))[:n]
	control := http.NewResponseController(x.w)
	_ = control.SetReadDeadline(time.Now().Add(uploadTime)) // tests' writers have none
	_, err := io.ReadFull(x.r.Body, x.out)
	_ = control.SetReadDeadline(time.Time{})
	if err != nil {
		x.refuseBody(err)
		return false
	}
	return true
}

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// refuseBody answers a client whose body cannot be read.
func (x *exchange) refuseBody(err error) {
	refused, there := refusalOf(x.r.Context(), err)
	if !there {
		x.o.sendFailure(x.w, x.r, x.host, failure{statusHungUp, CauseClient})
	}
	x.w.Header()["Connection"] = closeStatus
	x.o.refuse(x.w, x.r, x.host, refused)
}

// fail answers in the place of the app.
func (x *exchange) fail(err error) {
	if x.upload != nil {
		x.endUpload()
		if x.upload.clientErr != nil {
			x.refuseBody(x.upload.clientErr)
			return
		}
		if x.upload.appErr != nil && !errors.Is(err, errGarbage) {
			err = x.upload.appErr
		}
	}
	if x.body != nil {
		x.w.Header()["Connection"] = closeStatus
	}
	f := failureOf(x.r.Context(), err)
	if f.cause != CauseClient {
		x.o.lg.Debug("app did not answer", "site", x.site.route.Site.Name, "release", x.site.route.Live, "cause", f.cause, "err", err)
	}
	x.o.sendFailure(x.w, x.r, x.host, f)
}

// errNotReached marks errors before which nothing of the request can have reached an app.
var errNotReached = errors.New("not reached")

// send sends the request to the target whose turn it is and reads the head of the answer. It goes on to the next where no
// connection was made.
func (x *exchange) send() error {
	var err error
	x.app.inTurn(func(t *target) bool {
		err = x.try(t)
		return !errors.Is(err, errNotReached) || x.r.Context().Err() != nil
	})
	return err
}

// try sends the request to one target. A connection that had been idle and ended before a byte came back was closed by
// the app without reading: what may be sent twice goes again, on a new one.
func (x *exchange) try(t *target) error {
	idle := idleConnTime
	if !x.repeatable {
		idle = freshConnTime
	}
	for {
		c, reused, err := t.connect(x.r.Context(), idle)
		if err != nil {
			return errors.Join(errNotReached, err)
		}
		x.target, x.conn = t, c
		c.buf, c.begin, c.end, c.read = appBuffers.Get().(*[answerHeadMost]byte), 0, 0, false
		x.stop = context.AfterFunc(x.r.Context(), func() { _ = c.net.SetDeadline(longAgo) })
		if err = x.converse(); err == nil {
			return nil
		}
		again := reused && !c.read && x.repeatable && failureOf(x.r.Context(), err).cause == CauseOriginUnreachable
		x.leave(false)
		if !again {
			return err
		}
		idle = 0
	}
}

// converse sends the request and reads the head of its answer.
func (x *exchange) converse() error {
	c := x.conn
	if x.body != nil {
		x.startUpload()
	} else {
		most := time.Now().Add(x.app.timeout)
		_ = c.net.SetDeadline(most)
		// The answer, or the word that there is none, has to find the visitor's connection open.
		_ = http.NewResponseController(x.w).SetWriteDeadline(most.Add(sendTime))
		if _, err := c.net.Write(x.out); err != nil && !x.mayHaveAnswered(err) {
			return err
		}
	}
	for {
		if err := c.readHead(x.r.Method, &x.head); err != nil {
			return err
		}
		switch {
		case x.head.status == http.StatusSwitchingProtocols && x.webSocket:
			return nil
		case x.head.status == http.StatusSwitchingProtocols:
			return garbage("it switches protocols unasked")
		case x.head.status >= 200:
			return nil
		}
		if x.interims++; x.interims > interimMost {
			return garbage("more than %d interim answers", interimMost)
		}
		if x.head.status == http.StatusEarlyHints {
			x.sendHints()
		}
	}
}

// mayHaveAnswered reports whether a write that failed may have been refused by an answer: an app that closes early.
func (x *exchange) mayHaveAnswered(err error) bool {
	return failureOf(x.r.Context(), err).cause == CauseOriginUnreachable
}

// sendHints passes on which resources the answer will need.
func (x *exchange) sendHints() {
	h := x.w.Header()
	for _, f := range x.head.fields {
		if f.name == "Link" {
			h["Link"] = append(h["Link"], f.value)
		}
	}
	if len(h["Link"]) > 0 && x.r.ProtoAtLeast(1, 1) {
		x.w.WriteHeader(http.StatusEarlyHints)
	}
	delete(h, "Link")
}

// leave gives the connection back, for another request where keep says so.
func (x *exchange) leave(keep bool) {
	c, t := x.conn, x.target
	x.conn = nil
	keep = x.stop() && keep
	appBuffers.Put(c.buf)
	c.buf = nil
	if keep {
		if x.app.timeout < idleConnTime {
			_ = c.net.SetDeadline(time.Time{}) // a past one would make it look closed
		}
		t.release(c, time.Now())
	} else {
		t.drop(c)
	}
}

// answer passes the app's answer on.
func (x *exchange) answer() {
	h, status := x.w.Header(), x.head.status
	x.copyFields(h)
	if x.upload != nil && !x.upload.ended() {
		h["Connection"] = closeStatus
	}
	x.o.report(x.w, x.r, x.host, status, causeOf(status))
	if x.upload != nil {
		x.allowTime()
	}
	x.w.WriteHeader(status)
	x.copyBody()
}

// allowTime gives the client time for the next part of the answer.
func (x *exchange) allowTime() {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(sendTime))
}

// copyBody passes the body on, each part as soon as it is there. A body that ends before its end cuts the visitor's
// connection: a part must not be taken for the whole.
func (x *exchange) copyBody() {
	c, began, unsent := x.conn, false, false
	for {
		part, err := c.ready()
		if len(part) > 0 {
			if began {
				x.allowTime()
			}
			if _, err := x.w.Write(part); err != nil {
				x.cut(failure{statusHungUp, CauseClient})
			}
			unsent = true
			continue
		}
		if err != nil {
			x.cut(failure{http.StatusBadGateway, CauseOriginBroken})
		}
		if c.done() {
			break
		}
		if !began {
			began = true
			x.allowTime()
		}
		if unsent || x.head.framing != bodyLength {
			_ = http.NewResponseController(x.w).Flush() // what cannot be flushed has no client
			unsent = false
		}
		pause := streamPause
		if x.head.framing == bodyLength {
			pause = appPause
		}
		_ = c.net.SetReadDeadline(time.Now().Add(pause))
		if _, err := c.more(); err != nil {
			x.cut(failureOf(x.r.Context(), err))
		}
	}
	whole := x.upload == nil || x.upload.ended() && x.upload.clean()
	x.leave(x.head.keep && c.begin == c.end && whole)
}

// cut ends the visitor's connection inside an answer.
func (x *exchange) cut(f failure) {
	if f.status == http.StatusBadGateway && f.cause == CauseOriginUnreachable {
		f.cause = CauseOriginBroken
	}
	x.o.report(x.w, x.r, x.host, f.status, f.cause)
	panic(http.ErrAbortHandler)
}
