package aplomb

import (
	"strings"
	"testing"
)

func TestFieldsThatBreakAnInvariantAreNotAllowed(t *testing.T) {
	t.Parallel()
	const (
		d, w, h, a, m = "document ", "worker ", "hashed ", "asset ", "missing "
		everywhere    = d + w + h + a + m
	)
	kinds := map[string]FileKind{d: KindDocument, w: KindWorker, h: KindHashed, a: KindAsset, m: KindMissing}
	for _, c := range []struct{ name, value, allowed string }{
		{"Cache-Control", "public, max-age=31536000, immutable", h},
		{"Cache-Control", "max-age=3600", h + a},
		{"Cache-Control", "no-cache", d + w + h + a},
		{"Cache-Control", "No-Cache, max-age=3600", d + w + h + a},
		{"Cache-Control", `no-cache="Set-Cookie", max-age=60`, h + a},
		{"Cache-Control", "public, max-age=0, must-revalidate", d + w + h + a},
		{"Cache-Control", "max-age=0", h + a},
		{"Cache-Control", "max-age=0, must-revalidate, s-maxage=60", h + a},
		{"Cache-Control", "max-age=0, must-revalidate, stale-while-revalidate=60", h + a},
		{"Cache-Control", "max-age=0, max-age=60, must-revalidate", h + a},
		{"Cache-Control", "max-age=x, must-revalidate", h + a},
		{"Cache-Control", "no-store", d + w + a + m},
		{"Cache-Control", "no-store, immutable", ""},
		{"Cache-Control", "immutable, no-cache", h},
		{"Cdn-Cache-Control", "max-age=60", h + a},
		{"Cdn-Cache-Control", "max-age=0", d + w + h + a},
		{"Surrogate-Control", "no-store", d + w + a + m},
		{"Etag", `"mine"`, ""},
		{"Last-Modified", "Tue, 24 Nov 2026 00:00:00 GMT", ""},
		{"Cache-Control", "no-cache, s-maxage=60", h + a},
		{"Cdn-Cache-Control", "no-cache, max-age=60", h + a},
		{"Cdn-Cache-Control", "immutable", h},
		{"Cloudflare-Cdn-Cache-Control", "max-age=60", h + a},
		{"Vercel-Cdn-Cache-Control", "s-maxage=60", h + a},
		{"Netlify-Cdn-Cache-Control", "public, durable, max-age=60", h + a},
		{"Somebodys-Cache-Control", "max-age=60", h + a},
		{"Surrogate-Control", "max-age=60", h + a},
		{"Surrogate-Control", "no-store, max-age=60", a},
		{"Surrogate-Control", "max-age=0+3600", h + a},
		{"Surrogate-Control", `content="ESI/1.0"`, h + a},
		{"Edge-Control", "cache-maxage=1d", h + a},
		{"Edge-Control", "no-store, !no-store", a},
		{"X-Accel-Expires", "60", h + a},
		{"X-Accel-Expires", "@2000000000", h + a},
		{"X-Accel-Expires", "0", everywhere},
		{"Pragma", "public", h},
		{"Pragma", "no-cache", everywhere},
		{"Expires", "Tue, 24 Nov 2036 00:00:00 GMT", h},
		{"Expires", "Thu, 01 Jan 1970 00:00:00 GMT", everywhere},
		{"Expires", "Thu, 01 Jan 1970 00:00:00 GMT, Tue, 24 Nov 2036 00:00:00 GMT", h},
		{"Expires", "+1y", h},
		{"Expires", "0", everywhere},
		{"Content-Type", "text/html; charset=utf-8", d + m},
		{"Content-Type", "application/json", w + h + a + m},
		{"X-Frame-Options", "DENY", everywhere},
		{"Content-Security-Policy", "default-src 'self'", everywhere},
	} {
		for name, kind := range kinds {
			if got, want := AllowedField(kind, HeaderField{c.name, c.value}), strings.Contains(c.allowed, name); got != want {
				t.Errorf("AllowedField(%s, %s: %s) = %v, want %v", kind, c.name, c.value, got, want)
			}
		}
	}
}

