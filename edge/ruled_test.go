package edge

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"aplomb"
)

// ruled serves one release under the rules of a site.
func ruled(t *testing.T, files content, rules func(*aplomb.Site)) *Table {
	w := newWorld(t)
	r := route(1, w.release(1, files))
	rules(&r.Site)
	return w.table(r)
}

func TestRedirectedHostLeadsToItsOtherWithPathAndQuery(t *testing.T) {
	t.Parallel()
	table := ruled(t, content{"/index.html": "one"}, func(s *aplomb.Site) { s.RedirectTo = map[aplomb.Host]aplomb.Host{"www.shop.test": shopHost} })
	for target, want := range map[string]string{"/": "/", "/a%20b?q=1&r": "/a%20b?q=1&r", "//evil.test/": "/"} {
		for host, port := range map[string]string{"www.shop.test": "", "WWW.shop.test:8080": ":8080"} {
			r := request(http.MethodGet, "/")
			r.Host = host
			r.URL.Path, r.URL.RawQuery, _ = strings.Cut(strings.ReplaceAll(target, "%20", " "), "?")
			if q := strings.IndexByte(target, '?'); q >= 0 {
				r.URL.Path, r.URL.RawQuery = strings.ReplaceAll(target[:q], "%20", " "), target[q+1:]
			}
			a := do(table, r)
			if got := a.Header.Get("Location"); a.StatusCode != http.StatusPermanentRedirect || got != "http://"+shopHost+port+want {
				t.Errorf("%s%s: %d to %q", host, target, a.StatusCode, got)
			}
		}
	}
	if a := get(table, "/"); a.StatusCode != 200 {
		t.Errorf("the host it leads to: %d", a.StatusCode)
	}
}

func TestOfflineSiteShowsItsPageAndKeepsWhatOpenPagesLoad(t *testing.T) {
	t.Parallel()
	off := func(s *aplomb.Site) {
		s.Offline = &aplomb.Offline{Since: time.Unix(1, 0), RetryAfter: 300}
		s.Gone = []string{"/keys.txt"}
	}
	files := content{"/index.html": "one", "/assets/a-1.js": "1", "/data.json": "{}", "/keys.txt": "k"}
	own := content{"/offline.html": "our own words"}
	for path, text := range files {
		own[path] = text
	}
	for name, table := range map[string]*Table{"Back soon": ruled(t, files, off), "our own words": ruled(t, own, off)} {
		for _, target := range []string{"/", "/unknown", "/offline.html"} {
			a := get(table, target, "Accept", "text/html")
			if body := bodyOf(t, a); a.StatusCode != 503 || a.Header.Get("Retry-After") != "300" || a.Header.Get("Cache-Control") != "no-store" || !strings.Contains(body, name) {
				t.Errorf("%s: %d %v %q, want 503 with %q", target, a.StatusCode, a.Header, body, name)
			}
		}
		if a := get(table, "/assets/a-1.js"); a.StatusCode != 200 || bodyOf(t, a) != "1" {
			t.Errorf("a hashed file: %d", a.StatusCode)
		}
		if a := get(table, "/data.json", "Sec-Fetch-Dest", "empty"); a.StatusCode != 503 || a.Header.Get("Retry-After") != "300" || strings.Contains(bodyOf(t, a), "<") {
			t.Errorf("data: %d, want 503 in plain text", a.StatusCode)
		}
		if a := get(table, "/keys.txt"); a.StatusCode != 410 {
			t.Errorf("what was forgotten: %d", a.StatusCode)
		}
	}
}

func TestForgottenURLIsGoneWhateverHasIt(t *testing.T) {
	t.Parallel()
	table := ruled(t, content{"/index.html": "one", "/keys.txt": "k", "/assets/a-1.js": "1", "/404.html": "nothing"}, func(s *aplomb.Site) {
		s.Gone = []string{"/keys.txt", "/assets/a-1.js"}
	})
	for _, target := range []string{"/keys.txt", "/keys.txt?x", "/assets/a-1.js"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			a := do(table, request(method, target))
			if a.StatusCode != 410 || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d %v, want 410, no-store", method, target, a.StatusCode, a.Header)
			}
		}
	}
	if a := get(table, "/"); a.StatusCode != 200 {
		t.Errorf("the page: %d", a.StatusCode)
	}
}
