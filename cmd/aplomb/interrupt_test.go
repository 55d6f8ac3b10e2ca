package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/release"
)

// slowServer answers as a server does, but an act only when release is closed. asked tells of each act that has arrived.
func slowServer(t *testing.T, let <-chan struct{}) (socket string, asked chan string) {
	t.Helper()
	asked = make(chan string, 10)
	socket = filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == "GET" {
			json.NewEncoder(w).Encode(release.SiteStatus{Site: "shop", Live: "r1", Since: noon})
			return
		}
		var body json.RawMessage
		json.NewDecoder(r.Body).Decode(&body)
		asked <- r.URL.Path
		select {
		case <-let:
			json.NewEncoder(w).Encode(release.Back{Site: "shop", From: "r2", To: "r1", Recorded: true})
		case <-r.Context().Done():
		}
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return socket, asked
}

// callTo returns a run of the program against a socket.
func callTo(socket string, out, talk *bytes.Buffer) *call {
	return &call{stdout: out, stderr: talk, screen: plainScreen(80), now: time.Now, getenv: env("APLOMB_SITE", "shop", "APLOMB_API", socket)}
}

func TestAnInterruptedRollbackGoesOnAndSaysSo(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"rollback"}, {"rollback", "--json"}, {"undo"}} {
		socket, asked := slowServer(t, make(chan struct{}))
		var out, talk bytes.Buffer
		ctx, interrupt := context.WithCancel(t.Context())
		go func() {
			<-asked
			interrupt()
		}()
		if code := callTo(socket, &out, &talk).run(ctx, append(args, "--api", "unix:"+socket)); code != exitRunning {
			t.Errorf("%v: exit code %d, want %d\n%s", args, code, exitRunning, talk.String())
		}
		if out.Len() > 0 || !strings.Contains(talk.String(), "goes on") || !strings.Contains(talk.String(), "aplomb status") {
			t.Errorf("%v: stdout %q, stderr %q", args, out.String(), talk.String())
		}
	}
}

func TestARollbackInterruptedBeforeItWasSentDoesNothing(t *testing.T) {
	t.Parallel()
	socket, asked := slowServer(t, nil)
	var out, talk bytes.Buffer
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if code := callTo(socket, &out, &talk).run(ctx, []string{"rollback", "--api", "unix:" + socket}); code != exitUsage {
		t.Errorf("exit code %d, want %d\n%s", code, exitUsage, talk.String())
	}
	select {
	case path := <-asked:
		t.Errorf("%s was asked for", path)
	default:
	}
}

func TestAnAnswerThatCameBeforeTheInterruptIsShown(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	close(let)
	socket, _ := slowServer(t, let)
	var out, talk bytes.Buffer
	if code := callTo(socket, &out, &talk).run(t.Context(), []string{"rollback", "--api", "unix:" + socket}); code != exitDone {
		t.Errorf("exit code %d\n%s", code, talk.String())
	}
	if !strings.HasPrefix(out.String(), "r1 is live again (was r2).") {
		t.Errorf("stdout = %q", out.String())
	}
}

func TestAServerThatIsLostLeavesNoClaimAboutProduction(t *testing.T) {
	t.Parallel()
	c := &call{server: &server{acted: true, site: "shop"}, getenv: env()}
	e := aplomb.NewError(aplomb.CodeNoServer, "a", "b", "c")
	if got := c.production(e); strings.Contains(got, "unchanged") || !strings.Contains(got, "not known") {
		t.Errorf("production = %q", got)
	}
	c.server.acted = false
	if got := c.production(e); !strings.Contains(got, "nothing was sent") {
		t.Errorf("production = %q", got)
	}
}
