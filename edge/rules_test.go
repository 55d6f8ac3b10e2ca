package edge

import (
	"testing"

	"aplomb"
)

func TestRedirectRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(2, w.release(2, content{
		"/index.html": "home", "/kept.html": "kept", "/assets/new-abcd1234.js": "new", "/logo.svg": "logo", "/gone.html": "gone page", "/docs/index.html": "docs",
	}, func(m *aplomb.Manifest) {
		m.Redirects = redirects(t, `
/old /new 301
/away https://elsewhere.test/x 302
/kept /new
/kept.html /new
/forced /new 302!
/logo.svg /new 302!
/assets/new-abcd1234.js /new 302!
/latest.js /assets/new-abcd1234.js 200
/retired /gone.html 410
/manual /docs 200
/secret/* /gone.html 404
/app/* /index.html 200
/blog/* /news/:splat
`)
	}), w.release(1, content{"/assets/old-abcd1234.js": "old", "/blog/old.js": "old code"})))
	moved := func(to string) map[string]string {
		return map[string]string{"Location": to, "Cache-Control": "no-cache"}
	}
	page := []string{"Accept", "text/html"}
	runRows(t, h, []row{
		{name: "permanent", target: "/old", status: 301, headers: moved("/new")},
		{name: "other host", target: "/away", status: 302, headers: moved("https://elsewhere.test/x")},
		{name: "file wins", target: "/kept.html", status: 200, body: "kept"},
		{name: "page wins", target: "/kept", status: 200, body: "kept"},
		{name: "forced over a file", target: "/logo.svg", status: 302, headers: moved("/new")},
		{name: "hashed file is never moved", target: "/assets/new-abcd1234.js", status: 200, body: "new"},
		{name: "rewrite is not immutable", target: "/latest.js", status: 200, body: "new", headers: map[string]string{"Cache-Control": mustCheck, "ETag": tagOf("new")}},
		{name: "gone", target: "/retired", in: page, status: 410, body: "gone page"},
		{name: "rewrite to a folder", target: "/manual", in: page, status: 200, body: "docs"},
		{name: "hidden", target: "/secret/x", in: page, status: 404, body: "gone page"},
		{name: "hidden script", target: "/secret/x.js", status: 404, body: "not found\n"},
		{name: "single page navigation", target: "/app/cart", in: page, status: 200, body: "home", headers: map[string]string{"Cache-Control": "no-cache"}},
		{name: "single page script", target: "/app/chunk.js", in: page, status: 404, body: "not found\n"},
		{name: "single page api", target: "/app/data", status: 404, body: "not found\n"},
		{name: "splat", target: "/blog/a/b", status: 302, headers: moved("/news/a/b")},
		{name: "kept code before a rule", target: "/blog/old.js", status: 200, body: "old code"},
		{name: "kept asset", target: "/assets/old-abcd1234.js", status: 200, body: "old"},
	})
}

func redirects(t *testing.T, text string) []aplomb.Redirect {
	t.Helper()
	rules, _, err := aplomb.ParseRedirects([]byte(text), aplomb.DefaultLimits())
	if err != nil {
		t.Fatalf("ParseRedirects: %v", err)
	}
	return rules
}

func headers(t *testing.T, text string) []aplomb.HeaderRule {
	t.Helper()
	rules, _, err := aplomb.ParseHeaders([]byte(text), aplomb.DefaultLimits())
	if err != nil {
		t.Fatalf("ParseHeaders: %v", err)
	}
	return rules
}

