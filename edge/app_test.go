package edge

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"aplomb"
)

// app starts an app and returns its address.
func app(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// ways puts routes into a release.
func ways(routes ...aplomb.AppRoute) func(*aplomb.Manifest) {
	return func(m *aplomb.Manifest) { m.Settings.App = routes }
}

func way(path string, to ...string) aplomb.AppRoute { return aplomb.AppRoute{Path: path, To: to} }

// serving starts an edge that serves one release with these ways.
func serving(t testing.TB, files content, routes ...aplomb.AppRoute) (*world, *Edge, *records) {
	t.Helper()
	w, seen := newWorld(t), &records{more: make(chan struct{}, 1)}
	cfg := anyPort
	cfg.Record = seen.add
	e := listening(t, w, cfg)
	e.shelf.apps.checks = checker{every: 20 * time.Millisecond, limit: 5 * time.Second, warm: 20 * time.Second, warmUrgent: 20 * time.Second}
	run(t, e)
	w.perform(e, intent(route(1, w.release(1, files, ways(routes...)))))
	return w, e, seen
}

// client asks the edge as a visitor of the shop.
func client(t testing.TB) *http.Client {
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func ask(t testing.TB, c *http.Client, e *Edge, method, path string, body io.Reader, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+e.Addrs()[0].String()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = shopHost
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestWhatIsBelowAPrefixGoesToTheAppAndTheRestToFiles(t *testing.T) {
	t.Parallel()
	named := func(name string) string {
		return app(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s", name, r.Method, r.RequestURI)
		})
	}
	stripped := way("/strip", named("strip"))
	stripped.StripPrefix = true
	hashed := "/api/assets/x-DxK3jf9a.js"
	w, e, _ := serving(t, content{"/index.html": "home", "/api/page.html": "hidden", "/about/index.html": "about", "/assets/a-12345678.js": "asset"},
		way("/", named("rest")), way("/api", named("api")), way("/api/v2", named("v2")), stripped)
	old := w.release(2, content{hashed: "sent once", "/index.html": "two"}, func(m *aplomb.Manifest) {
		for i := range m.Files {
			m.Files[i].Hashed = m.Files[i].Path == hashed
		}
	})
	was := e.Routes()[0].Kept[0]
	w.perform(e, intent(route(2, was, old)))
	c := client(t)
	for _, a := range []struct{ method, path, want string }{
		{"GET", "/", "home"},
		{"GET", "/assets/a-12345678.js", "asset"},
		{"GET", "/about/", "about"},
		{"POST", "/", "rest POST /"},
		{"GET", "/nothing/here?q=1&r", "rest GET /nothing/here?q=1&r"},
		{"GET", "/apix", "rest GET /apix"},
		{"GET", "/api", "api GET /api"},
		{"DELETE", "/api/x/", "api DELETE /api/x/"},
		{"GET", "/api/page.html", "api GET /api/page.html"},
		{"GET", "/api/v2/x", "v2 GET /api/v2/x"},
		{"GET", "/api/v2x", "api GET /api/v2x"},
		{"GET", "/%61pi/x%20y", "api GET /%61pi/x%20y"},
		{"GET", "/api/group%2Fproject", "api GET /api/group%2Fproject"},
		{"GET", "/api%2Fx", "rest GET /api%2Fx"},
		{"GET", "/image/https://other.test/a.png", "rest GET /image/https://other.test/a.png"},
		{"GET", hashed, "sent once"},
		{"GET", "/strip", "strip GET /"},
		{"GET", "/strip/a%2Fb/c?d", "strip GET /a%2Fb/c?d"},
		{"GET", "/%73trip/a", "strip GET /a"},
		{"OPTIONS", "/api/x", "api OPTIONS /api/x"},
		{"PURGE", "/api/x", "api PURGE /api/x"},
	} {
		resp := ask(t, c, e, a.method, a.path, nil)
		if got := bodyOf(t, resp); got != a.want {
			t.Errorf("%s %s: %d %q, want %q", a.method, a.path, resp.StatusCode, got, a.want)
		}
	}
	for _, path := range []string{"/api/../x", "/api/%2e%2e/x", "/api/..%2fx", "/api/.", "/api/..;/x", `/api/..\x`} {
		got := raw(t, e.Addrs()[0], "GET "+path+" HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("GET %s: %.40q, want 400", path, got)
		}
	}
	if got := ask(t, c, e, "POST", "/.aplomb/x", nil).StatusCode; got != 405 {
		t.Errorf("reserved path: %d, want 405", got)
	}
}

func TestWithoutAnAppForTheRestPagesAndErrorsStayTheFiles(t *testing.T) {
	t.Parallel()
	at := app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "app") })
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	c := client(t)
	for path, want := range map[string]int{"/api": 200, "/nothing.js": 404, "/": 200} {
		if got := ask(t, c, e, "GET", path, nil).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if got := ask(t, c, e, "POST", "/", nil).StatusCode; got != 405 {
		t.Errorf("POST of a file: %d, want 405", got)
	}
}

