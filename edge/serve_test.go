package edge

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"aplomb"
	"aplomb/blob"
)

// row is one request and what its answer must be. Headers with the value "" must be absent.
type row struct {
	name    string
	method  string // GET where it is ""
	target  string
	in      []string
	status  int
	headers map[string]string
	body    string // "-" where it does not matter
}

func runRows(t *testing.T, h http.Handler, rows []row) {
	t.Helper()
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			method := c.method
			if method == "" {
				method = http.MethodGet
			}
			resp := do(h, request(method, c.target, c.in...))
			if resp.StatusCode != c.status {
				t.Errorf("%s %s: status %d, want %d", method, c.target, resp.StatusCode, c.status)
			}
			for name, want := range c.headers {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s %s: %s: %q, want %q", method, c.target, name, got, want)
				}
			}
			if got := bodyOf(t, resp); c.body != "-" && got != c.body {
				t.Errorf("%s %s: body %.80q, want %.80q", method, c.target, got, c.body)
			}
			checkInvariants(t, resp, c.target)
		})
	}
}

// checkInvariants holds for every answer.
func checkInvariants(t *testing.T, resp *http.Response, target string) {
	t.Helper()
	cache := resp.Header.Get("Cache-Control")
	if cache == "" {
		t.Errorf("%s: no Cache-Control: browsers would guess", target)
	}
	if strings.Contains(cache, "immutable") && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotModified {
		t.Errorf("%s: immutable on a %d", target, resp.StatusCode)
	}
	if resp.StatusCode >= 400 && cache != "no-store" {
		t.Errorf("%s: %d with Cache-Control %q, want no-store", target, resp.StatusCode, cache)
	}
	if resp.Header.Get("Last-Modified") != "" {
		t.Errorf("%s: has Last-Modified", target)
	}
	if resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: no nosniff", target)
	}
	if aplomb.IsDocument(resp.Header.Get("Content-Type")) && (strings.Contains(cache, "max-age") || strings.Contains(cache, "immutable")) {
		t.Errorf("%s: a document may be kept: %q", target, cache)
	}
}

const (
	yearImmutable = "public, max-age=31536000, immutable"
	mustCheck     = "public, max-age=0, must-revalidate"
)

func TestEachKindOfFileHasItsPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(1, w.release(1, content{
		"/index.html": "<!doctype html>home", "/assets/app-abcd1234.js": "app", "/favicon.svg": "<svg/>", "/sw.js": "worker",
		"/version.json": "{}", "/remoteEntry.js": "remote", "/robots.txt": "",
	}, func(m *aplomb.Manifest) { m.Workers = []string{"/sw.js"} })))
	runRows(t, h, []row{
		{name: "document", target: "/", status: 200, body: "<!doctype html>home", headers: map[string]string{
			"Cache-Control": "no-cache", "CDN-Cache-Control": "no-cache", "ETag": tagOf("<!doctype html>home"),
			"Content-Type": "text/html; charset=utf-8", "Content-Length": "19", "Vary": "Accept-Encoding"}},
		{name: "hashed asset", target: "/assets/app-abcd1234.js", status: 200, body: "app", headers: map[string]string{
			"Cache-Control": yearImmutable, "ETag": tagOf("app")}},
		{name: "un-hashed asset", target: "/favicon.svg", status: 200, body: "<svg/>", headers: map[string]string{
			"Cache-Control": mustCheck, "CDN-Cache-Control": mustCheck, "ETag": tagOf("<svg/>")}},
		{name: "service worker", target: "/sw.js", status: 200, body: "worker", headers: map[string]string{
			"Cache-Control": "no-cache", "CDN-Cache-Control": "no-store", "ETag": tagOf("worker")}},
		{name: "version file", target: "/version.json", status: 200, body: "{}", headers: map[string]string{
			"Cache-Control": "no-cache", "CDN-Cache-Control": "no-store"}},
		{name: "remote entry", target: "/remoteEntry.js", status: 200, body: "remote", headers: map[string]string{
			"Cache-Control": "no-cache", "CDN-Cache-Control": "no-store"}},
		{name: "empty file", target: "/robots.txt", status: 200, body: "", headers: map[string]string{"Content-Length": "0", "ETag": tagOf("")}},
		{name: "head", method: "HEAD", target: "/", status: 200, body: "", headers: map[string]string{
			"ETag": tagOf("<!doctype html>home"), "Content-Length": "19", "Cache-Control": "no-cache"}},
		{name: "query is not part of the name", target: "/favicon.svg?v=2", status: 200, body: "<svg/>", headers: map[string]string{"Cache-Control": mustCheck}},
	})
}

