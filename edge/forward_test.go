package edge

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aplomb"
)

// TestWhateverAnAppDoesItsVisitorGetsAnAnswerWithACause: none of it is called the visitor's fault, and none is kept.
func TestWhateverAnAppDoesItsVisitorGetsAnAnswerWithACause(t *testing.T) {
	t.Parallel()
	refusing, stop := stoppingApp(t, func(net.Conn, string) {})
	answers := func(text string) string {
		return tcpApp(t, func(c net.Conn, _ string) { io.WriteString(c, text) })
	}
	up := answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	hung := way("/hung", tcpApp(t, func(c net.Conn, _ string) { io.Copy(io.Discard, c) }))
	hung.Timeout = 1
	refused := way("/refusing", refusing)
	_, e, seen := serving(t, content{"/index.html": "home"}, hung, refused,
		way("/garbage", answers("SSH-2.0-x\r\n")), way("/smuggle", answers("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
		way("/silent", answers("")), way("/midhead", answers("HTTP/1.1 200 OK\r\nConte")), way("/large", answers("HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", answerHeadMost)+"\r\n\r\n")),
		way("/switch", answers("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")), way("/hints", answers(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20))), way("/well", up))
	stop()
	c := client(t)
	for _, a := range []struct {
		path, accept string
		status       int
		cause        Cause
		says         string
	}{
		{"/hung", "text/html", 504, CauseOriginTimeout, "<h1>This page is not available right now"},
		{"/refusing", "application/json", 502, CauseOriginUnreachable, `{"status":502,`},
		{"/silent", "*/*", 502, CauseOriginUnreachable, "not available"},
		{"/garbage", "text/html", 502, CauseOriginBroken, "<h1>"},
		{"/smuggle", "text/html", 502, CauseOriginBroken, "<h1>"},
		{"/midhead", "text/html", 502, CauseOriginBroken, "<h1>"},
		{"/large", "text/html", 502, CauseOriginBroken, "<h1>"},
		{"/switch", "text/html", 502, CauseOriginBroken, "<h1>"},
		{"/hints", "text/html", 502, CauseOriginBroken, "<h1>"},
		{"/well", "text/html", 200, CauseNone, ""},
	} {
		resp := ask(t, c, e, "GET", a.path, nil, "Accept", a.accept)
		body := bodyOf(t, resp)
		if resp.StatusCode != a.status || !strings.Contains(body, a.says) {
			t.Errorf("%s: %d %q, want %d with %q", a.path, resp.StatusCode, body, a.status, a.says)
		}
		if a.status != 200 && (resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(body, refusing)) {
			t.Errorf("%s: Cache-Control %q, body %q", a.path, resp.Header.Get("Cache-Control"), body)
		}
		if rec := seen.next(t); rec.Status != a.status || rec.Cause != a.cause || rec.Path != a.path {
			t.Errorf("%s: record %+v, want %d %s", a.path, rec, a.status, a.cause)
		}
	}
}

