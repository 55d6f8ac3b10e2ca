package edge

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aplomb"
	"aplomb/blob"
)

// shopHost is the host of the site that tests serve.
const shopHost = "shop.test"

// world is a blob store in memory and the releases in it.
type world struct {
	t     testing.TB
	blobs *memoryBlobs
	log   *bytes.Buffer
	lg    *slog.Logger
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, blobs: &memoryBlobs{of: map[aplomb.Digest][]byte{}, encodings: map[aplomb.Digest]blob.Encodings{}, bad: map[aplomb.Digest]error{}, failing: map[aplomb.Digest]func(io.Reader) io.Reader{}}, log: &bytes.Buffer{}}
	w.lg = slog.New(slog.NewTextHandler(&lockedWriter{w: w.log}, nil))
	return w
}

// content is a release's files by path, with their bytes.
type content map[string]string

// release stores a release: files under /assets/ are hashed. change may alter its manifest before it is stored.
func (w *world) release(n int, files content, change ...func(*aplomb.Manifest)) aplomb.KeptRelease {
	m := aplomb.Manifest{Version: aplomb.ManifestVersion}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		d := w.blobs.put([]byte(files[path]))
		m.Files = append(m.Files, aplomb.File{
			Path: path, Digest: d, Size: int64(len(files[path])), Type: aplomb.ContentType(path), Hashed: strings.HasPrefix(path, "/assets/"),
		})
	}
	for _, f := range change {
		f(&m)
	}
	return aplomb.KeptRelease{ID: aplomb.NewReleaseID(n), State: aplomb.Replaced, Manifest: w.blobs.put(aplomb.EncodeManifest(m))}
}

// route serves the first release and keeps the others.
func route(n int64, live aplomb.KeptRelease, kept ...aplomb.KeptRelease) aplomb.Route {
	live.State = aplomb.Live
	return aplomb.Route{
		Site: aplomb.Site{Name: "shop", Hosts: []aplomb.Host{shopHost, "127.0.0.1"}},
		Head: head(n), Live: live.ID, Since: time.Unix(n, 0).UTC(), Kept: append([]aplomb.KeptRelease{live}, kept...),
	}
}

func head(n int64) aplomb.Head {
	return aplomb.Head{Epoch: 1, N: n, SHA: aplomb.Sum(fmt.Appendf(nil, "line %d", n))}
}

func intent(r aplomb.Route) aplomb.Intent {
	return aplomb.Intent{ID: fmt.Sprintf("%s.%d", r.Site.Name, r.Head.N), Kind: aplomb.IntentRoute, Site: r.Site.Name, Release: r.Live, Route: r}
}

func urgent(r aplomb.Route) aplomb.Intent {
	in := intent(r)
	in.Urgent = true
	return in
}

func (w *world) table(routes ...aplomb.Route) *Table {
	w.t.Helper()
	table, err := NewTable(w.lg, w.blobs, routes...)
	if err != nil {
		w.t.Fatalf("NewTable: %v", err)
	}
	return table
}

func (w *world) edge(dir string) *Edge {
	w.t.Helper()
	e, err := Open(w.lg, Config{StateDir: dir, Blobs: w.blobs})
	if err != nil {
		w.t.Fatalf("Open: %v", err)
	}
	return e
}

func (w *world) perform(e *Edge, in aplomb.Intent) aplomb.Event {
	w.t.Helper()
	ev, err := e.Perform(w.t.Context(), in)
	if err != nil {
		w.t.Fatalf("Perform(%s to %s): %v", in.ID, in.Release, err)
	}
	return ev
}

// request makes a request as a server hands it on.
func request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "http://"+shopHost+"/", nil)
	parsed, err := http.NewRequest(method, "http://"+shopHost+target, nil)
	if err != nil {
		panic(err)
	}
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = parsed.URL.Path, parsed.URL.RawPath, parsed.URL.RawQuery
	r.URL.Scheme, r.URL.Host, r.RequestURI = "", "", target
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func do(h http.Handler, r *http.Request) *http.Response {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result()
}

func get(h http.Handler, target string, headers ...string) *http.Response {
	return do(h, request(http.MethodGet, target, headers...))
}

func bodyOf(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	return string(b)
}

func tagOf(content string) string { return fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(content))) }

// memoryBlobs is a blob.Reader in memory whose blobs can be damaged.
type memoryBlobs struct {
	mu        sync.RWMutex
	of        map[aplomb.Digest][]byte
	encodings map[aplomb.Digest]blob.Encodings
	bad       map[aplomb.Digest]error
	failing   map[aplomb.Digest]func(io.Reader) io.Reader
}

func (m *memoryBlobs) put(b []byte) aplomb.Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := aplomb.Sum(b)
	m.of[d] = b
	return d
}

// encode stores text as the encoded form of the blob with those bytes.
func (m *memoryBlobs) encode(original string, c blob.Coding, text string) {
	d := m.put([]byte(text))
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.encodings[aplomb.Sum([]byte(original))]
	e[c] = blob.Encoded{Digest: d, Size: int64(len(text)), Level: 5}
	m.encodings[aplomb.Sum([]byte(original))] = e
}

func (m *memoryBlobs) damage(d aplomb.Digest, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bad[d] = err
}

func (m *memoryBlobs) Open(d aplomb.Digest) (blob.File, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.bad[d]; err != nil {
		return nil, 0, fmt.Errorf("open blob %s: %w", d.Short(), err)
	}
	b, ok := m.of[d]
	if !ok {
		return nil, 0, fmt.Errorf("open blob %s: %w", d.Short(), aplomb.ErrNotFound)
	}
	if f := m.failing[d]; f != nil {
		return failingFile{memoryFile{bytes.NewReader(b)}, f(bytes.NewReader(b))}, int64(len(b)), nil
	}
	return memoryFile{bytes.NewReader(b)}, int64(len(b)), nil
}

// fail makes the blob's bytes be read through f.
func (m *memoryBlobs) fail(d aplomb.Digest, f func(io.Reader) io.Reader) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing[d] = f
}

type failingFile struct {
	memoryFile
	through io.Reader
}

func (f failingFile) Read(b []byte) (int, error) { return f.through.Read(b) }

func (m *memoryBlobs) Encodings(d aplomb.Digest) blob.Encodings {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.encodings[d]
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