func TestMissingFilesAreNeverHTMLUnderAnAssetURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(1, w.release(1, content{
		"/index.html": "<!doctype html>home", "/404.html": "<!doctype html>no such page", "/docs/404.html": "<!doctype html>no such doc",
	})))
	plain := map[string]string{"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", "CDN-Cache-Control": "no-store", "ETag": ""}
	page := map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "ETag": ""}
	runRows(t, h, []row{
		{name: "script", target: "/assets/gone-abcd1234.js", in: []string{"Accept", "*/*"}, status: 404, body: "not found\n", headers: plain},
		{name: "script asked for as a page", target: "/assets/gone-abcd1234.js", in: []string{"Sec-Fetch-Dest", "document", "Accept", "text/html"}, status: 404, body: "not found\n", headers: plain},
		{name: "page", target: "/nope", in: []string{"Accept", "text/html"}, status: 404, body: "<!doctype html>no such page", headers: page},
		{name: "page with ending", target: "/nope.html", status: 404, body: "<!doctype html>no such page", headers: page},
		{name: "nearest page", target: "/docs/a/nope", status: 404, body: "<!doctype html>no such doc", headers: page},
		{name: "script without an ending", target: "/nope", in: []string{"Sec-Fetch-Dest", "script"}, status: 404, body: "not found\n", headers: plain},
		{name: "head", method: "HEAD", target: "/nope", status: 404, body: "", headers: page},
		{name: "never 304", target: "/nope", in: []string{"If-None-Match", tagOf("<!doctype html>no such page")}, status: 404, body: "<!doctype html>no such page"},
		{name: "never a part", target: "/nope", in: []string{"Range", "bytes=0-3"}, status: 404, body: "<!doctype html>no such page"},
		{name: "reserved", target: "/.aplomb/release/r1", in: []string{"Accept", "text/html"}, status: 404, body: "not found\n", headers: plain},
	})
}

func TestFallbackAnswersNavigationsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(1, w.release(1, content{"/index.html": "<!doctype html>app"}, func(m *aplomb.Manifest) { m.Fallback = "/index.html" })))
	app := "<!doctype html>app"
	runRows(t, h, []row{
		{name: "navigation", target: "/cart", in: []string{"Sec-Fetch-Dest", "document", "Accept", "text/html,*/*"}, status: 200, body: app,
			headers: map[string]string{"Cache-Control": "no-cache", "ETag": tagOf(app)}},
		{name: "browser without fetch metadata", target: "/cart/7", in: []string{"Accept", "text/html"}, status: 200, body: app},
		{name: "with query", target: "/cart?x=a.b", in: []string{"Accept", "text/html"}, status: 200, body: app},
		{name: "revalidated", target: "/cart", in: []string{"Accept", "text/html", "If-None-Match", tagOf(app)}, status: 304, body: ""},
		{name: "program", target: "/cart", in: []string{"Accept", "*/*"}, status: 404, body: "not found\n"},
		{name: "api call", target: "/api/cart", in: []string{"Accept", "application/json", "Sec-Fetch-Dest", "empty"}, status: 404, body: "not found\n"},
		{name: "script", target: "/cart", in: []string{"Sec-Fetch-Dest", "script", "Accept", "text/html"}, status: 404, body: "not found\n"},
		{name: "path with ending", target: "/chunk.js", in: []string{"Sec-Fetch-Dest", "document", "Accept", "text/html"}, status: 404, body: "not found\n"},
		{name: "double slash", target: "//evil.example", in: []string{"Accept", "text/html"}, status: 404, body: "not found\n"},
	})
}

func TestCleanURLsAndIndexesNeverLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := content{
		"/index.html": "home", "/about.html": "about", "/docs/index.html": "docs", "/both.html": "page", "/both/index.html": "folder",
		"/with space/index.html": "space",
	}
	moved := func(to string) map[string]string {
		return map[string]string{"Location": to, "Cache-Control": "no-cache"}
	}
	h := w.table(route(1, w.release(1, files)))
	runRows(t, h, []row{
		{name: "page", target: "/about", status: 200, body: "about", headers: map[string]string{"Cache-Control": "no-cache"}},
		{name: "page by its file", target: "/about.html", status: 200, body: "about"},
		{name: "page with slash", target: "/about/?q=1", status: 307, headers: moved("/about?q=1")},
		{name: "folder", target: "/docs/", status: 200, body: "docs"},
		{name: "folder without slash", target: "/docs", status: 307, headers: moved("/docs/")},
		{name: "folder by its file", target: "/docs/index.html", status: 200, body: "docs"},
		{name: "page beside folder", target: "/both", status: 200, body: "page"},
		{name: "folder beside page", target: "/both/", status: 200, body: "folder"},
		{name: "escaped", target: "/with%20space", status: 307, headers: moved("/with%20space/")},
		{name: "escaped folder", target: "/with%20space/", status: 200, body: "space"},
	})
	off := false
	plain := w.table(route(1, w.release(2, files, func(m *aplomb.Manifest) { m.Settings.CleanURLs = &off })))
	if got := get(plain, "/about").StatusCode; got != 404 {
		t.Errorf("clean URLs off: /about: status %d, want 404", got)
	}
	if got := get(plain, "/docs/").StatusCode; got != 200 {
		t.Errorf("clean URLs off: /docs/: status %d, want 200", got)
	}
}

func TestConditionsGoByDigestAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(1, w.release(1, content{"/index.html": "home", "/assets/a-abcd1234.js": "code"})))
	w.blobs.encode("home", blob.Brotli, "br")
	home := tagOf("home")
	coded := strings.TrimSuffix(home, `"`) + `-br"`
	runRows(t, h, []row{
		{name: "same", target: "/", in: []string{"If-None-Match", home}, status: 304, body: "", headers: map[string]string{
			"ETag": home, "Cache-Control": "no-cache", "Vary": "Accept-Encoding", "Content-Length": "", "Content-Type": ""}},
		{name: "weak", target: "/", in: []string{"If-None-Match", "W/" + home}, status: 304, body: ""},
		{name: "in a list", target: "/", in: []string{"If-None-Match", `"x", "y,z", ` + home}, status: 304, body: ""},
		{name: "in a second line", target: "/", in: []string{"If-None-Match", `"x"`, "If-None-Match", home}, status: 304, body: ""},
		{name: "star", target: "/", in: []string{"If-None-Match", "*"}, status: 304, body: ""},
		{name: "other", target: "/", in: []string{"If-None-Match", tagOf("other")}, status: 200, body: "home"},
		{name: "unquoted", target: "/", in: []string{"If-None-Match", strings.Trim(home, `"`)}, status: 200, body: "home"},
		{name: "prefix", target: "/", in: []string{"If-None-Match", home[:20] + `"`}, status: 200, body: "home"},
		{name: "unknown suffix", target: "/", in: []string{"If-None-Match", strings.TrimSuffix(home, `"`) + `-x"`}, status: 200, body: "home"},
		{name: "coded form the client takes", target: "/", in: []string{"If-None-Match", coded, "Accept-Encoding", "br"}, status: 304, body: "", headers: map[string]string{"ETag": coded}},
		{name: "coded form the client does not take", target: "/", in: []string{"If-None-Match", coded}, status: 200, body: "home"},
		{name: "own bytes while a coded form exists", target: "/", in: []string{"If-None-Match", home, "Accept-Encoding", "br"}, status: 304, body: "", headers: map[string]string{"ETag": home}},
		{name: "date alone", target: "/", in: []string{"If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"}, status: 200, body: "home"},
		{name: "date and other tag", target: "/", in: []string{"If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT", "If-None-Match", tagOf("v2")}, status: 200, body: "home"},
		{name: "unmodified since", target: "/", in: []string{"If-Unmodified-Since", "Fri, 01 Jan 1971 00:00:00 GMT"}, status: 200, body: "home"},
		{name: "if-match same", target: "/", in: []string{"If-Match", home}, status: 200, body: "home"},
		{name: "if-match star", target: "/", in: []string{"If-Match", "*"}, status: 200, body: "home"},
		{name: "if-match other", target: "/", in: []string{"If-Match", `"x"`}, status: 412, body: "precondition failed\n"},
		{name: "if-match weak", target: "/", in: []string{"If-Match", "W/" + home}, status: 412, body: "precondition failed\n"},
		{name: "hashed 304 keeps its policy", target: "/assets/a-abcd1234.js", in: []string{"If-None-Match", tagOf("code")}, status: 304, body: "", headers: map[string]string{"Cache-Control": yearImmutable}},
		{name: "head", method: "HEAD", target: "/", in: []string{"If-None-Match", home}, status: 304, body: ""},
	})
}