func TestAnAnswerThatEndsEarlyIsCutAndNeverTakenForWhole(t *testing.T) {
	t.Parallel()
	answers := func(text string) string {
		return tcpApp(t, func(c net.Conn, _ string) { io.WriteString(c, text) })
	}
	_, e, seen := serving(t, content{"/index.html": "home"},
		way("/length", answers("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello")), way("/chunks", answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")),
		way("/badchunk", answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")))
	for _, path := range []string{"/length", "/chunks", "/badchunk"} {
		got := raw(t, e.Addrs()[0], "GET "+path+" HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		if strings.HasSuffix(got, "0\r\n\r\n") || strings.Contains(got, "zz") {
			t.Errorf("%s: %q, want it cut", path, got)
		}
		if rec := seen.next(t); rec.Status != 502 || rec.Cause != CauseOriginBroken {
			t.Errorf("%s: record %+v", path, rec)
		}
	}
}

func TestAVisitorWhoHangsUpIsRecordedAsThatAndTheAppIsLetGo(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	at := tcpApp(t, func(c net.Conn, _ string) {
		begun <- struct{}{}
		io.Copy(io.Discard, c) // until the edge closes
		ended <- struct{}{}
	})
	_, e, seen := serving(t, content{"/index.html": "home"}, way("/api", at))
	for _, upload := range []string{"GET /api HTTP/1.1\r\nHost: shop.test\r\n\r\n", "POST /api HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000000\r\n\r\nbegin"} {
		c, err := net.Dial("tcp", e.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, upload)
		<-begun
		c.Close()
		<-ended
		if rec := seen.next(t); rec.Status != statusHungUp || rec.Cause != CauseClient {
			t.Errorf("record %+v, want 499 client", rec)
		}
	}
}

func TestABodyThatIsMalformedIsItsClientsFault(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	at := tcpApp(t, func(c net.Conn, head string) {
		b, _ := io.ReadAll(c)
		got <- string(b)
	})
	_, e, seen := serving(t, content{"/index.html": "home"}, way("/api", at))
	const chunked = "POST /api HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, sent := range map[string]string{
		"no size": chunked + "zz\r\nhello\r\n0\r\n\r\n", "size in 0x": chunked + "0x5\r\nhello\r\n0\r\n\r\n", "longer than its size": chunked + "3\r\nhello\r\n0\r\n\r\n",
	} {
		answer := raw(t, e.Addrs()[0], sent)
		if !strings.HasPrefix(answer, "HTTP/1.1 400 ") || !strings.Contains(answer, "Connection: close") {
			t.Errorf("%s: %.60q, want 400 and an end", name, answer)
		}
		if rec := seen.next(t); rec.Status != 400 || rec.Cause != CauseClient {
			t.Errorf("%s: record %+v", name, rec)
		}
		if app := <-got; strings.HasSuffix(app, "0\r\n\r\n") {
			t.Errorf("%s: the app got a whole body: %q", name, app)
		}
	}
}

// TestNoRequestHidesInAnother: whatever shape a request has, the app reads it as the edge did.
func TestNoRequestHidesInAnother(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	at := app(t, healthy(func(w http.ResponseWriter, r *http.Request) {
		body := readAll(r.Body)
		mu.Lock()
		asked = append(asked, r.Method+" "+r.RequestURI+" "+body)
		mu.Unlock()
	}))
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	hidden := "GET /api/hidden HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	for _, head := range []string{
		"Content-Length: %d\r\nContent-Length: 0", "Content-Length: 0\r\nContent-Length: %d", "Content-Length: +%d", "Content-Length: %d, %[1]d", "Content-Length : %d",
		"Transfer-Encoding: xchunked\r\nContent-Length: %d", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity", "Transfer-Encoding : chunked",
		"Transfer-Encoding:\x0bchunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "Content-Length: 0x%x", "Content-Length: -%d",
	} {
		if strings.Contains(head, "%") {
			head = fmt.Sprintf(head, len(hidden))
		}
		raw(t, e.Addrs()[0], "POST /api/open HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n"+head+"\r\n\r\n"+hidden)
	}
	// These net/http reads in one way, and passes on in that way alone.
	raw(t, e.Addrs()[0], "POST /api/te HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+hidden)
	raw(t, e.Addrs()[0], "POST /api/two HTTP/1.1\r\nHost: shop.test\r\nConnection: close, Content-Length\r\nContent-Length: 2\r\n\r\nhi"+hidden)
	mu.Lock()
	defer mu.Unlock()
	for _, a := range asked {
		if strings.Contains(a, "hidden") {
			t.Errorf("the app was asked %q", a)
		}
	}
	if n := len(asked); n != 2 {
		t.Errorf("the app was asked %q, want the two that can be read in one way", asked)
	}
}

func TestAConnectionThatTheAppClosedIsNotTakenForAFailure(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	at := tcpApp(t, func(c net.Conn, head string) {
		conns.Add(1)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") // promises to stay, and closes
	})
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	c := client(t)
	for range 50 {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			if resp := ask(t, c, e, method, "/api", nil); resp.StatusCode != 200 || bodyOf(t, resp) != "ok" {
				t.Fatalf("%s: %d after %d connections", method, resp.StatusCode, conns.Load())
			}
		}
	}
}

func TestARequestThatMustNotBeSentTwiceIsNot(t *testing.T) {
	t.Parallel()
	var got atomic.Int64
	first := make(chan struct{}, 1)
	first <- struct{}{}
	at := tcpApp(t, func(c net.Conn, head string) {
		select {
		case <-first: // answers, and then takes another request without a word
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			if n, _ := c.Read(make([]byte, 1000)); n > 0 {
				got.Add(1)
			}
		default:
			got.Add(1)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		}
	})
	for _, a := range []struct {
		method string
		times  int64
	}{{"POST", 1}, {"GET", 2}} {
		got.Store(0)
		_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
		c := client(t)
		bodyOf(t, ask(t, c, e, "GET", "/api", nil))
		if resp := ask(t, c, e, a.method, "/api", strings.NewReader("x")); a.method == "GET" && resp.StatusCode != 200 || got.Load() > a.times {
			t.Errorf("%s: %d, sent %d times; want at most %d", a.method, resp.StatusCode, got.Load(), a.times)
		}
		first <- struct{}{}
	}
}

// TestBytesNobodyAskedForAreNoAnswer: an app that sends more than it says must not answer the next visitor with it.
func TestBytesNobodyAskedForAreNoAnswer(t *testing.T) {
	t.Parallel()
	at := tcpApp(t, func(c net.Conn, head string) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
		io.Copy(io.Discard, c)
	})
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	c := client(t)
	for range 20 {
		if got := bodyOf(t, ask(t, c, e, "GET", "/api", nil)); got != "ok" {
			t.Fatalf("got %q, want ok", got)
		}
	}
}

