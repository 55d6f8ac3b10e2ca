package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"aplomb"
)

// noTest is a context for where there is no test: the visitor's process.
func noTest() context.Context { return context.Background() }

func parseProblem(t *testing.T, body []byte) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("not a problem document: %v: %s", err, body)
	}
	return p
}

// tcpDoor serves next behind the TCP gates.
func tcpDoor(t *testing.T, next http.Handler) (addr string, s *Server, token Token) {
	t.Helper()
	s, _ = bareServer(t, Config{Listen: "127.0.0.1:0"})
	token = newToken()
	s.token = sum(token)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := s.httpServer(t.Context(), s.throughTCP(l.Addr(), next))
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return l.Addr().String(), s, token
}

func ask(t *testing.T, method, url string, header http.Header, host string) *http.Response {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	req.Host = host
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestTCPAnswersOnlyItsTokenUnderItsOwnNames(t *testing.T) {
	t.Parallel()
	addr, _, token := tcpDoor(t, http.HandlerFunc(echo))
	_, port, _ := net.SplitHostPort(addr)
	auth := func(v string, more ...string) http.Header {
		h := http.Header{}
		if v != "" {
			h.Set("Authorization", v)
		}
		for i := 0; i < len(more); i += 2 {
			h.Add(more[i], more[i+1])
		}
		return h
	}
	good := "Bearer " + string(token)
	cases := []struct {
		name, method, host string
		header             http.Header
		status             int
		code               aplomb.Code
	}{
		{"token", "GET", addr, auth(good), 200, ""},
		{"localhost", "GET", "localhost:" + port, auth(good), 200, ""},
		{"localhost in capitals", "GET", "LOCALHOST:" + port, auth(good), 200, ""},
		{"::1", "GET", "[::1]:" + port, auth(good), 200, ""},
		{"same origin", "GET", addr, auth(good, "Origin", "http://"+addr, "Sec-Fetch-Site", "same-origin"), 200, ""},
		{"typed into a browser", "GET", addr, auth(good, "Sec-Fetch-Site", "none"), 200, ""},
		{"no token", "GET", addr, auth(""), 401, aplomb.CodeDenied},
		{"wrong token", "GET", addr, auth("Bearer " + string(newToken())), 401, aplomb.CodeDenied},
		{"token cut short", "GET", addr, auth(good[:len(good)-1]), 401, aplomb.CodeDenied},
		{"token as a password", "GET", addr, auth("Basic " + string(token)), 401, aplomb.CodeDenied},
		{"bare token", "GET", addr, auth(string(token)), 401, aplomb.CodeDenied},
		{"rebound name", "GET", "evil.example:" + port, auth(good), 421, aplomb.CodeHostName},
		{"rebound name, no port", "GET", "evil.example", auth(good), 421, aplomb.CodeHostName},
		{"own name, other port", "GET", "127.0.0.1:1", auth(good), 421, aplomb.CodeHostName},
		{"own name, no port", "GET", "127.0.0.1", auth(good), 421, aplomb.CodeHostName},
		{"name that begins like ours", "GET", "localhost.evil.example:" + port, auth(good), 421, aplomb.CodeHostName},
		{"foreign origin reads", "GET", addr, auth(good, "Origin", "http://evil.example"), 403, aplomb.CodeForbidden},
		{"foreign origin writes", "POST", addr, auth(good, "Origin", "http://evil.example"), 403, aplomb.CodeForbidden},
		{"site on another port of this machine", "GET", addr, auth(good, "Origin", "http://127.0.0.1:8080"), 403, aplomb.CodeForbidden},
		{"sandboxed page", "GET", addr, auth(good, "Origin", "null"), 403, aplomb.CodeForbidden},
		{"picture in a foreign page", "GET", addr, auth(good, "Sec-Fetch-Site", "cross-site"), 403, aplomb.CodeForbidden},
		{"page of a sibling host", "GET", addr, auth(good, "Sec-Fetch-Site", "same-site"), 403, aplomb.CodeForbidden},
		{"preflight", "OPTIONS", addr, auth("", "Origin", "http://evil.example", "Access-Control-Request-Method", "POST"), 403, aplomb.CodeForbidden},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			resp := ask(t, c.method, "http://"+addr+"/v1/x", c.header, c.host)
			for name := range resp.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("sent %s: the API has no CORS", name)
				}
			}
			if c.status == 200 {
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("answered %d, want 200", resp.StatusCode)
				}
				return
			}
			checkProblem(t, resp, c.status, c.code)
			if got := resp.Header.Get("WWW-Authenticate"); (got != "") != (c.status == 401) {
				t.Errorf("WWW-Authenticate = %q with %d", got, c.status)
			}
		})
	}
}