func TestRangesAreServedFromTheFilesOwnBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := strings.Repeat("0123456789", 10_000)
	h := w.table(route(1, w.release(1, content{"/assets/a-abcd1234.js": "0123456789", "/video.mp4": big, "/empty.txt": ""})))
	w.blobs.encode("0123456789", blob.Gzip, "gz")
	tag := tagOf("0123456789")
	target := "/assets/a-abcd1234.js"
	part := func(of string) map[string]string {
		return map[string]string{"Content-Range": of, "ETag": tag, "Content-Encoding": "", "Cache-Control": "public, max-age=31536000"}
	}
	runRows(t, h, []row{
		{name: "first bytes", target: target, in: []string{"Range", "bytes=0-3"}, status: 206, body: "0123", headers: part("bytes 0-3/10")},
		{name: "coded client gets own bytes", target: target, in: []string{"Range", "bytes=2-3", "Accept-Encoding", "gzip"}, status: 206, body: "23", headers: part("bytes 2-3/10")},
		{name: "open end", target: target, in: []string{"Range", "bytes=7-"}, status: 206, body: "789", headers: part("bytes 7-9/10")},
		{name: "suffix", target: target, in: []string{"Range", "bytes=-2"}, status: 206, body: "89", headers: part("bytes 8-9/10")},
		{name: "long suffix", target: target, in: []string{"Range", "bytes=-99"}, status: 206, body: "0123456789", headers: part("bytes 0-9/10")},
		{name: "end beyond", target: target, in: []string{"Range", "bytes=8-99"}, status: 206, body: "89", headers: part("bytes 8-9/10")},
		{name: "end far beyond", target: target, in: []string{"Range", "bytes=8-99999999999999999999999"}, status: 206, body: "89"},
		{name: "beyond", target: target, in: []string{"Range", "bytes=10-"}, status: 416, body: "range not satisfiable\n", headers: map[string]string{"Content-Range": "bytes */10", "ETag": ""}},
		{name: "empty suffix", target: target, in: []string{"Range", "bytes=-0"}, status: 416, body: "range not satisfiable\n"},
		{name: "empty file", target: "/empty.txt", in: []string{"Range", "bytes=0-"}, status: 416, body: "range not satisfiable\n"},
		{name: "backwards", target: target, in: []string{"Range", "bytes=3-1"}, status: 200, body: "0123456789"},
		{name: "several", target: target, in: []string{"Range", "bytes=0-1,4-5"}, status: 200, body: "0123456789"},
		{name: "other unit", target: target, in: []string{"Range", "lines=0-1"}, status: 200, body: "0123456789"},
		{name: "signs", target: target, in: []string{"Range", "bytes=+1-2"}, status: 200, body: "0123456789"},
		{name: "if-range same", target: target, in: []string{"Range", "bytes=0-1", "If-Range", tag}, status: 206, body: "01"},
		{name: "if-range other", target: target, in: []string{"Range", "bytes=0-1", "If-Range", `"x"`}, status: 200, body: "0123456789"},
		{name: "if-range weak", target: target, in: []string{"Range", "bytes=0-1", "If-Range", "W/" + tag}, status: 200, body: "0123456789"},
		{name: "if-range date", target: target, in: []string{"Range", "bytes=0-1", "If-Range", "Fri, 01 Jan 2100 00:00:00 GMT"}, status: 200, body: "0123456789"},
		{name: "if-range coded", target: target, in: []string{"Range", "bytes=0-1", "If-Range", strings.TrimSuffix(tag, `"`) + `-gzip"`}, status: 200, body: "0123456789"},
		{name: "304 before range", target: target, in: []string{"Range", "bytes=0-1", "If-None-Match", tag}, status: 304, body: ""},
		{name: "head ignores range", method: "HEAD", target: target, in: []string{"Range", "bytes=0-1"}, status: 200, body: ""},
		{name: "large file", target: "/video.mp4", in: []string{"Range", "bytes=99990-"}, status: 206, body: "0123456789", headers: map[string]string{"Content-Range": "bytes 99990-99999/100000"}},
		{name: "large file whole", target: "/video.mp4", status: 200, body: big, headers: map[string]string{"Accept-Ranges": "bytes"}},
	})
}

func TestCodingIsTheOneTheClientWantsMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(1, w.release(1, content{"/app.css": "body{}", "/only-gzip.css": "p{}", "/plain.css": "i{}", "/photo.png": "png"})))
	w.blobs.encode("body{}", blob.Brotli, "BR")
	w.blobs.encode("body{}", blob.Zstd, "ZSTD")
	w.blobs.encode("body{}", blob.Gzip, "GZIP!")
	w.blobs.encode("p{}", blob.Gzip, "GZ")
	coded := func(coding, of string) map[string]string {
		return map[string]string{"Content-Encoding": coding, "Vary": "Accept-Encoding", "ETag": strings.TrimSuffix(tagOf(of), `"`) + "-" + coding + `"`}
	}
	bare := map[string]string{"Content-Encoding": "", "Vary": "Accept-Encoding", "ETag": tagOf("body{}")}
	rows := []row{
		{name: "browser", in: []string{"Accept-Encoding", "gzip, deflate, br, zstd"}, body: "BR", headers: coded("br", "body{}")},
		{name: "no br", in: []string{"Accept-Encoding", "gzip, zstd"}, body: "ZSTD", headers: coded("zstd", "body{}")},
		{name: "gzip", in: []string{"Accept-Encoding", "GZIP"}, body: "GZIP!", headers: coded("gzip", "body{}")},
		{name: "x-gzip", in: []string{"Accept-Encoding", "x-gzip"}, body: "GZIP!", headers: coded("gzip", "body{}")},
		{name: "by weight", in: []string{"Accept-Encoding", "br;q=0.5, gzip;q=0.9"}, body: "GZIP!", headers: coded("gzip", "body{}")},
		{name: "refused", in: []string{"Accept-Encoding", "br;q=0, zstd;q=0.0, gzip;q=0.000"}, body: "body{}", headers: bare},
		{name: "star", in: []string{"Accept-Encoding", "*"}, body: "BR", headers: coded("br", "body{}")},
		{name: "star without br", in: []string{"Accept-Encoding", "*, br;q=0"}, body: "ZSTD", headers: coded("zstd", "body{}")},
		{name: "two lines", in: []string{"Accept-Encoding", "deflate", "Accept-Encoding", "gzip"}, body: "GZIP!", headers: coded("gzip", "body{}")},
		{name: "bad weight", in: []string{"Accept-Encoding", "br;q=2, gzip;q=high"}, body: "body{}", headers: bare},
		{name: "none", body: "body{}", headers: bare},
		{name: "identity", in: []string{"Accept-Encoding", "identity"}, body: "body{}", headers: bare},
		{name: "only what exists", target: "/only-gzip.css", in: []string{"Accept-Encoding", "br, gzip"}, body: "GZ", headers: coded("gzip", "p{}")},
		{name: "nothing exists", target: "/plain.css", in: []string{"Accept-Encoding", "br"}, body: "i{}", headers: map[string]string{"Content-Encoding": "", "Vary": "Accept-Encoding"}},
		{name: "never encoded", target: "/photo.png", in: []string{"Accept-Encoding", "br"}, body: "png", headers: map[string]string{"Vary": ""}},
	}
	for i := range rows {
		rows[i].status = 200
		if rows[i].target == "" {
			rows[i].target = "/app.css"
		}
	}
	runRows(t, h, rows)
}

func TestEncodingsThatArriveLaterAreServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(1, w.release(1, content{"/app.css": "body{}"})))
	for _, c := range []struct {
		arrive func()
		want   string
	}{
		{func() {}, "body{}"},
		{func() { w.blobs.encode("body{}", blob.Gzip, "GZ") }, "GZ"},
		{func() { w.blobs.encode("body{}", blob.Brotli, "BR5") }, "BR5"},
		{func() { w.blobs.encode("body{}", blob.Brotli, "B11") }, "B11"},
	} {
		c.arrive()
		resp := get(h, "/app.css", "Accept-Encoding", "gzip, br")
		if got := bodyOf(t, resp); got != c.want || resp.Header.Get("Content-Length") != fmt.Sprint(len(c.want)) {
			t.Errorf("body %q with Content-Length %s, want %q", got, resp.Header.Get("Content-Length"), c.want)
		}
	}
}

func TestDamagedBlobIsNeverServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(1, w.release(1, content{"/index.html": "home", "/app.css": "body{}", "/both.css": "p{}"})))
	w.blobs.encode("body{}", blob.Brotli, "BR")
	w.blobs.encode("p{}", blob.Brotli, "PBR")
	w.blobs.damage(aplomb.Sum([]byte("home")), aplomb.ErrDamaged)
	w.blobs.damage(aplomb.Sum([]byte("BR")), aplomb.ErrDamaged)
	w.blobs.damage(aplomb.Sum([]byte("PBR")), aplomb.ErrNotFound)
	w.blobs.damage(aplomb.Sum([]byte("p{}")), aplomb.ErrDamaged)
	runRows(t, h, []row{
		{name: "document", target: "/", status: 500, body: "the file cannot be read\n", headers: map[string]string{"ETag": "", "Content-Type": "text/plain; charset=utf-8"}},
		{name: "head", method: "HEAD", target: "/", status: 500, body: ""},
		{name: "damaged form gives way", target: "/app.css", in: []string{"Accept-Encoding", "br"}, status: 200, body: "body{}", headers: map[string]string{"Content-Encoding": "", "ETag": tagOf("body{}")}},
		{name: "all forms damaged", target: "/both.css", in: []string{"Accept-Encoding", "br"}, status: 500, body: "the file cannot be read\n", headers: map[string]string{"Content-Encoding": ""}},
	})
	t.Cleanup(func() {
		if got := strings.Count(w.log.String(), aplomb.Sum([]byte("home")).String()); got != 1 {
			t.Errorf("the damaged document is named %d times, want once", got)
		}
	})
}

