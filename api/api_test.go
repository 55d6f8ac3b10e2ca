package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/release"
)

func TestReleasesGoLiveAndComeBackThroughEitherDoor(t *testing.T) {
	t.Parallel()
	for name, dial := range map[string]func(*house, testing.TB) *Client{"socket": (*house).socket, "tcp": (*house).tcp} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(newHouse(t), t)
			c.Actor = "mia"
			goesLiveAndComesBack(t, c)
		})
	}
}

func goesLiveAndComesBack(t *testing.T, c *Client) {
	if d := deploy(t, c, page("one")); d.Release != "r1" || d.State != aplomb.Live || d.FilesUploaded != 2 {
		t.Fatalf("first deploy = %+v", d)
	}
	if d := deploy(t, c, page("two")); d.Release != "r2" || d.From != "r1" || d.Share != 1 {
		t.Fatalf("second deploy = %+v", d)
	}
	ctx := t.Context()
	back, err := c.Rollback(ctx, "white screen", "shop")
	if err != nil || back.From != "r2" || back.To != "r1" || !back.Recorded {
		t.Fatalf("rollback = %+v, %v", back, err)
	}
	undone, err := c.Undo(ctx, "it was the cache", "shop", back.Act)
	if err != nil || undone.To != "r2" || undone.Undid != back.Act {
		t.Fatalf("undo = %+v, %v", undone, err)
	}
	st, err := c.Status(ctx, "shop")
	if err != nil || st.Live != "r2" || st.Sentence == "" {
		t.Fatalf("status = %+v, %v", st, err)
	}
	if all, err := c.Sites(ctx); err != nil || len(all) != 1 || all[0].Live != "r2" {
		t.Errorf("sites = %+v, %v", all, err)
	}
	if d, err := c.Promote(ctx, "after all", "shop", "r1"); err != nil || d.State != aplomb.Live {
		t.Errorf("promote = %+v, %v", d, err)
	}
	if f, err := c.Note(ctx, "coffee", "shop", "r1"); err != nil || f.Kind != aplomb.FactNote || f.Why != "coffee" || f.Release != "r1" {
		t.Errorf("note = %+v, %v", f, err)
	}
	if f, err := c.Retire(ctx, "a hole in it", "shop", "r2"); err != nil || f.Kind != aplomb.FactRetired {
		t.Errorf("retire = %+v, %v", f, err)
	}
	if rs, err := c.Releases(ctx, "shop"); err != nil || len(rs) != 2 || rs[0].State != aplomb.Retired {
		t.Errorf("releases = %+v, %v", rs, err)
	}
	if v, err := c.Verify(ctx); err != nil || len(v) != 1 || !v[0].OK {
		t.Errorf("verify = %+v, %v", v, err)
	}
	if h, err := c.Health(ctx); err != nil || h.Version != "1.2.3" || h.Sites != 1 || h.Degraded == nil || h.PID == 0 || h.Started.IsZero() {
		t.Errorf("health = %+v, %v", h, err)
	}
	var n int64
	for f, err := range c.Facts(ctx, "shop", 0, false) {
		if n++; err != nil || f.N != n {
			t.Fatalf("fact %d = %+v, %v", n, f, err)
		}
		if f.Actor != "mia" && f.Actor != "aplomb" {
			t.Errorf("fact %d is by %q, want mia", n, f.Actor)
		}
	}
	if n < 10 {
		t.Errorf("the timeline has %d facts", n)
	}
}

func TestAbandonedUploadIsGone(t *testing.T) {
	t.Parallel()
	c := newHouse(t).socket(t)
	up, err := c.Begin(t.Context(), "", listing(page("one")))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Abandon(t.Context(), up.ID, "cancelled"); err != nil {
		t.Fatal(err)
	}
	_, err = c.Seal(t.Context(), up.ID)
	e, ok := err.(*aplomb.Error)
	if !ok || e.Code != aplomb.CodeUploadGone || e.Production != "Production is unchanged: there is no site shop." {
		t.Errorf("seal = %+v, want %s that knows the upload's site", err, aplomb.CodeUploadGone)
	}
}

