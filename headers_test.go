package aplomb

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func mustHeaders(t *testing.T, text string) []HeaderRule {
	t.Helper()
	rules, _, err := ParseHeaders([]byte(text), DefaultLimits())
	if err != nil {
		t.Fatalf("ParseHeaders(%q): %v", text, err)
	}
	return rules
}

// fieldsText writes what Fields returns in one line.
func fieldsText(set []HeaderField, remove []string) string {
	var parts []string
	for _, f := range set {
		parts = append(parts, f.Name+": "+f.Value)
	}
	for _, name := range remove {
		parts = append(parts, "! "+name)
	}
	return strings.Join(parts, " | ")
}

func TestHeadersApplyAsTheFileSays(t *testing.T) {
	t.Parallel()
	m := CompileHeaders(mustHeaders(t, `# everything
/*
  X-Frame-Options: DENY
  x-robots-tag: noindex
  # a comment inside

/secure/page
	X-Frame-Options: SAMEORIGIN
	Referrer-Policy: no-referrer
/static/*
  Access-Control-Allow-Origin: *
  X-Robots-Tag: nosnippet
/static/open/*
  ! X-Robots-Tag
  ! X-Frame-Options
  X-Frame-Options: ALLOWALL
/multi
  Link: </a.css>; rel=preload
  Link: </b.css>; rel=preload
/movies/:title
  X-Movie-Name: You are watching ":title"
/files/*.json
  Content-Type: application/json
  X-Splat: :splat
https://alt.shop.example/only
  X-Alt: yes
https://:project.pages.example/*
  X-Project: :project
/types/*
  Content-Type: text/plain
/types/x
  Content-Type: application/xml
`))
	const all = "X-Frame-Options: DENY | X-Robots-Tag: noindex"
	for _, c := range []struct {
		host Host
		path string
		want string
	}{
		{"h", "/", all},
		{"h", "/index.html", all},
		{"h", "/secure/page", "X-Frame-Options: DENY, SAMEORIGIN | X-Robots-Tag: noindex | Referrer-Policy: no-referrer"},
		{"h", "/secure/page/", "X-Frame-Options: DENY, SAMEORIGIN | X-Robots-Tag: noindex | Referrer-Policy: no-referrer"},
		{"h", "/static/a.css", "X-Frame-Options: DENY | X-Robots-Tag: noindex, nosnippet | Access-Control-Allow-Origin: *"},
		{"h", "/static/open/a.css", "Access-Control-Allow-Origin: * | X-Frame-Options: ALLOWALL | ! X-Robots-Tag"},
		{"h", "/multi", all + " | Link: </a.css>; rel=preload, </b.css>; rel=preload"},
		{"h", "/movies/up \r", ""},
		{"h", "/movies/up & down", all + ` | X-Movie-Name: You are watching "up%20&%20down"`},
		{"h", "/movies/a/b", all},
		{"h", "/files/a/b.json", all + " | Content-Type: application/json | X-Splat: a/b"},
		{"h", "/files/a/b.xml", all},
		{"h", "/only", all},
		{"alt.shop.example", "/only", all + " | X-Alt: yes"},
		{"one.pages.example", "/x", all + " | X-Project: one"},
		{"two.one.pages.example", "/x", all},
		{"h", "/types/x", all + " | Content-Type: application/xml"},
		{"h", "/Secure/page", all},
	} {
		if got := fieldsText(m.Fields(c.host, c.path)); got != c.want {
			t.Errorf("Fields(%q, %q) = %s\nwant %s", c.host, c.path, got, c.want)
		}
	}
}