func TestTCPRefusesMoreRequestsThanItCanAnswerAtOnce(t *testing.T) {
	t.Parallel()
	held, release := make(chan struct{}), make(chan struct{})
	addr, _, token := tcpDoor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held <- struct{}{}
			<-release
		}
	}))
	header := http.Header{"Authorization": {"Bearer " + string(token)}}
	answers := make(chan int)
	hold := func(path string) {
		req, _ := http.NewRequest("GET", "http://"+addr+path, nil)
		req.Header = header
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			answers <- 0
			return
		}
		resp.Body.Close()
		answers <- resp.StatusCode
	}
	for range maxRequests {
		go hold("/hold")
		<-held
	}
	resp := ask(t, "GET", "http://"+addr+"/", header, addr)
	checkProblem(t, resp, 503, aplomb.CodeBusy)
	resp = ask(t, "GET", "http://"+addr+"/?follow=1", header, addr)
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("a follower was answered %d while requests are at their limit, want 200", resp.StatusCode)
	}
	close(release)
	for range maxRequests {
		if got := <-answers; got != 200 {
			t.Errorf("a held request was answered %d, want 200", got)
		}
	}
	resp = ask(t, "GET", "http://"+addr+"/", header, addr)
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("after the others: %d, want 200", resp.StatusCode)
	}
}

func TestRefusedRequestWhoseBodyNeverComesIsLetGo(t *testing.T) {
	t.Parallel()
	addr, _, _ := tcpDoor(t, http.HandlerFunc(echo))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(bodyTimeout))
	fmt.Fprintf(conn, "POST /v1/sites/shop/rollback HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\n\r\n", addr)
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), " 401 ") {
		t.Errorf("answer %.40q, then %v, want 401 and the end of the connection", answer, err)
	}
}

func TestTCPRefusesLargeHeaders(t *testing.T) {
	t.Parallel()
	addr, _, token := tcpDoor(t, http.HandlerFunc(echo))
	header := http.Header{"Authorization": {"Bearer " + string(token)}, "X-Large": {strings.Repeat("x", 2*maxHeaderBytes)}}
	resp := ask(t, "GET", "http://"+addr+"/", header, addr)
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %d, want 431", resp.StatusCode)
	}
}

func TestMachineTokenNamesAPerson(t *testing.T) {
	t.Parallel()
	addr, s, token := tcpDoor(t, http.HandlerFunc(echo))
	own := userName(s.uid)
	for given, want := range map[string]string{
		"":                       own,
		"mia":                    "mia",
		"Zoë Müller":             "Zoë Müller",
		"mia\tis\u202eadmin":     "miaisadmin",
		"\xff\xfe":               own,
		strings.Repeat("é", 100): strings.Repeat("é", 64),
		"   ":                    own,
	} {
		header := http.Header{"Authorization": {"Bearer " + string(token)}}
		if given != "" {
			header.Set(actorHeader, given)
		}
		resp := ask(t, "GET", "http://"+addr+"/", header, addr)
		line, _ := bufio.NewReader(resp.Body).ReadString(0)
		resp.Body.Close()
		if want += " read,deploy,approve,rollback,admin"; line != want {
			t.Errorf("%q is recorded as %q, want %q", given, line, want)
		}
	}
}

// socketDoor serves next behind the socket's gate, in a folder whose path is as long as asked.
func socketDoor(t *testing.T, dir string, uid int, next http.Handler) *socketListener {
	t.Helper()
	s, _ := bareServer(t, Config{Dir: dir})
	s.uid = uid
	l, err := listenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := s.httpServer(t.Context(), s.throughSocket(next))
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done; l.remove() })
	return l
}

func TestSocketIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	l := socketDoor(t, dir, os.Getuid(), http.HandlerFunc(echo))
	for path, want := range map[string]os.FileMode{l.path: 0o600, dir: 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

func TestSocketLetsItsOwnUserInWithoutAToken(t *testing.T) {
	t.Parallel()
	l := socketDoor(t, t.TempDir(), os.Getuid(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, Health{Version: callerOf(r.Context()).name})
	}))
	c := Dial(Endpoint{Socket: l.path})
	defer c.Close()
	h, err := c.Health(t.Context())
	if err != nil || h.Version != userName(os.Getuid()) {
		t.Errorf("caller = %q, %v, want this user", h.Version, err)
	}
	c.Actor = "mia"
	if h, err := c.Health(t.Context()); err != nil || h.Version != "mia" {
		t.Errorf("caller = %q, %v, want mia", h.Version, err)
	}
}