// raw sends a request as it is, through the TCP door, with the right token.
func raw(t *testing.T, h *house, method, path, media, body string) *http.Response {
	t.Helper()
	ep := h.s.Endpoint()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+ep.API+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+string(ep.Token))
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestEveryRouteFailsWithAllFivePartsOfAnError(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	live := "Production is unchanged: still r1, live since "
	for _, rt := range h.s.routes() {
		if !strings.Contains(rt.pattern, "{") {
			continue // health, sites and verify cannot fail on what they are asked
		}
		path := strings.NewReplacer("{site}", "nowhere", "{upload}", "none", "{release}", "r1", "{token}", "none").Replace(rt.pattern)
		p := checkProblem(t, raw(t, h, rt.method, path, rt.media, exampleBody(rt)), statusFor(rt), codeFor(rt))
		if !strings.HasPrefix(p.Production, "Production is unchanged") {
			t.Errorf("%s %s: %q", rt.method, path, p.Production)
		}
		if rt.media != jsonType || !strings.Contains(rt.pattern, "{site}") {
			continue
		}
		path = strings.NewReplacer("{site}", "shop", "{release}", "r1").Replace(rt.pattern)
		for name, c := range map[string]struct {
			body   string
			status int
			code   aplomb.Code
		}{
			"malformed":       {`{"why":`, 400, aplomb.CodeRequest},
			"unknown field":   {`{"why":"x","colour":"red"}`, 400, aplomb.CodeRequest},
			"two values":      {`{"why":"x"}{"why":"y"}`, 400, aplomb.CodeRequest},
			"array":           {`["why"]`, 400, aplomb.CodeRequest},
			"body over limit": {`{"why":"` + strings.Repeat("x", int(limitOf(rt))) + `"}`, 413, aplomb.CodeLimit},
		} {
			p := checkProblem(t, raw(t, h, rt.method, path, rt.media, c.body), c.status, c.code)
			if !strings.HasPrefix(p.Production, live) {
				t.Errorf("%s %s, %s: production = %q, want %q…", rt.method, path, name, p.Production, live)
			}
		}
	}
	if st, err := h.socket(t).Status(t.Context(), "shop"); err != nil || st.Live != "r1" {
		t.Errorf("after all of it: %+v, %v", st, err)
	}
}

func exampleBody(rt route) string {
	switch {
	case strings.HasSuffix(rt.pattern, "/uploads"):
		return `{"files":[{"path":"/index.html","digest":"` + aplomb.Sum(nil).String() + `","size":0}]}`
	case strings.HasSuffix(rt.pattern, "/promote"), strings.HasSuffix(rt.pattern, "/retire"):
		return `{"release":"r1","why":"x"}`
	case rt.media == jsonType && rt.method == "POST" && !strings.HasSuffix(rt.pattern, "/seal"):
		return `{"why":"x"}`
	}
	return ""
}

func limitOf(rt route) int64 {
	if strings.HasSuffix(rt.pattern, "/uploads") {
		return maxUploadRequest
	}
	return maxBody
}

func statusFor(rt route) int {
	if strings.Contains(rt.pattern, "{upload}") {
		return 409
	}
	if rt.method+" "+rt.pattern == "POST /v1/sites/{site}" {
		return 400 // it makes the site, if it is told its hosts
	}
	return 404
}

func codeFor(rt route) aplomb.Code {
	if strings.Contains(rt.pattern, "{token}") {
		return aplomb.CodeNoToken
	}
	if strings.Contains(rt.pattern, "{upload}") {
		return aplomb.CodeUploadGone
	}
	if rt.method+" "+rt.pattern == "POST /v1/sites/{site}" {
		return aplomb.CodeSiteRule
	}
	return aplomb.CodeNoSite
}

func TestFailureOfAnActSaysWhatProductionIs(t *testing.T) {
	t.Parallel()
	c := newHouse(t).socket(t)
	deploy(t, c, page("one"))
	_, err := c.Rollback(t.Context(), "", "shop")
	e, ok := err.(*aplomb.Error)
	if !ok || e.Code != aplomb.CodeNoTarget || !strings.HasPrefix(e.Production, "Production is unchanged: still r1, live since ") {
		t.Errorf("rollback without a target = %+v", err)
	}
	for _, bad := range []aplomb.ReleaseID{"", "r0", "r01", "1", "r1; rm"} {
		if _, err := c.Promote(t.Context(), "", "shop", bad); !isCode(err, aplomb.CodeUsage) {
			t.Errorf("promote %q = %v, want %s", bad, err, aplomb.CodeUsage)
		}
	}
	resp := raw(t, newHouse(t), "GET", "/v1/sites/shop/facts?after=x", "", "")
	checkProblem(t, resp, 400, aplomb.CodeRequest)
}

