package api

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aplomb"
)

// TestMain checks that nothing is left running. Started with visitSocket set, the binary is the visitor of another user.
func TestMain(m *testing.M) {
	if path := os.Getenv(visitSocket); path != "" {
		os.Exit(visit(path))
	}
	// net/http itself waits half a second before it closes a connection whose request it refused to read.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const visitSocket = "APLOMB_TEST_VISIT_SOCKET"

// visit asks through a socket and prints what came of it.
func visit(path string) int {
	_, err := Dial(Endpoint{Socket: path}).Health(noTest())
	e, ok := err.(*aplomb.Error)
	if !ok {
		fmt.Printf("unexpected: %v\n", err)
		return 1
	}
	fmt.Printf("%s %s\n", e.Code, e.Why)
	return 0
}

// echo answers with who came in.
func echo(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r.Context())
	fmt.Fprintf(w, "%s %s", c.name, c.scope)
}

// bareServer is a server without a manager: enough for its doors.
func bareServer(t *testing.T, c Config) (*Server, *logLines) {
	t.Helper()
	if c.Now == nil {
		c.Now = time.Now
	}
	lines := &logLines{}
	s := New(slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug})), nil, c)
	s.places = ownPlaces(t)
	return s, lines
}

// logLines collects a log.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// checkProblem fails unless resp is a problem document with all five parts and the headers of the API.
func checkProblem(t *testing.T, resp *http.Response, wantStatus int, wantCode aplomb.Code) problem {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != wantStatus || resp.Header.Get("Content-Type") != problemType {
		t.Fatalf("answered %d as %q, want %d as %q: %s", resp.StatusCode, resp.Header.Get("Content-Type"), wantStatus, problemType, body)
	}
	p := parseProblem(t, body)
	if p.Code != wantCode || p.Status != wantStatus {
		t.Errorf("problem has code %s, status %d, want %s, %d: %s", p.Code, p.Status, wantCode, wantStatus, body)
	}
	for part, text := range map[string]string{"what": p.What, "why": p.Why, "do": p.Do, "production": p.Production, "title": p.Title, "detail": p.Detail} {
		if strings.TrimSpace(text) == "" {
			t.Errorf("problem lacks %q: %s", part, body)
		}
	}
	if !strings.HasPrefix(p.Production, "Production") {
		t.Errorf("production = %q, want a sentence that begins with it", p.Production)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	return p
}