func TestHeadersThatCannotBeUsedAreRefusedByLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, why string }{
		{"/a\nno colon", "neither a pattern"},
		{"X: y\n", "before the first pattern"},
		{"/a\n  X-Empty:", "no value"},
		{"/a\n  : value", "no name"},
		{"/a\n  Bad Name: x", "not the name"},
		{"/a\n  Content-Length: 1", "set by the edge"},
		{"/a\n  content-encoding: gzip", "set by the edge"},
		{"/a\n  Transfer-Encoding: chunked", "one connection"},
		{"/a\n  Connection: close", "one connection"},
		{"/a\n  Keep-Alive: x", "one connection"},
		{"/a\n  Upgrade: h2c", "one connection"},
		{"/a\n  Date: now", "set by the edge"},
		{"/a\n  Set-Cookie: a=b", "same cookie"},
		{"/a\n  Basic-Auth: me:secret", "password"},
		{"/a\n  ! Connection", "one connection"},
		{"/a\n  !", "no name"},
		{"/a\n  X: a\x00b", "U+0000"},
		{"/a\n  X: a\rSet-Cookie: b", "U+000D"},
		{"/a\n  X: \xff", "UTF-8"},
		{"/a/*/*\n  X: y", "once"},
		{"/a/:x/:x\n  X: y", "twice"},
		{"http://a.example/\n  X: y", "write https://"},
		{"ftp://a.example/\n  X: y", "begins with"},
		{"https://a_b c/\n  X: y", "host"},
		{"/a?b\n  X: y", `no "?"`},
	} {
		_, _, err := ParseHeaders([]byte("# first\n"+c.text+"\n"), DefaultLimits())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != CodeRules || !strings.Contains(e.What, " of _headers") || !strings.Contains(e.Why, c.why) {
			t.Errorf("ParseHeaders(%.60q) = %v, want %q", c.text, err, c.why)
		}
	}
}

func TestHeadersStayWithinLimits(t *testing.T) {
	t.Parallel()
	l := DefaultLimits()
	l.HeaderRules, l.HeaderFields, l.RuleLine = 2, 2, 30
	for text, want := range map[string]bool{
		"/a\nX: y\n/b\nX: y\n":              true,
		"/a\nX: y\n/b\nX: y\n/c\nX: y\n":    false,
		"/a\nX: y\nY: z\n":                  true,
		"/a\nX: y\nY: z\n! Z\n":             false,
		"/a\nX: " + strings.Repeat("y", 30): false,
	} {
		if _, _, err := ParseHeaders([]byte(text), l); (err == nil) != want {
			t.Errorf("ParseHeaders(%q) = %v, want allowed %v", text, err, want)
		}
	}
}

func TestPatternWithoutHeadersIsWarnedOf(t *testing.T) {
	t.Parallel()
	rules, warnings, err := ParseHeaders([]byte("/a\n/b\n  X: y\n"), DefaultLimits())
	if err != nil || len(rules) != 1 || len(warnings) != 1 || warnings[0].Line != 1 || warnings[0].Path != HeadersFile {
		t.Errorf("got %v, %v, %v", rules, warnings, err)
	}
}

func TestMatchingNoHeadersAllocatesNothing(t *testing.T) {
	text := "/static\n  X: y\n"
	for i := range 50 {
		text += fmt.Sprintf("/dynamic%d/:a/*\n  X-A: :a\n", i)
	}
	m := CompileHeaders(mustHeaders(t, text))
	one := CompileHeaders(mustHeaders(t, "/*\n  X: y\n"))
	if n := testing.AllocsPerRun(100, func() { m.Fields("shop.example", "/nothing/here.html"); one.Fields("h", "/x") }); n != 0 {
		t.Errorf("Fields allocates %v times, want 0", n)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("/*\n  X-Frame-Options: DENY\n", "/a")
	f.Add("https://:p.example/:a/*\n  X: :p :a :splat\n  ! Y\n", "/a/b\r\n")
	f.Add("/a\n X: y\n X: z\n/*\n ! X\n", "/a/")
	f.Fuzz(func(t *testing.T, text, path string) {
		rules, _, err := ParseHeaders([]byte(text), DefaultLimits())
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Why == "" || e.Do == "" {
				t.Fatalf("error without its parts: %v", err)
			}
			return
		}
		m := CompileHeaders(rules)
		if len(m.rules) != len(rules) {
			t.Fatalf("%d of %d rules compile", len(m.rules), len(rules))
		}
		for _, host := range []Host{"x.example", ""} {
			set, _ := m.Fields(host, path)
			for _, f := range set {
				if strings.ContainsAny(f.Name+f.Value, "\r\n\x00") || headerNameProblem(f.Name) != "" {
					t.Fatalf("Fields(%q) sets %q", path, f)
				}
			}
		}
		CheckHeaderRules(rules, []File{{Path: path}}, nil, true)
	})
}