func TestRollbackNeedsNoBody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	deploy(t, h.socket(t), page("two"))
	resp := raw(t, h, "POST", "/v1/sites/shop/rollback", jsonType, "")
	defer resp.Body.Close()
	var back release.Back
	if err := json.NewDecoder(resp.Body).Decode(&back); err != nil || back.To != "r1" {
		t.Errorf("rollback = %+v, %v", back, err)
	}
}

func TestRollbackGoesOnWhenItsClientGoesAway(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.socket(t)
	deploy(t, c, page("one"))
	deploy(t, c, page("two"))
	begun, goOn := make(chan struct{}), make(chan struct{})
	h.setGate(func() { close(begun); <-goOn })
	ctx, interrupt := context.WithCancel(t.Context())
	answered := make(chan error)
	go func() {
		_, err := c.Rollback(ctx, "", "shop")
		answered <- err
	}()
	<-begun
	interrupt()
	err := <-answered
	if !isCode(err, aplomb.CodeCut) || !isKind(err, context.Canceled) || !isKind(err, aplomb.ErrRunning) {
		t.Errorf("the interrupted command got %v, want %s", err, aplomb.CodeCut)
	}
	h.setGate(nil)
	close(goOn)
	h.stop() // waits for the act
	if st, err := h.m.Status(t.Context(), "shop"); err != nil || st.Live != "r1" || st.LastAct.Kind != aplomb.FactRolledBack {
		t.Errorf("after the interrupt: %+v, %v, want r1 live", st, err)
	}
}

