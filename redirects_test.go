package aplomb

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func mustRedirects(t *testing.T, text string) *RedirectMatcher {
	t.Helper()
	rules, _, err := ParseRedirects([]byte(text), DefaultLimits())
	if err != nil {
		t.Fatalf("ParseRedirects(%q): %v", text, err)
	}
	return CompileRedirects(rules)
}

func TestRedirectsLeadWhereTheFileSays(t *testing.T) {
	t.Parallel()
	m := mustRedirects(t, `
# comment
/old            /new
/moved          /there                  301
/temporary      /there                  307   # why not
/forced         /there                  308!
/out            https://example.com/x?y=1#z
/blog/*         /posts/:splat           301
/news/:year/:month/:slug  /n/:slug?from=:year-:month
/img/*.gif      /pictures/:splat.png
/app/*          /app/index.html         200
/gone/*         /gone.html              410
/missing/*      /404.html               404
/articles id=:id tag=:tag  /posts/:tag/:id
/articles id=5  /five
/articles       /posts
/caf%C3%A9      /coffee
/frag           /page#part
/Case           /case-sensitive
/static-late/x  /wins                   302
/static-late/*  /loses                  302
https://alt.shop.example/*   https://shop.example/:splat 301
https://:lang.shop.example/hello  /:lang/hello
https://*.wild.example/a  /any
/space          /a%20b
/umlaut         /ä
/loop/*         /loop/:splat
/slash          /slash/
/show id=:id    /pages/:id.html         200
`)
	for _, c := range []struct {
		host        Host
		path, query string
		want        string
	}{
		{"h", "/old", "", "302 /new"},
		{"h", "/old/", "", "302 /new"},
		{"h", "/old", "a=b&c=%20", "302 /new?a=b&c=%20"},
		{"h", "/moved", "", "301 /there"},
		{"h", "/temporary", "", "307 /there"},
		{"h", "/forced", "", "308! /there"},
		{"h", "/out", "q=1", "302 https://example.com/x?y=1#z"},
		{"h", "/blog/2024/a b", "", "301 /posts/2024/a%20b"},
		{"h", "/blog", "", "301 /posts/"},
		{"h", "/blog/x/", "", "301 /posts/x/"},
		{"h", "/blogs", "", ""},
		{"h", "/news/2024/05/hi", "", "302 /n/hi?from=2024-05"},
		{"h", "/news/2024/05/a&b=c", "x=y", "302 /n/a&b=c?from=2024-05"},
		{"h", "/news/20&24/05/x", "", "302 /n/x?from=20%2624-05"},
		{"h", "/news/2024/05", "", ""},
		{"h", "/img/a/b.gif", "", "302 /pictures/a/b.png"},
		{"h", "/img/b.jpg", "", ""},
		{"h", "/app/x/y", "q=1", "200 /app/index.html"},
		{"h", "/gone/x", "", "410 /gone.html"},
		{"h", "/missing/x", "", "404 /404.html"},
		{"h", "/articles", "", "302 /posts"},
		{"h", "/articles", "id=7&tag=go", "302 /posts/go/7"},
		{"h", "/articles", "tag=go&x=1&id=7", "302 /posts/go/7?x=1"},
		{"h", "/articles", "id=5", "302 /five"},
		{"h", "/articles", "id=6", "302 /posts?id=6"},
		{"h", "/articles", "id=..%2F..%2F&tag=%0d%0a", "302 /posts/%0D%0A/../../"},
		{"h", "/café", "", "302 /coffee"},
		{"h", "/frag", "a=1", "302 /page?a=1#part"},
		{"h", "/case", "", ""},
		{"h", "/Case", "", "302 /case-sensitive"},
		{"h", "/static-late/x", "", "302 /wins"},
		{"h", "/static-late/y", "", "302 /loses"},
		{"alt.shop.example", "/a/b", "", "301 https://shop.example/a/b"},
		{"shop.example", "/a/b", "", ""},
		{"de.shop.example", "/hello", "", "302 /de/hello"},
		{"a.de.shop.example", "/hello", "", ""},
		{"x.y.wild.example", "/a", "", "302 /any"},
		{"wild.example", "/a", "", ""},
		{"h", "/space", "", "302 /a%20b"},
		{"h", "/umlaut", "", "302 /%C3%A4"},
		{"h", "/loop/x", "", ""},
		{"h", "/loop/a b", "q=1", ""},
		{"h", "/slash", "", "302 /slash/"},
		{"h", "/slash/", "", ""},
		{"h", "/show", "id=a%20b", "200 /pages/a b.html"},
		{"h", "/show", "id=a%0d%0ab", ""},
		{"h", "/show", "id=", ""},
		{"h", "/blog/a\r\nb", "", ""},
		{"h", "/old\x00", "", ""},
	} {
		got := ""
		if r, ok := m.Match(c.host, c.path, c.query); ok {
			force := ""
			if r.Force {
				force = "!"
			}
			got = fmt.Sprintf("%d%s %s", r.Status, force, r.To)
		}
		if got != c.want {
			t.Errorf("Match(%q, %q, %q) = %q, want %q", c.host, c.path, c.query, got, c.want)
		}
	}
}

