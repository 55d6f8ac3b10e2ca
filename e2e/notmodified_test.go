package e2e_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// trap is a way in which two releases can look alike to whoever compares dates and sizes.
type trap struct {
	name         string
	older, newer map[string]string // files by name
	made         [2]time.Time      // their modification times
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// traps are the three cases in which servers that make validators of dates and sizes answer 304 where they must not.
var traps = []trap{
	{"a", trapFiles("a", "one", "and a line that is not in the other release"), trapFiles("a", "two", ""), [2]time.Time{noon, noon.Add(time.Hour)}},
	{"b", trapFiles("b", "one", ""), trapFiles("b", "two", ""), [2]time.Time{noon, noon}},
	{"c", trapFiles("c", "one", ""), trapFiles("c", "two", ""), [2]time.Time{noon.Add(100 * time.Millisecond), noon.Add(900 * time.Millisecond)}},
}

func trapFiles(name, marker, more string) map[string]string {
	padding := strings.Repeat("All that follows is the same in both releases of "+name+". ", 40)
	return map[string]string{
		"index.html":  "<!doctype html><html><head><title>shop</title></head><body><!-- marker:" + marker + " -->" + padding + more + "</body></html>",
		"about.html":  "<!doctype html><html><head><title>about</title></head><body><!-- marker:" + marker + " -->" + padding + more + "</body></html>",
		"app.js":      "// marker:" + marker + " " + padding + more + "\n",
		"style.css":   "/* marker:" + marker + " " + padding + more + " */\n",
		"logo.svg":    "<svg xmlns='http://www.w3.org/2000/svg'><!-- marker:" + marker + " -->" + padding + more + "</svg>",
		"robots.txt":  "# marker:" + marker + " " + padding + more + "\n",
		"version.txt": "marker:" + marker + " of " + name + "\n",
	}
}

var trapPaths = []string{"/", "/about", "/app.js", "/style.css", "/logo.svg", "/robots.txt", "/version.txt"}

// fill writes a release's files with its modification time into dir, in place.
func (r trap) fill(t *testing.T, dir string, which int) {
	t.Helper()
	for name, content := range []map[string]string{r.older, r.newer}[which] {
		file := filepath.Join(dir, name)
		write(t, file, []byte(content))
		if err := os.Chtimes(file, r.made[which], r.made[which]); err != nil {
			t.Fatal(err)
		}
	}
}

// Test304Trap takes releases back while clients and shared caches hold the validators of the release that was taken back.
// Nobody is told that what they have is still good, and caches have the live release's bytes within their own max-age.
func Test304Trap(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.start(t)
	obeyingNginx, stubbornNginx := newNginx(t, m.listen)
	obeyingVarnish, stubbornVarnish := newVarnish(t, m.listen)
	caches := []frontCache{obeyingNginx, stubbornNginx, obeyingVarnish, stubbornVarnish}
	for _, r := range traps {
		t.Run(r.name, func(t *testing.T) { r.spring(t, m, caches) })
	}
}

// spring deploys both releases, lets a client and every cache hold the second, takes it back, and asks again.
func (r trap) spring(t *testing.T, m *machine, caches []frontCache) {
	site, host := "trap-"+r.name, "trap-"+r.name+".localhost"
	dir := filepath.Join(t.TempDir(), "dist")
	r.fill(t, dir, 0)
	var d deployed
	m.run(t, &d, "deploy", dir, "--site", site, "--host", host)
	r.fill(t, dir, 1)
	m.run(t, &d, "deploy", dir, "--site", site, "--host", host)
	if d.Release != "r2" || d.FilesUploaded != len(r.newer) {
		t.Fatalf("deploy = %+v, want r2 with %d files uploaded: files were changed in place", d, len(r.newer))
	}

	v := newVisitor(t, host, m.listen)
	held := map[string]answer{}
	for _, p := range trapPaths {
		for _, coding := range codings {
			a := v.get(t, p, "Accept-Encoding", coding)
			checkOwnValidator(t, v, p, coding, a)
			held[p+coding] = a
		}
	}
	var warm []*visitor
	for _, c := range caches {
		cv := newVisitor(t, host, c.addr)
		for range 2 {
			for _, p := range trapPaths {
				checkMarker(t, c.name, p, cv.get(t, p), "two")
			}
		}
		warm = append(warm, cv)
	}

	var b back
	m.run(t, &b, "rollback", "--site", site)
	back := time.Now()
	wrong := 0
	for _, p := range trapPaths {
		for _, coding := range codings {
			wrong += r.askWithHeld(t, v, p, coding, held[p+coding])
		}
	}
	if wrong > 0 {
		t.Errorf("%d wrong answers to conditional requests", wrong)
	}
	for i, c := range caches {
		r.checkCache(t, c, warm[i], back, held)
	}
}

// codings are what clients accept, one at a time.
var codings = []string{"identity", "gzip", "br", "zstd"}

// checkOwnValidator makes sure that conditional requests work at all: without that, no wrong 304 would prove nothing.
func checkOwnValidator(t *testing.T, v *visitor, p, coding string, a answer) {
	t.Helper()
	if a.status != http.StatusOK || a.head.Get("ETag") == "" {
		t.Fatalf("GET %s as %s = %v with ETag %q", p, coding, a, a.head.Get("ETag"))
	}
	again := v.get(t, p, "Accept-Encoding", coding, "If-None-Match", a.head.Get("ETag"))
	if again.status != http.StatusNotModified || len(again.body) != 0 {
		t.Errorf("GET %s as %s with its own ETag = %v, want 304", p, coding, again)
	}
}

func checkMarker(t *testing.T, who, p string, a answer, want string) {
	t.Helper()
	if a.status != http.StatusOK || markerOf(a.body) != want {
		t.Errorf("%s: GET %s = %v, want 200 and release %q", who, p, a, want)
	}
}

// askWithHeld asks with everything a client could hold of the second release, and counts wrong answers.
func (r trap) askWithHeld(t *testing.T, v *visitor, p, coding string, held answer) int {
	t.Helper()
	etag := held.head.Get("ETag")
	dates := []string{r.made[1].Format(http.TimeFormat), time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}
	if d := held.head.Get("Last-Modified"); d != "" {
		dates = append(dates, d)
	}
	asks := [][]string{{"If-None-Match", etag}, {"If-None-Match", "W/" + etag}}
	for _, d := range dates {
		asks = append(asks, []string{"If-Modified-Since", d}, []string{"If-Modified-Since", d, "If-None-Match", etag})
	}
	wrong := 0
	for _, ask := range asks {
		a := v.get(t, p, append([]string{"Accept-Encoding", coding}, ask...)...)
		want := []byte(r.older[fileOf(p)])
		if a.status != http.StatusOK || coding == "identity" && !bytes.Equal(a.body, want) || a.head.Get("ETag") == etag {
			t.Errorf("GET %s as %s with %q after the rollback = %v, want release 1 in full", p, coding, ask, a)
			wrong++
		}
	}
	return wrong
}

func fileOf(urlPath string) string {
	switch urlPath {
	case "/":
		return "index.html"
	case "/about":
		return "about.html"
	}
	return urlPath[1:]
}

// checkCache asks a cache that held the second release: once its own max-age is over it has the first, and keeps it.
func (r trap) checkCache(t *testing.T, c frontCache, v *visitor, back time.Time, held map[string]answer) {
	t.Helper()
	hits := 0
	for _, p := range trapPaths {
		maxAge := time.Second
		if held[p+"identity"].head.Get("Cache-Control") == "" {
			t.Errorf("GET %s has no Cache-Control: every cache makes up its own mind", p)
		}
		v.until(t, time.Until(back.Add(maxAge+3*time.Second)), p, func(a answer) bool { return markerOf(a.body) == "one" })
		for range 4 {
			a := v.get(t, p)
			checkMarker(t, c.name, p, a, "one")
			if a.head.Get("X-Cache") == "HIT" {
				hits++
			}
		}
	}
	if strings.Contains(c.name, "everything") && hits == 0 {
		t.Errorf("%s kept nothing: it proves nothing", c.name)
	}
	t.Logf("%s: release 1 everywhere %v after the rollback, %d answers from its cache", c.name, time.Since(back).Round(time.Millisecond), hits)
}