func TestActHasATimeOfItsOwn(t *testing.T) {
	t.Parallel()
	s, _ := bareServer(t, Config{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r := s.newRequest(httptest.NewRequest("POST", "/", nil).WithContext(gone))
	act := s.act(func(ctx context.Context, _ http.ResponseWriter, _ *request) (any, error) {
		if _, bounded := ctx.Deadline(); ctx.Err() != nil || !bounded {
			t.Errorf("an act whose client is gone: %v, bounded = %t, want it to run, for a bounded time", ctx.Err(), bounded)
		}
		return nil, nil
	})
	if _, err := act(httptest.NewRecorder(), r); err != nil {
		t.Error(err)
	}
}

// deadlines remembers the last read deadline that a handler set.
type deadlines struct {
	http.ResponseWriter
	read []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error { d.read = append(d.read, at); return nil }

func TestBodysDeadlineEndsWithTheBody(t *testing.T) {
	t.Parallel()
	s, _ := bareServer(t, Config{})
	w := &deadlines{ResponseWriter: httptest.NewRecorder()}
	r := s.newRequest(httptest.NewRequest("POST", "/", strings.NewReader("{}")))
	if err := decode(w, r, maxBody, &whyBody{}); err != nil {
		t.Fatal(err)
	}
	if len(w.read) != 2 || w.read[0].IsZero() || !w.read[1].IsZero() {
		t.Errorf("read deadlines %v, want one and then none: it would end the request while its act runs", w.read)
	}
}

func TestStopDoesNotWaitForAClientThatStalls(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{
		"an act":   "POST /v1/sites/shop/rollback HTTP/1.1\r\nContent-Type: application/json",
		"a stream": "PUT /v1/uploads/%s/blobs HTTP/1.1\r\nContent-Type: application/vnd.aplomb.blobs",
	} {
		h := newHouse(t)
		up, err := h.socket(t).Begin(t.Context(), "", listing(page("one")))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := dialSocket(t.Context(), h.s.Endpoint().Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, strings.Replace(begin, "%s", up.ID, 1)+"\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
			t.Fatalf("%s: %q, %v", name, line, err)
		}
		begun := time.Now()
		h.stop() // bodyTimeout, were it to wait
		if took := time.Since(begun); took > bodyTimeout/2 {
			t.Errorf("%s: stopping took %s", name, took)
		}
	}
}

func TestRequestSentTwiceActsOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.socket(t)
	for _, key := range []string{"one", "two", "three"} {
		deploy(t, c, page(key))
	}
	twice := func(key string) (first, second release.Back) {
		for _, back := range []*release.Back{&first, &second} {
			req, err := c.request(t.Context(), "POST", "/v1/sites/shop/rollback", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", jsonType)
			req.Header.Set("Idempotency-Key", key)
			if err := c.do(req, back); err != nil {
				t.Fatal(err)
			}
		}
		return first, second
	}
	first, second := twice("k1")
	if first.To != "r2" || second.To != "r2" || first.Act != second.Act {
		t.Errorf("one key: %+v, then %+v, want the same act", first, second)
	}
	if third, _ := twice("k2"); third.To != "r1" {
		t.Errorf("another key: %+v, want one release further back", third)
	}
	resp := raw(t, h, "POST", "/v1/sites/shop/rollback", jsonType, "")
	checkProblem(t, resp, 409, aplomb.CodeNoTarget)
}

func TestSecondRequestWaitsForTheFirstOfItsKey(t *testing.T) {
	t.Parallel()
	a := newActs()
	begun, goOn := make(chan struct{}), make(chan struct{})
	got := make(chan any, 2)
	go func() {
		v, _ := a.once(t.Context(), "k", func() (any, error) { close(begun); <-goOn; return "first", nil })
		got <- v
	}()
	<-begun
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.once(gone, "k", nil); !isCode(err, aplomb.CodeCut) {
		t.Errorf("a second that does not wait got %v, want %s", err, aplomb.CodeCut)
	}
	go func() {
		v, _ := a.once(t.Context(), "k", func() (any, error) { return "second", nil })
		got <- v
	}()
	close(goOn)
	if x, y := <-got, <-got; x != "first" || y != "first" {
		t.Errorf("answers %v and %v, want the first twice", x, y)
	}
	for i := range 2 * maxActs {
		a.once(t.Context(), fmt.Sprint(i), func() (any, error) { return nil, nil })
	}
	if len(a.byKey) > maxActs || len(a.order) > maxActs {
		t.Errorf("%d answers are remembered, want at most %d", len(a.byKey), maxActs)
	}
}

func TestRefusalOfAStreamOvertakesTheRestOfIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, c := range map[string]*Client{"socket": h.socket(t), "tcp": h.tcp(t)} {
		up, err := c.Begin(t.Context(), "", listing(page(name)))
		if err != nil {
			t.Fatal(err)
		}
		body := func(yield io.Writer) error {
			wrong := "not what the digest says"
			ref := blob.Ref{Digest: up.Missing[0], Size: int64(len(wrong))}
			if err := release.WriteBlob(yield, ref, strings.NewReader(wrong)); err != nil {
				return err
			}
			zeros := make([]byte, 1<<20)
			for range 256 {
				if _, err := yield.Write(zeros); err != nil {
					return err
				}
			}
			return nil
		}
		r, w := io.Pipe()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			w.CloseWithError(body(w))
		}()
		_, err = c.Send(t.Context(), up.ID, r)
		r.Close()
		<-sent
		if !isCode(err, aplomb.CodeBlob) {
			t.Errorf("%s: send = %v, want %s", name, err, aplomb.CodeBlob)
		}
	}
}

func TestStreamForAnUploadThatIsGoneIsNotSent(t *testing.T) {
	t.Parallel()
	c := newHouse(t).tcp(t)
	read := &countingReader{r: strings.NewReader(strings.Repeat("x", 64<<20))}
	if _, err := c.Send(t.Context(), "none", read); !isCode(err, aplomb.CodeUploadGone) {
		t.Errorf("send = %v, want %s", err, aplomb.CodeUploadGone)
	}
	if read.n > 1<<20 {
		t.Errorf("%d bytes were sent to an upload that is not open", read.n)
	}
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func BenchmarkRollbackAndBack(b *testing.B) {
	h := newHouse(b)
	c := h.socket(b)
	deploy(b, c, page("one"))
	deploy(b, c, page("two"))
	for b.Loop() {
		// As a command does it: a fresh connection.
		c := Dial(h.s.Endpoint())
		if _, err := c.Rollback(b.Context(), "", "shop"); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Undo(b.Context(), "", "shop", 0); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