func TestTheAppGetsTheRequestAsItIsWithWhatOnlyTheEdgeKnows(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	at := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api" {
			r.Body = io.NopCloser(strings.NewReader(readAll(r.Body)))
			got <- r
		}
	})
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	ask(t, client(t), e, "POST", "/api", strings.NewReader("body"),
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.test", "X-Forwarded-Port", "1", "Forwarded", "for=6.6.6.6",
		"X-Real-Ip", "6.6.6.6", "Aplomb-Release", "r99", "Aplomb_Release", "r99", "X_Under", "1", "Connection", "X-Hop, close", "X-Hop", "1", "Te", "trailers",
		"Upgrade", "h2c", "Http2-Settings", "AAMAAABkAAQAAP__", "Proxy-Authorization", "x", "Cookie", "a=b", "X-Own", "kept", "Tracestate", "a=1", "Keep-Alive", "1")
	r := <-got
	if r.Host != shopHost || readAll(r.Body) != "body" || r.ContentLength != 4 {
		t.Errorf("host %q, length %d", r.Host, r.ContentLength)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": shopHost, "Aplomb-Release": "r1", "X-Own": "kept", "Cookie": "a=b",
		"Tracestate": "a=1", "X-Forwarded-Port": "", "Forwarded": "", "X-Real-Ip": "", "Aplomb_release": "", "X_under": "", "X-Hop": "", "Te": "", "Upgrade": "",
		"Http2-Settings": "", "Proxy-Authorization": "", "Keep-Alive": "", "Connection": "",
	} {
		if have := strings.Join(r.Header[name], "|"); have != want {
			t.Errorf("%s: %q, want %q", name, have, want)
		}
	}
	if v := r.Header.Get("Traceparent"); !isTrace(v) {
		t.Errorf("Traceparent made: %q", v)
	}
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ask(t, client(t), e, "GET", "/api", nil, "Traceparent", trace)
	if r := <-got; r.Header.Get("Traceparent") != trace || r.Header["Content-Length"] != nil {
		t.Errorf("Traceparent passed: %q", r.Header.Get("Traceparent"))
	}
	ask(t, client(t), e, "GET", "/api", nil, "Traceparent", "00-nonsense")
	if v := (<-got).Header.Get("Traceparent"); !isTrace(v) {
		t.Errorf("Traceparent mended: %q", v)
	}
}

func readAll(r io.Reader) string {
	b, err := io.ReadAll(r)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

func TestOnlyATrustedProxySpeaksForItsClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := app(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"], r.Header["X-Forwarded-Host"])
	})
	table := w.table(route(1, w.release(1, content{"/index.html": "x"}, ways(way("/api", at)))))
	for _, c := range []struct{ from, trusted, want string }{
		{"9.9.9.9:1", "127.0.0.0/8", "[9.9.9.9] [http] [shop.test]"},
		{"127.0.0.1:1", "127.0.0.0/8", "[1.1.1.1, 2.2.2.2, 127.0.0.1] [https] [other.test]"},
		{"[::ffff:127.0.0.1]:1", "127.0.0.0/8", "[1.1.1.1, 2.2.2.2, ::ffff:127.0.0.1] [https] [other.test]"},
		{"[fe80::1%eth0]:1", "fe80::/10", "[1.1.1.1, 2.2.2.2, fe80::1%eth0] [https] [other.test]"},
	} {
		r := request("GET", "/api", "X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "2.2.2.2", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "other.test")
		r.RemoteAddr = c.from
		table.apps.trusted = prefixes(c.trusted)
		if got := bodyOf(t, do(table, r)); got != c.want {
			t.Errorf("from %s: %s, want %s", c.from, got, c.want)
		}
	}
}