// It runs alone: what it measures is the whole process's.
func TestLargeUploadsStreamInBoundedMemory(t *testing.T) {
	size := int64(100 << 20)
	if testing.Short() {
		size = 10 << 20
	}
	at := app(t, healthy(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d %x %v %d", n, sum.Sum(nil)[:4], err, r.ContentLength)
	}))
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	part := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	sum := sha256.New()
	for range size / int64(len(part)) {
		sum.Write(part)
	}
	c := client(t)
	for _, length := range []int64{size, -1} {
		body := &repeated{part: part, left: size}
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+e.Addrs()[0].String()+"/api", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Host, r.ContentLength = shopHost, length
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := bodyOf(t, resp), fmt.Sprintf("%d %x <nil> %d", size, sum.Sum(nil)[:4], length); got != want {
			t.Errorf("the app got %s, want %s", got, want)
		}
		resp.Body.Close()
		if body.heap > 64<<20 {
			t.Errorf("%d MB of heap in the middle of an upload", body.heap>>20)
		}
	}
}

// repeated is a large body that looks at the memory in use while it is read.
type repeated struct {
	part []byte
	left int64
	read int64
	heap uint64
}

func (r *repeated) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := int64(copy(b, r.part[r.read%int64(len(r.part)):]))
	n = min(n, r.left)
	r.left -= n
	if (r.read+n)>>23 != r.read>>23 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		r.heap = max(r.heap, m.HeapInuse)
	}
	r.read += n
	return int(n), nil
}

func TestAnAppMayAnswerBeforeItHasReadTheBody(t *testing.T) {
	t.Parallel()
	at := tcpApp(t, func(c net.Conn, head string) {
		io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much")
	})
	_, e, seen := serving(t, content{"/index.html": "home"}, way("/api", at))
	for _, length := range []string{"Content-Length: 500000000", "Transfer-Encoding: chunked"} {
		c, err := net.Dial("tcp", e.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "POST /api HTTP/1.1\r\nHost: shop.test\r\n"+length+"\r\n\r\n")
		b, _ := io.ReadAll(c) // the client never sends its body
		if !strings.HasPrefix(string(b), "HTTP/1.1 413 ") || !strings.HasSuffix(string(b), "too much") {
			t.Errorf("%s: %q", length, b)
		}
		if rec := seen.next(t); rec.Status != 413 || rec.Cause != CauseClient {
			t.Errorf("%s: record %+v", length, rec)
		}
	}
}

func TestEventsArriveOneByOne(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	at := app(t, healthy(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	}))
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	resp := ask(t, client(t), e, "GET", "/api", nil)
	for i := range 3 {
		event := make([]byte, len("data: 0\n\n"))
		if _, err := io.ReadFull(resp.Body, event); err != nil || string(event) != fmt.Sprintf("data: %d\n\n", i) {
			t.Fatalf("event %d: %q, %v", i, event, err)
		}
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

func TestPartsOfAnAnswerOfKnownLengthAreNotHeldBack(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	at := tcpApp(t, func(c net.Conn, _ string) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
		<-next
		io.WriteString(c, "after")
	})
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	resp := ask(t, client(t), e, "GET", "/api", nil)
	b := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "first" {
		t.Fatalf("%q, %v", b, err)
	}
	close(next)
	if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "after" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestHTTP2RequestsReachTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := app(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.Header["Cookie"], " ", r.Header.Get("X-Forwarded-Proto"), " ", readAll(r.Body))
	})
	table := w.table(route(1, w.release(1, content{"/index.html": "x"}, ways(way("/api", at)))))
	r := request("POST", "/api", "Cookie", "a=1", "Cookie", "b=2")
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	r.TLS = tlsState()
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("of unknown length")), -1
	if got := bodyOf(t, do(table, r)); got != "HTTP/1.1 [a=1; b=2] https of unknown length" {
		t.Errorf("the app got %q", got)
	}
}

