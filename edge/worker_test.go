package edge

import (
	"strings"
	"testing"

	"aplomb"
)

func TestWorkerThatTheLiveReleaseLacksIsEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	worker := func(paths ...string) func(*aplomb.Manifest) { return func(m *aplomb.Manifest) { m.Workers = paths } }
	plain := w.release(1, content{"/index.html": "plain"}, func(m *aplomb.Manifest) { m.Fallback = "/index.html" })
	with := w.release(2, content{"/index.html": "with", "/sw.js": "worker 2", "/assets/sw-abcd1234.js": "hashed worker"}, worker("/sw.js", "/assets/sw-abcd1234.js"))
	own := w.release(3, content{"/index.html": "own", "/sw.js": "worker 3"}, worker("/sw.js"))
	kill := map[string]string{"Cache-Control": "no-store", "Content-Type": "text/javascript; charset=utf-8", "Service-Worker-Allowed": "/", "ETag": ""}
	runRows(t, w.table(route(1, plain, with)), []row{
		{name: "removed", target: "/sw.js", status: 200, body: killWorker, headers: kill},
		{name: "removed, conditional", target: "/sw.js", in: []string{"If-None-Match", tagOf("worker 2")}, status: 200, body: killWorker},
		{name: "removed, head", method: "HEAD", target: "/sw.js", status: 200, body: "", headers: kill},
		{name: "hashed, fetched as a worker", target: "/assets/sw-abcd1234.js", in: []string{"Service-Worker", "script"}, status: 200, body: killWorker, headers: kill},
		{name: "hashed, fetched as a file", target: "/assets/sw-abcd1234.js", status: 200, body: "hashed worker"},
	})
	runRows(t, w.table(route(1, own, with, plain)), []row{
		{name: "live has its own", target: "/sw.js", status: 200, body: "worker 3", headers: map[string]string{"Cache-Control": "no-cache", "CDN-Cache-Control": "no-store"}},
	})
	runRows(t, w.table(route(1, plain)), []row{
		{name: "no longer kept", target: "/sw.js", status: 404, body: "not found\n"},
	})
}

func TestSwitchSaysThatAWorkerURLChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.edge(t.TempDir())
	plain := w.release(1, content{"/index.html": "plain"})
	with := w.release(2, content{"/index.html": "with", "/sw.js": "worker"}, func(m *aplomb.Manifest) { m.Workers = []string{"/sw.js"} })
	same := w.release(3, content{"/index.html": "same", "/sw.js": "worker"}, func(m *aplomb.Manifest) { m.Workers = []string{"/sw.js"} })
	for _, c := range []struct {
		route aplomb.Route
		want  string
	}{
		{route(1, plain), "routing"},
		{route(2, with, plain), "routing worker"},
		{route(3, same, with, plain), "routing"},
		{route(4, plain, with, same), "routing worker"},
	} {
		ev := w.perform(e, intent(c.route))
		var got []string
		for _, d := range ev.Done {
			got = append(got, d.What)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("to %s: done %v, want %s", c.route.Live, got, c.want)
		}
	}
}
