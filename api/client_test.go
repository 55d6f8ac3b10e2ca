package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"aplomb"
)

// whole fails unless err has all five parts.
func whole(t *testing.T, err error, code aplomb.Code) *aplomb.Error {
	t.Helper()
	e, ok := err.(*aplomb.Error)
	if !ok {
		t.Fatalf("%v is not an *aplomb.Error", err)
	}
	if e.Code != code || e.What == "" || e.Why == "" || e.Do == "" || !strings.HasPrefix(e.Production, "Production") {
		t.Errorf("error = %+v, want %s with all five parts", e, code)
	}
	return e
}

func TestNoServerIsSaidWithTheCommandThatStartsOne(t *testing.T) {
	t.Parallel()
	l := listenAnywhere(t)
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	for _, ep := range []Endpoint{
		{API: addr, Dir: dir},
		{API: addr, Socket: filepath.Join(dir, socketName), Dir: dir},
		{Socket: filepath.Join(dir, socketName), Dir: dir},
		{Socket: filepath.Join(dir, strings.Repeat("deep/", 40), socketName), Dir: dir},
	} {
		c := Dial(ep)
		_, err := c.Rollback(t.Context(), "", "shop")
		e := whole(t, err, aplomb.CodeNoServer)
		if !isKind(e, aplomb.ErrDown) || !strings.Contains(e.What, ep.String()) || !strings.HasPrefix(e.Do, "aplomb up --dir "+dir) {
			t.Errorf("error = %+v", e)
		}
		if ep.API != "" && e.Why != "connection refused" {
			t.Errorf("why = %q, want the bare reason", e.Why)
		}
		for _, err := range c.Facts(t.Context(), "shop", 0, true) {
			whole(t, err, aplomb.CodeNoServer)
		}
		c.Close()
	}
}

// fake is a client of a handler.
func fake(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	c := Dial(Endpoint{API: srv.Listener.Addr().String()})
	t.Cleanup(func() { c.Close(); srv.Close() })
	return c
}