func TestSocketRefusesAnotherUser(t *testing.T) {
	t.Parallel()
	never := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another user was let in") })
	if os.Getuid() != 0 {
		l := socketDoor(t, t.TempDir(), os.Getuid()+1, never)
		c := Dial(Endpoint{Socket: l.path})
		defer c.Close()
		if _, err := c.Health(t.Context()); !isCode(err, aplomb.CodeForbidden) {
			t.Errorf("a server of another user answered %v, want %s", err, aplomb.CodeForbidden)
		}
		return
	}
	dir, err := os.MkdirTemp("", "aplomb-socket-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := socketDoor(t, dir, 0, never)
	if got, want := asNobody(t, l.path), string(aplomb.CodeForbidden)+" "+l.path+" belongs to root,"; !strings.HasPrefix(got, want) {
		t.Errorf("another user, socket as made: %q, want %q", got, want)
	}
	// Even with every mode wrong, the kernel's word on who connects stands.
	if err := errorsOf(os.Chmod(dir, 0o755), os.Chmod(l.path, 0o666)); err != nil {
		t.Fatal(err)
	}
	if got, want := asNobody(t, l.path), string(aplomb.CodeForbidden); !strings.HasPrefix(got, want) {
		t.Errorf("another user, socket open to all: %q, want %s", got, want)
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// asNobody visits a socket as the user nobody and returns what it was told.
func asNobody(t *testing.T, socket string) string {
	t.Helper()
	const nobody = 65534
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{visitSocket + "=" + socket, "GOCOVERDIR=" + os.TempDir()}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("visit as another user: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestSocketOfADeadProcessIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	l, err := listenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := dialSocket(t.Context(), l.path)
	if err != nil {
		t.Fatalf("the new socket does not answer: %v", err)
	}
	conn.Close()
}

func TestSocketOfALivingProcessIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := listenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := listenSocket(dir); !isCode(err, aplomb.CodeLocked) {
		t.Errorf("a second server on the folder got %v, want %s", err, aplomb.CodeLocked)
	}
	conn, err := dialSocket(t.Context(), l.path)
	if err != nil {
		t.Fatalf("the first server lost its socket: %v", err)
	}
	conn.Close()
}

func TestSocketIsNotRemovedWhenAnotherTookItsPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := listenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	second, err := listenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.remove()
	if _, err := os.Stat(second.path); err != nil {
		t.Errorf("the second server's socket is gone: %v", err)
	}
	second.remove()
	if _, err := os.Stat(second.path); err == nil {
		t.Error("the socket is still there after its own server removed it")
	}
}

func TestSocketWorksInADeepFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40))
	l := socketDoor(t, dir, os.Getuid(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, Health{Dir: dir}) }))
	c := Dial(Endpoint{Socket: l.path})
	defer c.Close()
	if h, err := c.Health(t.Context()); err != nil || h.Dir != dir {
		t.Errorf("health = %v, %v", h, err)
	}
}

func TestEveryRouteNeedsItsScope(t *testing.T) {
	t.Parallel()
	s, _ := bareServer(t, Config{})
	for _, rt := range s.routes() {
		for _, has := range []aplomb.Scope{0, aplomb.ScopeRead, aplomb.ScopeDeploy, aplomb.ScopeApprove, aplomb.ScopeRollback, aplomb.ScopeAdmin} {
			rt := rt
			reached := false
			rt.handle = func(http.ResponseWriter, *request) (any, error) { reached = true; return struct{}{}, nil }
			r := withCaller(httptest.NewRequest(rt.method, "/", nil), caller{name: "mia", scope: has})
			r.Header.Set("Content-Type", rt.media)
			w := httptest.NewRecorder()
			s.serve(rt).ServeHTTP(w, r)
			if want := has == rt.scope; reached != want {
				t.Errorf("%s %s with scope %q: reached = %t, want %t", rt.method, rt.pattern, has, reached, want)
			}
			if !reached && w.Code != 403 {
				t.Errorf("%s %s with scope %q: %d, want 403", rt.method, rt.pattern, has, w.Code)
			}
		}
	}
}

func TestWritesAreReadOnlyInTheirOwnType(t *testing.T) {
	t.Parallel()
	s, _ := bareServer(t, Config{})
	for _, rt := range s.routes() {
		if (rt.method == "GET") != (rt.media == "") {
			t.Errorf("%s %s: a write without a content type of its own, or a read with one", rt.method, rt.pattern)
		}
		if rt.media == "" {
			continue
		}
		for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"} {
			r := withCaller(httptest.NewRequest(rt.method, "/", strings.NewReader("{}")), caller{name: "mia", scope: aplomb.ScopeAll})
			r.Header.Set("Content-Type", media)
			w := httptest.NewRecorder()
			s.serve(rt).ServeHTTP(w, r)
			if w.Code != 415 {
				t.Errorf("%s %s as %q: %d, want 415", rt.method, rt.pattern, media, w.Code)
			}
		}
	}
}