func TestTheAppsAnswerIsPassedOnAsItIs(t *testing.T) {
	t.Parallel()
	at := app(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Cache-Control"], h["Set-Cookie"] = []string{"private"}, []string{"a=1", "b=2"}
		h["Connection"], h["X-Hop"], h["Keep-Alive"] = []string{"X-Hop"}, []string{"1"}, []string{"timeout=5"}
		h["Content-Type"] = nil
		h.Set("ETag", `"x"`)
		switch r.URL.Path {
		case "/api/204":
			w.WriteHeader(204)
		case "/api/304":
			w.WriteHeader(304)
		case "/api/404":
			w.WriteHeader(404)
			io.WriteString(w, "<b>mine</b>")
		case "/api/500":
			w.WriteHeader(500)
			io.WriteString(w, "oops")
		default:
			io.WriteString(w, "<html>")
		}
	})
	_, e, seen := serving(t, content{"/index.html": "home", "/404.html": "files' own"}, way("/api", at))
	c := client(t)
	for _, a := range []struct {
		method, path, body string
		status             int
		cause              Cause
	}{
		{"GET", "/api", "<html>", 200, CauseNone}, {"HEAD", "/api", "", 200, CauseNone}, {"GET", "/api/204", "", 204, CauseNone}, {"GET", "/api/304", "", 304, CauseNone},
		{"GET", "/api/404", "<b>mine</b>", 404, CauseClient}, {"GET", "/api/500", "oops", 500, CauseOrigin5xx},
	} {
		resp := ask(t, c, e, a.method, a.path, nil)
		if got := bodyOf(t, resp); got != a.body || resp.StatusCode != a.status {
			t.Errorf("%s %s: %d %q, want %d %q", a.method, a.path, resp.StatusCode, got, a.status, a.body)
		}
		h := resp.Header
		if !slices.Equal(h["Set-Cookie"], []string{"a=1", "b=2"}) || h.Get("Cache-Control") != "private" || h.Get("Etag") != `"x"` || h["X-Hop"] != nil || h["Keep-Alive"] != nil || h["Content-Type"] != nil {
			t.Errorf("%s %s: fields %v", a.method, a.path, h)
		}
		if rec := seen.next(t); rec.Status != a.status || rec.Cause != a.cause || rec.Release != "r1" {
			t.Errorf("%s %s: record %+v", a.method, a.path, rec)
		}
	}
}

func TestHintsComeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	at := tcpApp(t, func(c net.Conn, _ string) {
		io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-No: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	})
	_, e, _ := serving(t, content{"/index.html": "home"}, way("/api", at))
	got := raw(t, e.Addrs()[0], "GET /api HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
	hints, rest, ok := strings.Cut(got, "\r\n\r\n")
	if !ok || hints != "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload" || !strings.HasPrefix(rest, "HTTP/1.1 200 OK\r\n") || strings.Contains(rest, "Link") || !strings.HasSuffix(rest, "\r\n\r\nhi") {
		t.Errorf("got %q", got)
	}
}

func TestWhatASitesOwnerSetComesBeforeTheApp(t *testing.T) {
	t.Parallel()
	at := app(t, healthy(func(w http.ResponseWriter, r *http.Request) { t.Errorf("the app was asked for %s", r.URL) }))
	w := newWorld(t)
	r := route(1, w.release(1, content{"/index.html": "x"}, ways(way("/", at), way("/api", at))))
	r.Site.Hosts = append(r.Site.Hosts, "www.shop.test")
	r.Site.RedirectTo = map[aplomb.Host]aplomb.Host{"www.shop.test": shopHost}
	r.Site.Gone = []string{"/api/leaked"}
	r.Site.Offline = &aplomb.Offline{RetryAfter: 60}
	table := w.table(r)
	for _, c := range []struct {
		host, path string
		status     int
	}{{shopHost, "/api", 503}, {shopHost, "/api/leaked", 410}, {"www.shop.test", "/api?q", 308}} {
		r := request("POST", c.path)
		r.Host = c.host
		if resp := do(table, r); resp.StatusCode != c.status {
			t.Errorf("%s%s: %d, want %d", c.host, c.path, resp.StatusCode, c.status)
		}
	}
}