func TestARelativeRedirectNeverLeavesTheSite(t *testing.T) {
	t.Parallel()
	m := mustRedirects(t, "/a/* /:splat\n/b/* /x/:splat\n/* /:splat 301!\n/r/* /:splat 200\n")
	for _, path := range []string{"/a//evil.example", "/a///evil.example/", `/a/\evil.example`, `/a/\/evil.example`, "//evil.example/x", "/a/ /evil", "/b//evil.example"} {
		r, ok := m.Match("h", path, "")
		if !ok {
			continue
		}
		if strings.HasPrefix(r.To, "//") || strings.HasPrefix(r.To, `/\`) || r.To[0] != '/' {
			t.Errorf("Match(%q) leads to %q", path, r.To)
		}
	}
}

func TestRedirectsThatCannotBeUsedAreRefusedByLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, why string }{
		{"/a", "no target"},
		{"/a x=1", "no target"},
		{"a /b", "begins with"},
		{"/a b", "neither a target"},
		{"/a /b 302 Country=us", "Country"},
		{"/a /b 302 Language=de", "Language"},
		{"/a /b Role=admin", "Role"},
		{"/a /b 200! Cookie=x", "Cookie"},
		{"/a Country=us /b", "Country"},
		{"/a /b 299", "status 299"},
		{"/a /b 302 more", "not a status"},
		{"/a /b 302 303", "not a status"},
		{"/a https://other.example/ 200", "comes with apps"},
		{"/a //other.example/ 200", "comes with apps"},
		{"/a /.netlify/functions/x 200", "function"},
		{"/a /b?c=d 200", "no query"},
		{"/a //other.example/b", "another host"},
		{`/a /\other.example/b`, "U+005C"},
		{"/a javascript:alert(1)", "neither a target"},
		{"/a ftp://x.example/", "begins neither"},
		{"/a/:x https://:x.example/", "choose where"},
		{"/a/* https://example.com:splat/", "choose where"},
		{"/a/* https://example.com:splat", "choose where"},
		{"/a https://user@example.com/", "host"},
		{"http://a.example/* https://a.example/:splat 301", "write https://"},
		{"https://a.example /b", "path follows"},
		{"/a/*/b/* /c", "once"},
		{"/a/:x/:x /c", "twice"},
		{"/a/:x x=:x /c", "twice"},
		{"/a/:splat /c", ":splat"},
		{"/a/x:id /c", "whole segment"},
		{"/a/:1 /c", "letters"},
		{"/a?b=c /d", `no "?"`},
		{"/a%2Fb /c", "%2F"},
		{"/a%zz /c", "percent-encoding"},
		{"/a%00 /c", "U+0000"},
		{"/.aplomb/x /c", "belong to Aplomb"},
		{"/a /b\x00", "U+0000"},
		{"/a\r/b", "U+000D"},
		{"/a /\xff", "UTF-8"},
		{"/" + strings.Repeat("a", 5000) + " /b", "bytes"},
		{"/:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/:p /x", "at most"},
	} {
		_, _, err := ParseRedirects([]byte("# first\n"+c.text+"\n"), DefaultLimits())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != CodeRules || !strings.Contains(e.What, "line 2 of _redirects") || !strings.Contains(e.Why, c.why) {
			t.Errorf("ParseRedirects(%.60q) = %v, want line 2 and %q", c.text, err, c.why)
		}
	}
}

func TestRedirectsStayWithinLimits(t *testing.T) {
	t.Parallel()
	l := DefaultLimits()
	l.Redirects, l.Dynamic, l.RulesBytes = 3, 1, 100
	for text, want := range map[string]Code{
		"/a /b\n/c /d\n/e /f\n":           "",
		"/a /b\n/c /d\n/e /f\n/g /h\n":    CodeRules,
		"/a/* /b\n/c/:d /d\n":             CodeRules,
		strings.Repeat("# comment\n", 11): CodeLimit,
	} {
		_, _, err := ParseRedirects([]byte(text), l)
		e, _ := errors.AsType[*Error](err)
		if (want == "") != (err == nil) || e != nil && e.Code != want {
			t.Errorf("ParseRedirects(%.40q) = %v, want %q", text, err, want)
		}
	}
}

func TestDoubtfulRedirectsAreWarnedOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"/a /b\n/a /c\n":   "never reached",
		"/a/:x /b/:y\n":    ":y",
		"/a/* /b/*\n":      ":splat",
		"\ufeff/a /b\r\n":  "",
		"/a x=1 /b\n/a /c": "",
	} {
		_, warnings, err := ParseRedirects([]byte(text), DefaultLimits())
		if err != nil {
			t.Errorf("ParseRedirects(%q): %v", text, err)
		}
		if (want == "") != (len(warnings) == 0) || want != "" && !strings.Contains(warnings[0].Text, want) {
			t.Errorf("ParseRedirects(%q) warns %v, want %q", text, warnings, want)
		}
	}
}

func TestMatchingNoRedirectAllocatesNothing(t *testing.T) {
	text := "/static /there\n/q id=:id /there/:id\n"
	for i := range 200 {
		text += fmt.Sprintf("/dynamic%d/:a/*  /there/:a/:splat\n", i)
	}
	m := mustRedirects(t, text)
	if n := testing.AllocsPerRun(100, func() { m.Match("shop.example", "/nothing/here/at/all.html", "a=b") }); n != 0 {
		t.Errorf("Match allocates %v times, want 0", n)
	}
}

func FuzzRedirects(f *testing.F) {
	f.Add("/old/* /new/:splat 301!", "/old/a/b", "q=1")
	f.Add("/a/:b/c id=:id https://x.example/:b?:id#:b", "/a/b/c", "id=%0d%0a")
	f.Add("/* /:splat", "/x//evil.example", "")
	f.Add("https://*.x.example/* /index.html 200", "/..//a", "")
	f.Fuzz(func(t *testing.T, text, path, query string) {
		rules, warnings, err := ParseRedirects([]byte(text), DefaultLimits())
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Why == "" || e.Do == "" {
				t.Fatalf("error without its parts: %v", err)
			}
			return
		}
		for _, w := range warnings {
			if w.Line < 1 || w.Text == "" {
				t.Fatalf("warning without a line or text: %v", w)
			}
		}
		m := CompileRedirects(rules)
		if len(m.rules) != len(rules) {
			t.Fatalf("%d of %d rules compile", len(m.rules), len(rules))
		}
		for _, host := range []Host{"a.x.example", ""} {
			r, ok := m.Match(host, path, query)
			if !ok {
				continue
			}
			if strings.ContainsAny(r.To, "\r\n\x00") || strings.HasPrefix(r.To, "//") || strings.HasPrefix(r.To, `/\`) {
				t.Fatalf("Match(%q, %q, %q) leads to %q", host, path, query, r.To)
			}
			relative := true
			for _, rule := range rules {
				relative = relative && rule.To[0] == '/'
			}
			if relative && r.To[0] != '/' {
				t.Fatalf("Match(%q) leads away, to %q", path, r.To)
			}
		}
	})
}

func BenchmarkRedirectMissing(b *testing.B) {
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "/from%d/* /to%d/:splat\n/static%d /to%d\n", i, i, i, i)
	}
	rules, _, err := ParseRedirects([]byte(text.String()), DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	m := CompileRedirects(rules)
	for b.Loop() {
		m.Match("shop.example", "/assets/index-BwdlfHaE.js", "")
	}
}
