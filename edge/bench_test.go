package edge

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"

	"aplomb"
	"aplomb/blob"
)

// bareWriter is the least a handler can write to, so that what is measured is the edge's own.
type bareWriter struct {
	header http.Header
	status int
	bytes  int
}

func (w *bareWriter) Header() http.Header         { return w.header }
func (w *bareWriter) WriteHeader(status int)      { w.status = status }
func (w *bareWriter) Write(b []byte) (int, error) { w.bytes += len(b); return len(b), nil }

func hotRequests(tb testing.TB) (http.Handler, map[string]*http.Request) {
	w := newWorld(tb)
	h := w.table(route(1, w.release(1, content{"/index.html": "home", "/assets/a-abcd1234.js": "code"}),
		w.release(2, content{"/assets/b-abcd1234.js": "code of r2"})))
	w.blobs.encode("code", blob.Brotli, "BR")
	return h, map[string]*http.Request{
		"document":     request("GET", "/"),
		"asset, coded": request("GET", "/assets/a-abcd1234.js", "Accept-Encoding", "gzip, deflate, br, zstd"),
		"kept asset":   request("GET", "/assets/b-abcd1234.js", "Accept-Encoding", "gzip, deflate, br, zstd"),
		"not modified": request("GET", "/", "If-None-Match", tagOf("home"), "Accept-Encoding", "gzip, deflate, br, zstd"),
	}
}

func TestCachedAnswersAllocateNothing(t *testing.T) {
	h, requests := hotRequests(t)
	for name, r := range requests {
		w := &bareWriter{header: make(http.Header, 16)}
		h.ServeHTTP(w, r)
		if got := testing.AllocsPerRun(100, func() { clear(w.header); h.ServeHTTP(w, r) }); got != 0 {
			t.Errorf("%s: %v allocations, want none", name, got)
		}
	}
}

func BenchmarkServe(b *testing.B) {
	h, requests := hotRequests(b)
	for name, r := range requests {
		b.Run(name, func(b *testing.B) {
			w := &bareWriter{header: make(http.Header, 16)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}

// largeReleases are ten releases of 10,000 files that differ in a tenth of them.
func largeReleases(w *world) []aplomb.KeptRelease {
	kept := make([]aplomb.KeptRelease, 10)
	for n := range kept {
		files := content{"/index.html": fmt.Sprint("home ", n)}
		for i := range 10_000 {
			if i%10 == n {
				files[fmt.Sprintf("/assets/part-%05d-%08x.js", i, n)] = fmt.Sprint("part ", i, " of ", n)
			} else {
				files[fmt.Sprintf("/assets/part-%05d-abcd1234.js", i)] = fmt.Sprint("part ", i)
			}
		}
		kept[n] = w.release(n+1, files)
	}
	return kept
}

// BenchmarkRollback moves between two of ten kept releases with 10,000 files each, its state written and synced.
func BenchmarkRollback(b *testing.B) {
	w := newWorld(b)
	kept := largeReleases(w)
	e := w.edge(b.TempDir())
	n := int64(1)
	w.perform(e, intent(route(n, kept[9], kept[:9]...)))
	for b.Loop() {
		n++
		live, other := kept[8+n%2], kept[9-n%2]
		w.perform(e, urgent(route(n, live, append([]aplomb.KeptRelease{other}, kept[:8]...)...)))
	}
}

// BenchmarkDeploy makes one more release of 10,000 files live beside nine kept ones.
func BenchmarkDeploy(b *testing.B) {
	w := newWorld(b)
	kept := largeReleases(w)
	s := newShelf(w.blobs)
	before, _ := s.site(route(1, kept[8], kept[:8]...), nil)
	for b.Loop() {
		s.trim([]aplomb.Route{before.route}, nil)
		s.site(route(2, kept[9], kept[:9]...), before)
	}
}

// BenchmarkStart reads ten kept releases with 10,000 files each.
func BenchmarkStart(b *testing.B) {
	w := newWorld(b)
	kept := largeReleases(w)
	dir := b.TempDir()
	w.perform(w.edge(dir), intent(route(1, kept[9], kept[:9]...)))
	for b.Loop() {
		w.edge(dir)
	}
}

// BenchmarkMemory reports the bytes that a table takes for each file of ten kept releases.
func BenchmarkMemory(b *testing.B) {
	w := newWorld(b)
	kept := largeReleases(w)
	for b.Loop() {
		before := heap()
		s := newShelf(w.blobs)
		made, _ := s.site(route(1, kept[9], kept[:9]...), nil)
		b.ReportMetric(float64(heap()-before)/float64(len(made.union.files)), "B/file")
		runtime.KeepAlive(s)
		runtime.KeepAlive(made)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