func TestGateRefusesWhatIsNotClearlyARequestForAKnownSite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(1, w.release(1, content{"/index.html": "home", "/a.txt": "a", "/dir/b.txt": "b", "/%2e.txt": "literal"}, func(m *aplomb.Manifest) {
		m.Fallback = "/index.html"
	})))
	page := []string{"Accept", "text/html"}
	runRows(t, h, []row{
		{name: "post", method: "POST", target: "/", status: 405, body: "only GET and HEAD\n", headers: map[string]string{"Allow": "GET, HEAD, OPTIONS"}},
		{name: "trace", method: "TRACE", target: "/", status: 405, body: "only GET and HEAD\n"},
		{name: "options", method: "OPTIONS", target: "/", status: 204, body: "", headers: map[string]string{"Allow": "GET, HEAD, OPTIONS"}},
		{name: "dot segment", target: "/dir/../a.txt", in: page, status: 400, body: "bad request\n"},
		{name: "encoded dot segment", target: "/dir/%2e%2e/a", in: page, status: 400, body: "bad request\n"},
		{name: "dot at the end", target: "/dir/..", in: page, status: 400, body: "bad request\n"},
		{name: "single dot", target: "/./a", in: page, status: 400, body: "bad request\n"},
		{name: "three dots are a name", target: "/.../a", in: page, status: 200, body: "home"},
		{name: "backslash", target: "/dir%5C..%5Ca", in: page, status: 400, body: "bad request\n"},
		{name: "nul", target: "/a%00", in: page, status: 400, body: "bad request\n"},
		{name: "not UTF-8", target: "/%ff", in: page, status: 400, body: "bad request\n"},
		{name: "escaped slash", target: "/dir%2Fb.txt", in: page, status: 404, body: "not found\n"},
		{name: "escaped slash in a page", target: "/x%2fy", in: page, status: 404, body: "not found\n"},
		{name: "double slash", target: "//a.txt", in: page, status: 404, body: "not found\n"},
		{name: "escaped letter", target: "/%61.txt", status: 200, body: "a"},
		{name: "escaped percent", target: "/%252e.txt", status: 200, body: "literal"},
		{name: "too long", target: "/" + strings.Repeat("a", 9000), in: page, status: 414, body: "the URL is too long\n"},
		{name: "case matters", target: "/A.txt", status: 404, body: "not found\n"},
	})
}

func TestHostDecidesTheSiteAndIsNeverEchoed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := route(1, w.release(2, content{"/index.html": "other"}))
	other.Site = aplomb.Site{Name: "other", Hosts: []aplomb.Host{"other.test"}}
	h := w.table(route(1, w.release(1, content{"/index.html": "shop"})), other)
	for _, c := range []struct {
		host   string
		status int
		body   string
	}{
		{"shop.test", 200, "shop"}, {"SHOP.test", 200, "shop"}, {"shop.test:8080", 200, "shop"}, {"shop.test.", 200, "shop"},
		{"other.test", 200, "other"}, {"127.0.0.1:80", 200, "shop"},
		{"evil.test", 421, "no such site here\n"}, {"shop.test.evil.test", 421, "no such site here\n"}, {"www.shop.test", 421, "no such site here\n"},
		{"", 400, "bad request\n"}, {"shop.test:80:80", 400, "bad request\n"}, {"shop.test/x", 400, "bad request\n"},
		{"shop.test@evil.test", 400, "bad request\n"}, {"shop test", 400, "bad request\n"}, {"[::1", 400, "bad request\n"}, {"shop..test", 400, "bad request\n"},
	} {
		r := request("GET", "/")
		r.Host = c.host
		resp := do(h, r)
		got := bodyOf(t, resp)
		if resp.StatusCode != c.status || got != c.body {
			t.Errorf("Host %q: %d %q, want %d %q", c.host, resp.StatusCode, got, c.status, c.body)
		}
		checkInvariants(t, resp, "Host "+c.host)
	}
}

func TestEveryRefusalHasItsCause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got []Signal
	e, err := Open(w.lg, Config{StateDir: t.TempDir(), Blobs: w.blobs, Signal: func(s Signal) { got = append(got, s) }})
	if err != nil {
		t.Fatal(err)
	}
	w.perform(e, intent(route(1, w.release(1, content{"/index.html": "home", "/bad.css": "bad"}))))
	w.blobs.damage(aplomb.Sum([]byte("bad")), aplomb.ErrDamaged)
	for _, c := range []struct {
		method, target string
		status         int
		cause          Cause
	}{
		{"GET", "/", 200, CauseNone},
		{"GET", "/gone.js", 404, CauseAssetMissing},
		{"GET", "/nope", 404, CauseClient},
		{"POST", "/", 405, CauseClient},
		{"GET", "/bad.css", 500, CauseEdge},
	} {
		got = nil
		do(e, request(c.method, c.target))
		if c.cause == CauseNone {
			if len(got) != 0 {
				t.Errorf("%s %s: signals %v, want none", c.method, c.target, got)
			}
			continue
		}
		want := Signal{Host: shopHost, Method: c.method, Path: c.target, Status: c.status, Cause: c.cause}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s %s: signals %v, want %v", c.method, c.target, got, want)
		}
	}
}