func TestWhatTheAPIDoesNotKnowIsAProblemToo(t *testing.T) {
	t.Parallel()
	s, _ := bareServer(t, Config{})
	for _, c := range []struct {
		method, path string
		status       int
		code         aplomb.Code
		allow        string
	}{
		{"GET", "/", 404, aplomb.CodeRoute, ""},
		{"GET", "/v2/health", 404, aplomb.CodeRoute, ""},
		{"GET", "/v1/sites/shop/nothing", 404, aplomb.CodeRoute, ""},
		{"POST", "/v1/health", 405, aplomb.CodeMethod, "GET"},
		{"GET", "/v1/sites/shop/rollback", 405, aplomb.CodeMethod, "POST"},
		{"PATCH", "/v1/uploads/x", 405, aplomb.CodeMethod, "DELETE"},
		{"GET", "/v1/sites/No-Such_Name", 400, aplomb.CodeUsage, ""},
	} {
		w := httptest.NewRecorder()
		gate := s.gate(s.handler(), func(*http.Request) (caller, *aplomb.Error) { return caller{name: "mia", scope: aplomb.ScopeAll}, nil })
		gate.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		resp := w.Result()
		if got := resp.Header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow = %q, want %q", c.method, c.path, got, c.allow)
		}
		checkProblem(t, resp, c.status, c.code)
	}
}

func TestABugIsAnsweredWithoutItsDetails(t *testing.T) {
	t.Parallel()
	s, lines := bareServer(t, Config{})
	for name, handle := range map[string]func(http.ResponseWriter, *request) (any, error){
		"panic": func(http.ResponseWriter, *request) (any, error) { panic("the secret of panic") },
		"error": func(http.ResponseWriter, *request) (any, error) { return nil, fmt.Errorf("the secret of error") },
	} {
		w := httptest.NewRecorder()
		gate := s.gate(s.serve(route{"GET", "/x", aplomb.ScopeRead, "", handle}), func(*http.Request) (caller, *aplomb.Error) { return caller{name: "mia", scope: aplomb.ScopeAll}, nil })
		gate.ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
		p := checkProblem(t, w.Result(), 500, aplomb.CodeInternal)
		if strings.Contains(p.Detail+p.Do, "secret") {
			t.Errorf("%s: the answer tells details: %+v", name, p)
		}
		_, id, _ := strings.Cut(p.Why, "request ")
		if id == "" || !strings.Contains(lines.String(), "request="+id) || !strings.Contains(lines.String(), "the secret of "+name) {
			t.Errorf("%s: the log does not tell what %q was:\n%s", name, id, lines)
		}
	}
}

func TestEveryCodeHasAStatusThatLeadsBackToItsKind(t *testing.T) {
	t.Parallel()
	for code, text := range aplomb.Codes {
		e := aplomb.NewError(code, "w", "w", "d")
		got := status(e)
		if got < 400 || got > 599 || http.StatusText(got) == "" {
			t.Errorf("status of %s = %d", code, got)
		}
		if (got == 500) != (text.Kind == aplomb.ErrInternal) {
			t.Errorf("status of %s (%v) = %d: 500 is for our bugs alone", code, text.Kind, got)
		}
	}
	unknown := problem{Status: 409, Error: aplomb.Error{Code: "APL-9876"}}
	if err := unknown.error(); !isKind(err, aplomb.ErrRefused) {
		t.Errorf("an unknown code with status 409 is %v, want refused", err)
	}
}

func TestServerLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, lines := bareServer(t, Config{Dir: dir, Listen: "127.0.0.1:0"})
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	ep := s.Endpoint()
	files := s.files
	if len(files) == 0 {
		t.Fatal("the endpoint was not written")
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", file, info, err)
		}
	}
	found, err := s.places.find(ep.API)
	if err != nil || found.Token != ep.Token || found.Socket != ep.Socket {
		t.Errorf("find(%s) = %+v, %v", ep.API, found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	resp := ask(t, "GET", "http://"+ep.API+"/nothing", http.Header{"Authorization": {"Bearer " + string(ep.Token)}}, ep.API)
	checkProblem(t, resp, 404, aplomb.CodeRoute)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	for _, path := range append(files, ep.Socket) {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left behind", path)
		}
	}
	if strings.Contains(lines.String(), string(ep.Token)) {
		t.Error("the token is in the log")
	}
}

func TestOpenNamesTheAddressItCannotHave(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	s, _ := bareServer(t, Config{Dir: dir, Listen: taken.Addr().String()})
	err = s.Open()
	if !isCode(err, aplomb.CodeListen) || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("Open = %v, want %s naming %s", err, aplomb.CodeListen, taken.Addr())
	}
	if _, err := os.Stat(filepath.Join(dir, socketName)); err == nil {
		t.Error("the socket is left behind")
	}
}