func TestHeaderRulesApplyWhereTheInvariantsAllow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.table(route(1, w.release(1, content{
		"/index.html": "home", "/404.html": "nope", "/assets/a-abcd1234.js": "code", "/logo.svg": "logo", "/about.html": "about",
	}, func(m *aplomb.Manifest) {
		m.Fallback = "/index.html"
		m.Headers = headers(t, `
/*
  X-Frame-Options: DENY
  Cache-Control: public, max-age=600
/about
  X-Page: about
/
  Link: </a.css>; rel=preload
https://shop.test/logo.svg
  X-Host: shop
`)
	})))
	page := []string{"Accept", "text/html"}
	runRows(t, h, []row{
		{name: "document keeps its policy", target: "/", status: 200, body: "home", headers: map[string]string{"X-Frame-Options": "DENY", "Cache-Control": "no-cache", "Link": "</a.css>; rel=preload"}},
		{name: "by the URL asked for", target: "/index.html", status: 200, body: "home", headers: map[string]string{"Link": ""}},
		{name: "clean URL", target: "/about", status: 200, body: "about", headers: map[string]string{"X-Page": "about"}},
		{name: "hashed asset may be kept for less long", target: "/assets/a-abcd1234.js", status: 200, body: "code", headers: map[string]string{"X-Frame-Options": "DENY", "Cache-Control": "public, max-age=600"}},
		{name: "un-hashed asset may be kept", target: "/logo.svg", status: 200, body: "logo", headers: map[string]string{"Cache-Control": "public, max-age=600"}},
		{name: "missing keeps its policy", target: "/x.html", in: page, status: 404, body: "nope", headers: map[string]string{"X-Frame-Options": "DENY", "Cache-Control": "no-store"}},
		{name: "fallback", target: "/deep/link", in: page, status: 200, body: "home", headers: map[string]string{"X-Frame-Options": "DENY", "Cache-Control": "no-cache"}},
		{name: "bound to a host", target: "/logo.svg", status: 200, body: "logo", headers: map[string]string{"X-Host": "shop"}},
	})
	r := request("GET", "/logo.svg")
	r.Host = "127.0.0.1"
	if got := do(h, r).Header.Get("X-Host"); got != "" {
		t.Errorf("rule of another host applies: X-Host %q", got)
	}
}

// TestNoFieldOfAnyNameKeepsWhatMustBeRevalidated: what a rule says to one maker's cache is held against the same promises
// as Cache-Control.
func TestNoFieldOfAnyNameKeepsWhatMustBeRevalidated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := []string{"CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Vercel-CDN-Cache-Control", "Netlify-CDN-Cache-Control",
		"Surrogate-Control", "Edge-Control"}
	text := "/*\n  X-Accel-Expires: 600\n  Expires: Tue, 24 Nov 2036 00:00:00 GMT\n  Pragma: public\n"
	for _, name := range names {
		text += "  " + name + ": max-age=600, immutable\n"
	}
	h := w.table(route(1, w.release(1, content{
		"/index.html": "home", "/404.html": "nope", "/sw.js": "worker", "/assets/a-abcd1234.js": "code", "/logo.svg": "logo",
	}, func(m *aplomb.Manifest) {
		m.Workers = []string{"/sw.js"}
		m.Headers = headers(t, text)
	})))
	dropped := func(cdn string) map[string]string {
		out := map[string]string{"Expires": "", "Pragma": ""}
		for _, name := range names {
			out[name] = ""
		}
		out["CDN-Cache-Control"] = cdn
		return out
	}
	revalidated := func(cdn string) map[string]string {
		out := dropped(cdn)
		out["X-Accel-Expires"] = ""
		return out
	}
	runRows(t, h, []row{
		{name: "document", target: "/", status: 200, body: "home", headers: revalidated("no-cache")},
		{name: "worker", target: "/sw.js", status: 200, body: "worker", headers: revalidated("no-store")},
		{name: "missing", target: "/x", in: []string{"Accept", "text/html"}, status: 404, body: "nope", headers: revalidated("no-store")},
		{name: "un-hashed", target: "/logo.svg", status: 200, body: "logo", headers: dropped(mustCheck)},
		{name: "hashed", target: "/assets/a-abcd1234.js", status: 200, body: "code", headers: map[string]string{"CDN-Cache-Control": "max-age=600, immutable"}},
	})
}
