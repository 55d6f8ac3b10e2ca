package edge

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"aplomb"
	"aplomb/blob"
)

// FuzzRequest sends any host, path and query: the answer is one of a known file, or a refusal that nobody keeps and
// that has nothing of the request in it.
func FuzzRequest(f *testing.F) {
	w := newWorld(f)
	files := content{"/index.html": "home", "/about.html": "about", "/docs/index.html": "docs", "/assets/a-abcd1234.js": "code", "/404.html": "no page"}
	h := w.table(route(1, w.release(1, files, func(m *aplomb.Manifest) { m.Fallback = "/index.html" })))
	known := map[string]bool{"": true}
	for _, text := range files {
		known[text] = true
	}
	for _, seed := range []struct{ host, path, accept string }{
		{"shop.test", "/", "text/html"}, {"shop.test:80", "/docs", "*/*"}, {"SHOP.TEST.", "/about/", ""}, {"evil", "//evil/%2e%2e/x", "text/html"},
		{"shop.test", "/..%2f..%2fetc/passwd", "text/html"}, {"[::1]", "/a%00b", ""}, {"shop.test", "/\\x", "text/html"}, {"", "*", ""},
	} {
		f.Add(seed.host, seed.path, seed.accept)
	}
	f.Fuzz(func(t *testing.T, host, target, accept string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", Host: host, URL: u, RequestURI: target, Header: http.Header{"Accept": {accept}}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		resp := rec.Result()
		checkInvariants(t, resp, target)
		got := rec.Body.String()
		if resp.StatusCode == 200 && !known[got] {
			t.Errorf("%q: 200 with %q", target, got)
		}
		if resp.StatusCode == 200 && got == "home" && hasEnding(u.Path) && u.Path != "/index.html" {
			t.Errorf("%q: the fallback under a path with an ending", target)
		}
		if to := resp.Header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
			t.Errorf("%q: leads to %q", target, to)
		}
	})
}

func FuzzAcceptEncoding(f *testing.F) {
	for _, seed := range []string{"gzip, deflate, br, zstd", "br;q=0.5,*;q=0", "*", "gzip;q=1.000;x=y", ";;q=", "br;q=0.1234", "x-gzip ; q=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		a := parseAccepted([]string{field})
		for c, q := range a {
			if q > 1000 {
				t.Errorf("%q: weight %d", field, q)
			}
			name := codingTokens[c][0]
			if q > 0 && !strings.Contains(strings.ToLower(field), name) && !strings.Contains(field, "*") {
				t.Errorf("%q: takes %s unasked", field, name)
			}
		}
		forms := &codedForms{}
		for c := range forms.forms {
			forms.forms[c].size = 1
		}
		if c, ok := a.choose(forms); ok && a[c] == 0 || ok != (a != accepted{}) {
			t.Errorf("%q: chose %d, %v of %v", field, c, ok, a)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=1-2,3-4", "bytes = 1 - 2", "bytes=--1", "bytes=9223372036854775807-", "bytes=0-99999999999999999999"} {
		f.Add(seed, int64(10))
	}
	f.Add("bytes=0-", int64(0))
	f.Fuzz(func(t *testing.T, field string, size int64) {
		if size < 0 {
			return
		}
		start, length, outcome := parseRange([]string{field}, size)
		if outcome == partOfFile && (start < 0 || length < 1 || start > size-length) {
			t.Errorf("%q of %d: %d bytes from %d", field, size, length, start)
		}
		if outcome != partOfFile && (start != 0 || length != 0) {
			t.Errorf("%q of %d: no part, yet %d bytes from %d", field, size, length, start)
		}
	})
}

func FuzzEntityTags(f *testing.F) {
	own := tagOf("x")
	for _, seed := range []string{own, "W/" + own, `"a", ` + own, own[:10], `"` + strings.Repeat("0", 64) + `-br"`, `W/"`, `,,"a"b"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		tag, ok := noneMatch([]string{field}, own, accepted{blob.Brotli: 1000})
		if ok && strings.Trim(field, " \t") != "*" && !strings.Contains(field, own[:len(own)-1]) {
			t.Errorf("%q matches %q", field, own)
		}
		if ok && tag != own && tag != own[:len(own)-1]+`-br"` {
			t.Errorf("%q: tag %q", field, tag)
		}
		failsIfMatch([]string{field}, own)
	})
}

func FuzzState(f *testing.F) {
	b, err := encodeState(route(7, aplomb.KeptRelease{ID: "r1"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"sha":"","route":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeState(b, "shop")
		if err != nil {
			return
		}
		if again, err := encodeState(r); err != nil || r.Site.Name != "shop" || len(again) == 0 {
			t.Errorf("decoded %+v, which is encoded as %q, %v", r, again, err)
		}
	})
}