func TestWhateverElseAnswersIsNotTakenForAServer(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"a web page":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<h1>hello</h1>") },
		"another 404": func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"a redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"a damaged problem": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", problemType)
			w.WriteHeader(500)
			fmt.Fprint(w, "{")
		},
	} {
		c := fake(t, h)
		_, err := c.Rollback(t.Context(), "", "shop")
		if e := whole(t, err, aplomb.CodeNoServer); !strings.Contains(e.What, "not an Aplomb server") {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestProblemOfANewerServerKeepsItsKind(t *testing.T) {
	t.Parallel()
	c := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", problemType)
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"status":409,"code":"APL-8001","what":"Not now","why":"a freeze","do":"wait","production":"Production is unchanged.","later":1}`)
	})
	_, err := c.Rollback(t.Context(), "", "shop")
	if e := whole(t, err, "APL-8001"); !isKind(e, aplomb.ErrRefused) || e.What != "Not now" {
		t.Errorf("error = %+v", e)
	}
}

// breakOnce closes the first connection without an answer, and counts requests.
func breakOnce(t *testing.T, n *atomic.Int32, answer string) *Client {
	return fake(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", jsonType)
		io.WriteString(w, answer)
	})
}

func TestOnlyQuestionsAreAskedAgain(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	if _, err := breakOnce(t, &n, `{"site":"shop"}`).Status(t.Context(), "shop"); err != nil || n.Load() != 2 {
		t.Errorf("status over a broken connection: %v after %d requests, want an answer to the second", err, n.Load())
	}
	n.Store(0)
	_, err := breakOnce(t, &n, `{}`).Rollback(t.Context(), "", "shop")
	e := whole(t, err, aplomb.CodeNoServer)
	if n.Load() != 1 {
		t.Errorf("a rollback was sent %d times", n.Load())
	}
	if strings.Contains(e.Production, "unchanged") || e.Do != "aplomb status --site shop" {
		t.Errorf("a rollback whose answer was lost: %+v: nobody knows that production is unchanged", e)
	}
}

func TestRollbackIsNotSentAgainOverAConnectionThatWasUsed(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			posts.Add(1)
			panic(http.ErrAbortHandler)
		}
		writeJSON(w, Health{})
	})
	if _, err := c.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rollback(t.Context(), "", "shop"); err == nil || posts.Load() != 1 {
		t.Errorf("rollback = %v after %d requests, want one", err, posts.Load())
	}
}

func TestTimeThatIsOverIsSaid(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	c := fake(t, func(http.ResponseWriter, *http.Request) { <-never })
	defer close(never)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := c.Seal(ctx, "x")
	if e := whole(t, err, aplomb.CodeCut); !isKind(e, context.DeadlineExceeded) || !isKind(e, aplomb.ErrRunning) {
		t.Errorf("error = %+v", e)
	}
}

func TestSocketIsPreferredAndTCPIsTheWayWithoutIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ep := h.s.Endpoint()
	if c := h.dial(t, ep); !connectsOver[*net.UnixConn](t, ep) || !answersHealth(t, c) {
		t.Error("the socket is not used though it can be reached")
	}
	ep.Socket = filepath.Join(t.TempDir(), "none.sock")
	if c := h.dial(t, ep); !connectsOver[*net.TCPConn](t, ep) || !answersHealth(t, c) {
		t.Error("TCP is not used where the socket cannot be reached")
	}
}

func connectsOver[T net.Conn](t *testing.T, ep Endpoint) bool {
	conn, err := dialEndpoint(t.Context(), ep)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, ok := conn.(T)
	return ok
}

func answersHealth(t *testing.T, c *Client) bool {
	_, err := c.Health(t.Context())
	return err == nil
}

func TestFollowerSeesFactsAsTheyHappen(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.tcp(t)
	deploy(t, c, page("one"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen := make(chan aplomb.Fact)
	ended := make(chan error, 1)
	go func() {
		var last error
		for f, err := range c.Facts(ctx, "shop", 0, true) {
			if err != nil {
				last = err
				break
			}
			seen <- f
		}
		ended <- last
	}()
	for f := range seen {
		if f.Kind == aplomb.FactLive {
			break
		}
	}
	note, err := h.socket(t).Note(t.Context(), "coffee", "shop", "")
	if err != nil {
		t.Fatal(err)
	}
	if f := <-seen; f.N != note.N || f.Why != "coffee" {
		t.Errorf("followed %+v, want the note %+v", f, note)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped by its own side: %v, want no error", err)
	}
}

func TestFollowerIsToldWhenTheServerStops(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.tcp(t)
	deploy(t, c, page("one"))
	stopped := false
	for _, err := range c.Facts(t.Context(), "shop", 0, true) {
		if err != nil {
			whole(t, err, aplomb.CodeNoServer)
			stopped = true
			break
		}
		h.stop()
	}
	if !stopped {
		t.Error("the stream ended without a word")
	}
}

func TestFactsAfterAndLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	resp := raw(t, h, "GET", "/v1/sites/shop/facts?after=1&limit=2", "", "")
	defer resp.Body.Close()
	var ns []int64
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var f aplomb.Fact
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		ns = append(ns, f.N)
	}
	if len(ns) != 2 || ns[0] != 2 || ns[1] != 3 || resp.Header.Get("Content-Type") != factsType {
		t.Errorf("facts %v as %q, want 2 and 3", ns, resp.Header.Get("Content-Type"))
	}
	empty := raw(t, h, "GET", "/v1/sites/shop/facts?after=100000", "", "")
	body, err := io.ReadAll(empty.Body)
	empty.Body.Close()
	if err != nil || empty.StatusCode != 200 || len(body) != 0 {
		t.Errorf("no facts: %d, %q, %v, want an empty stream", empty.StatusCode, body, err)
	}
}

func TestStreamThatFailsInTheMiddleSaysSo(t *testing.T) {
	t.Parallel()
	s, _ := bareServer(t, Config{})
	c := fake(t, func(w http.ResponseWriter, hr *http.Request) {
		facts := make(chan factOrErr, 2)
		facts <- factOrErr{fact: aplomb.Fact{N: 1}}
		facts <- factOrErr{err: errors.New("line 2 is damaged")}
		s.streamFacts(newFactWriter(w), s.newRequest(hr), facts, 0)
	})
	var got []error
	for f, err := range c.Facts(t.Context(), "shop", 0, false) {
		if err == nil && f.N != 1 {
			t.Errorf("fact = %+v", f)
		}
		got = append(got, err)
	}
	if len(got) != 2 || got[0] != nil {
		t.Fatalf("errors %v, want one fact and then the problem", got)
	}
	whole(t, got[1], aplomb.CodeInternal)
}

func TestStreamThatIsCutIsNotTakenForItsEnd(t *testing.T) {
	t.Parallel()
	c := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"n":1}`+"\n"+`{"n":`)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	var last error
	for _, err := range c.Facts(t.Context(), "shop", 0, false) {
		last = err
	}
	whole(t, last, aplomb.CodeNoServer)
}

func TestSilentStreamBeats(t *testing.T) {
	t.Parallel()
	var sent bytes.Buffer
	w := httptest.NewRecorder()
	w.Body = &sent
	out := newFactWriter(w)
	facts, beat := make(chan factOrErr), make(chan time.Time)
	go func() {
		beat <- time.Time{}
		beat <- time.Time{}
		facts <- factOrErr{fact: aplomb.Fact{N: 7}}
	}()
	f, more := out.next(facts, beat)
	if !more || f.fact.N != 7 || sent.String() != "\n\n" || !w.Flushed {
		t.Errorf("next = %+v, %t after %q, flushed = %t, want two flushed empty lines before it", f, more, sent.String(), w.Flushed)
	}
}