func TestASlowAppHoldsNobodyElse(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	at := app(t, healthy(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/slow" {
			<-hold
		}
	}))
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	c := client(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var slow sync.WaitGroup
	for range 20 {
		slow.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+e.Addrs()[0].String()+"/api/slow", nil)
			r.Host = shopHost
			if resp, err := c.Do(r); err == nil {
				resp.Body.Close()
			}
		})
	}
	limit := time.After(10 * time.Second)
	for range 50 {
		bodyOf(t, ask(t, c, e, "GET", "/api/fast", nil))
		bodyOf(t, ask(t, c, e, "GET", "/", nil))
	}
	select {
	case <-limit:
		t.Error("quick requests took too long")
	default:
	}
	close(hold)
	slow.Wait()
}

func TestTheReleaseThatAnswersIsNamedToItsApp(t *testing.T) {
	t.Parallel()
	at := app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("Aplomb-Release")) })
	w, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	w.perform(e, intent(route(2, w.release(2, content{"/index.html": "two"}, ways(way("/api", at))), e.Routes()[0].Kept...)))
	if got := bodyOf(t, get(e, "/api")); got != "r2" {
		t.Errorf("the app was told %q, want r2", got)
	}
}

func TestUnixSocketsAreTargets(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/app.sock"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "by socket") })}
	ended := make(chan struct{})
	go func() { defer close(ended); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-ended })
	_, e, _ := serving(t, content{"/index.html": "home"}, aplomb.AppRoute{Path: "/api", To: []string{"unix:" + path}})
	if got := bodyOf(t, ask(t, client(t), e, "GET", "/api", nil)); got != "by socket" {
		t.Errorf("got %q", got)
	}
}

// TestAnAppMayThinkLongerThanAVisitorHasTimeForAnAnswer: the time for the answer begins when it does.
func TestAnAppMayThinkLongerThanAVisitorHasTimeForAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := way("/api", app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, readAll(r.Body)) }))
	slow.Timeout = 600
	table := w.table(route(1, w.release(1, content{"/index.html": "x"}, ways(slow))))
	for _, body := range []string{"", strings.Repeat("x", smallUpload+1)} {
		r := request("POST", "/api")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		rec := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		table.ServeHTTP(rec, r)
		if left := time.Until(rec.latest); left < 600*time.Second || rec.Body.Len() != len(body) {
			t.Errorf("%d bytes: the visitor's connection is open for another %v, and got %d bytes", len(body), left, rec.Body.Len())
		}
	}
}

// deadlines remembers the latest deadline for writing.
type deadlines struct {
	*httptest.ResponseRecorder
	latest time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	if t.After(d.latest) {
		d.latest = t
	}
	return nil
}

func TestAClientThatIsTooSlowIsToldSo(t *testing.T) {
	t.Parallel()
	at := tcpApp(t, func(c net.Conn, _ string) { io.Copy(io.Discard, c) })
	w := newWorld(t)
	table := w.table(route(1, w.release(1, content{"/index.html": "x"}, ways(way("/api", at)))))
	for _, length := range []int64{100, 1 << 20, -1} {
		r := request("POST", "/api")
		r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("some"), slowReader{})), length
		if resp := do(table, r); resp.StatusCode != 408 || resp.Header.Get("Connection") != "close" {
			t.Errorf("length %d: %d, want 408 and an end", length, resp.StatusCode)
		}
	}
}

// slowReader is a connection that sent nothing until its deadline.
type slowReader struct{}

func (slowReader) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func TestAClientThatWaitsToBeAskedForItsBodyIs(t *testing.T) {
	t.Parallel()
	at := app(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["Expect"], readAll(r.Body)) })
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	for _, size := range []int{5, smallUpload + 5} {
		c, err := net.Dial("tcp", e.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /api HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", size)
		in := bufio.NewReader(c)
		if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		io.WriteString(c, strings.Repeat("x", size))
		if got := readAll(in); !strings.Contains(got, "HTTP/1.1 200 OK") || strings.Count(got, "x") < size || strings.Contains(got, "100-continue") {
			t.Errorf("%d bytes: %.80q", size, got)
		}
	}
}
