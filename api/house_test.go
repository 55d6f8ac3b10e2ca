package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/ledger"
	"aplomb/release"
)

// house is a running server with a real manager; only the edge is a map.
type house struct {
	m    *release.Manager
	s    *Server
	led  ledger.Ledger
	log  *logLines
	stop func() // ends the server and waits for it

	mu     sync.Mutex
	routes map[aplomb.SiteName]aplomb.Route
	// gate, when set, is called before a route is taken over.
	gate func()
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{led: ledger.NewMemory(), log: &logLines{}, routes: map[aplomb.SiteName]aplomb.Route{}}
	lg := slog.New(slog.NewTextHandler(h.log, nil))
	h.m = release.New(lg, release.Config{
		Ledger: h.led, Blobs: blob.NewMemory(), Served: h.served,
		Performers: map[aplomb.IntentKind]release.Performer{aplomb.IntentRoute: h.route},
		URL:        func(s aplomb.Site) string { return fmt.Sprintf("http://%s/", s.Hosts) },
		Now:        time.Now, Limits: aplomb.DefaultLimits(),
	})
	if err := h.m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.s = New(lg, h.m, Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Version: "1.2.3", Now: time.Now})
	h.s.places = ownPlaces(t)
	if err := h.s.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.s.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(func() { h.stop(); h.m.Close(); h.led.Close() })
	return h
}

func (h *house) route(_ context.Context, in aplomb.Intent) (aplomb.Event, error) {
	h.mu.Lock()
	gate := h.gate
	h.mu.Unlock()
	if gate != nil {
		gate()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.routes[in.Site] = in.Route
	return aplomb.Event{Kind: aplomb.EventRouted, Done: []aplomb.Done{{What: "routing", MS: 1}}}, nil
}

func (h *house) served() []aplomb.Route {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.routes))
}

func (h *house) setGate(gate func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = gate
}

// socket and tcp are clients of either door.
func (h *house) socket(t testing.TB) *Client {
	return h.dial(t, Endpoint{Socket: h.s.Endpoint().Socket})
}

func (h *house) tcp(t testing.TB) *Client {
	ep := h.s.Endpoint()
	ep.Socket = ""
	return h.dial(t, ep)
}

func (h *house) dial(t testing.TB, ep Endpoint) *Client {
	c := Dial(ep)
	t.Cleanup(c.Close)
	return c
}

// page is a small front end whose bytes depend on key.
func page(key string) map[string]string {
	return map[string]string{
		"/index.html":                "<!doctype html><title>" + key + "</title>",
		"/assets/app-" + key + ".js": strings.Repeat("// "+key+"\n", 100),
	}
}

// listing is the request for files.
func listing(files map[string]string) release.UploadRequest {
	req := release.UploadRequest{Site: "shop", Hosts: []string{"shop.localhost"}}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		req.Files = append(req.Files, aplomb.File{Path: path, Digest: aplomb.Sum([]byte(files[path])), Size: int64(len(files[path]))})
	}
	return req
}

// deploy does what the command does.
func deploy(t testing.TB, c *Client, files map[string]string) release.Deployed {
	t.Helper()
	up, err := c.Begin(t.Context(), "", listing(files))
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	if _, err := c.Send(t.Context(), up.ID, stream(t, files, up.Missing)); err != nil {
		t.Fatalf("send: %v", err)
	}
	done, err := c.Seal(t.Context(), up.ID)
	if err != nil {
		t.Fatalf("seal: %v", err)
	}
	return done
}

func stream(t testing.TB, files map[string]string, missing []aplomb.Digest) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	for _, text := range files {
		d := aplomb.Sum([]byte(text))
		if !slices.Contains(missing, d) {
			continue
		}
		if err := release.WriteBlob(&b, blob.Ref{Digest: d, Size: int64(len(text))}, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := release.EndStream(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}