func TestContradictingHeadersAreWarnedOfWithTheirLine(t *testing.T) {
	t.Parallel()
	files := []File{
		{Path: "/404.html", Type: "text/html"},
		{Path: "/about.html", Type: "text/html"},
		{Path: "/assets/index-BwdlfHaE.js", Type: "text/javascript", Hashed: true},
		{Path: "/img/logo.png", Type: "image/png"},
		{Path: "/index.html", Type: "text/html"},
		{Path: "/sw.js", Type: "text/javascript"},
	}
	for _, c := range []struct {
		text string
		want []string // line, and a word of the warning
	}{
		{"/assets/*\n  Cache-Control: public, max-age=31536000, immutable\n", nil},
		{"/*\n  X-Frame-Options: DENY\n  Expires: 0\n  Pragma: no-cache\n", nil},
		{"/*\n  Cache-Control: no-cache\n/404.html\n ! Cache-Control\n", nil},
		{"/\n  Cache-Control: max-age=600\n", []string{"2 documents"}},
		{"/about\n  Cache-Control: immutable\n", []string{"2 documents"}},
		{"/index.html\n  X: y\n/sw.js\n  X: y\n  # why\n\n  Cache-Control: max-age=3600\n", []string{"7 worker"}},
		{"/img/*\n  Cache-Control: max-age=86400\n", []string{"2 browsers keep"}},
		{"/img/*\n  Cache-Control: max-age=60, s-maxage=86400\n", []string{"2 browsers keep"}},
		{"/img/*\n  X: y\n  CDN-Cache-Control: max-age=86400\n", []string{"3 shared caches keep"}},
		{"/img/*\n  X-Accel-Expires: 86400\n", []string{"2 shared caches keep"}},
		{"/img/*\n  Cache-Control: max-age=60\n", nil},
		{"/img/*\n  Cache-Control: max-age=60, immutable\n", []string{"2 un-hashed"}},
		{"/assets/*\n  Cache-Control: no-store\n", []string{"2 hashed assets"}},
		{"/404.html\n  Cache-Control: max-age=60\n", []string{"2 not found"}},
		{"/img/*\n  ETag: x\n  Last-Modified: y\n", []string{"2 Etag", "3 Last-Modified"}},
		{"/about\n  ! ETag\n  ! Cache-Control\n  ! X-Frame-Options\n", []string{"2 Etag", "3 Cache-Control"}},
		{"/img/*\n  Content-Type: text/html\n", []string{"2 only documents"}},
		{"/*\n  Cache-Control: max-age=0\n/*\n  Cache-Control: must-revalidate\n", nil},
		{"/img/*\n  Expires: Tue, 24 Nov 2036 00:00:00 GMT\n  Pragma: public\n", []string{"2 Cache-Control alone", "3 Cache-Control alone"}},
		{"/about\n  CDN-Cache-Control: max-age=60\n  Surrogate-Control: max-age=60\n  Cloudflare-CDN-Cache-Control: max-age=60\n" +
			"  Vercel-CDN-Cache-Control: max-age=60\n  Expires: Tue, 24 Nov 2036 00:00:00 GMT\n  Pragma: public\n",
			[]string{"2 Cdn-Cache-Control: max-age=60 is not sent on documents", "3 Surrogate-Control", "4 Cloudflare-Cdn", "5 Vercel-Cdn", "6 Expires", "7 Pragma"}},
		{"/sw.js\n  Surrogate-Control: max-age=60\n", []string{"2 worker"}},
		// of lines that join, the one that contradicts
		{"/img/*\n  X: y\n  Cache-Control: immutable\n  Cache-Control: no-transform\n", []string{"3 un-hashed"}},
		{"/ab*\n  Cache-Control: max-age=9\n/about\n  X: y\n  Cache-Control: max-age=0, must-revalidate\n", []string{"2 documents"}},
		// one host's field is not healed by another's
		{"https://a.test/about\n  Cache-Control: max-age=9\nhttps://b.test/about\n  Cache-Control: no-cache\n", []string{"2 documents"}},
		// what no file matches may get the page for unknown paths
		{"/app/*\n  CDN-Cache-Control: max-age=60\n", []string{"2 documents"}},
	} {
		rules := mustHeaders(t, c.text)
		var got []string
		for _, warning := range CheckHeaderRules(rules, files, []string{"/sw.js"}, true) {
			if warning.Path != HeadersFile || warning.Line == 0 {
				t.Errorf("%q: a warning without its place: %v", c.text, warning)
			}
			got = append(got, string(rune('0'+warning.Line))+" "+warning.Text)
		}
		if len(got) != len(c.want) {
			t.Errorf("%q warns %q, want %q", c.text, got, c.want)
			continue
		}
		for i, want := range c.want {
			line, word, _ := strings.Cut(want, " ")
			if !strings.HasPrefix(got[i], line+" ") || !strings.Contains(got[i], word) {
				t.Errorf("%q warns %q, want %q", c.text, got[i], want)
			}
		}
	}
}

func TestFilesHaveTheKindThatDecidesTheirPolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		f      File
		worker bool
		want   FileKind
	}{
		{File{Path: "/index.html", Type: "text/html"}, false, KindDocument},
		{File{Path: "/a.js", Type: "text/javascript"}, false, KindAsset},
		{File{Path: "/a.js", Type: "text/javascript", Hashed: true}, false, KindHashed},
		{File{Path: "/a.js", Type: "text/javascript"}, true, KindWorker},
		{File{Path: "/_app/version.json", Type: "application/json"}, false, KindWorker},
		{File{Path: "/remoteEntry.js", Type: "text/javascript"}, false, KindWorker},
		{File{Path: "/remoteEntry.js", Type: "text/javascript", Hashed: true}, false, KindHashed},
		{File{Path: "/x.importmap", Type: "application/importmap+json"}, false, KindWorker},
	} {
		if got := KindOf(c.f, c.worker); got != c.want {
			t.Errorf("KindOf(%+v, %v) = %s, want %s", c.f, c.worker, got, c.want)
		}
	}
}

// What the upload warns of and what the edge leaves out is the same.
func TestUploadAndEdgeAgreeOnHeaders(t *testing.T) {
	t.Parallel()
	rules := mustHeaders(t, "/*\n  Cache-Control: max-age=60\n  ETag: x\n/a/*\n  Cache-Control: no-cache\n")
	matcher := CompileHeaders(rules)
	for _, f := range []File{{Path: "/x.html", Type: "text/html"}, {Path: "/a/x.html", Type: "text/html"}, {Path: "/x.png", Type: "image/png"}} {
		refused := 0
		set, _ := matcher.Fields("h", f.Path)
		for _, field := range set {
			if !AllowedField(KindOf(f, false), field) {
				refused++
			}
		}
		if warned := len(CheckHeaderRules(rules, []File{f}, nil, false)); warned != refused {
			t.Errorf("%s: %d warnings, %d fields left out", f.Path, warned, refused)
		}
	}
}
