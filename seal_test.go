package aplomb

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func mustSeal(t *testing.T, files []File, s Settings, headers, redirects string, workers ...string) (Manifest, []Warning) {
	t.Helper()
	m, warnings, err := SealedManifest(files, s, []byte(headers), []byte(redirects), workers, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return m, warnings
}

func TestSealedManifestDescribesEachFile(t *testing.T) {
	t.Parallel()
	files := filesAt("/sw.js", "/_headers", "/index.html", "/assets/index-BwdlfHaE.js", "/assets/reg-D4pPU6pR.js", "/assets/page-BwdlfHaE.html",
		"/_redirects", "/logo.png", "/ruled", "/sub/_headers", "/kept/a.js")
	m, warnings := mustSeal(t, files, Settings{Hashed: []string{"/kept/**"}}, "/ruled\n  Content-Type: text/html\n", "/a /b\n", "/assets/reg-D4pPU6pR.js", "/gone-worker.js")
	var got []string
	for _, f := range m.Files {
		got = append(got, fmt.Sprint(f.Path, " ", f.Type, " ", f.Hashed))
	}
	want := []string{
		"/assets/index-BwdlfHaE.js text/javascript; charset=utf-8 true",
		"/assets/page-BwdlfHaE.html text/html; charset=utf-8 false",
		"/assets/reg-D4pPU6pR.js text/javascript; charset=utf-8 false",
		"/index.html text/html; charset=utf-8 false",
		"/kept/a.js text/javascript; charset=utf-8 true",
		"/logo.png image/png false",
		"/ruled text/html false",
		"/sub/_headers application/octet-stream false",
		"/sw.js text/javascript; charset=utf-8 false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("files are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if want := []string{"/assets/reg-D4pPU6pR.js", "/sw.js"}; !slices.Equal(m.Workers, want) {
		t.Errorf("Workers = %q, want %q", m.Workers, want)
	}
	if len(m.Headers) != 1 || len(m.Redirects) != 1 || m.Version != ManifestVersion {
		t.Errorf("the rules did not travel: %+v", m)
	}
	if len(warnings) != 1 || warnings[0].Path != "/gone-worker.js" {
		t.Errorf("warnings are %v, want one of /gone-worker.js", warnings)
	}
	if files[0].Path != "/sw.js" || files[0].Type != "" {
		t.Error("the caller's files were changed")
	}
}

func TestConfiguredFrameworkWinsOverTheFolder(t *testing.T) {
	t.Parallel()
	files := filesAt("/index.html", "/assets/index-BwdlfHaE.js")
	for framework, want := range map[string]bool{"": true, "vite": true, "hugo": false} {
		m, _ := mustSeal(t, files, Settings{Framework: framework}, "", "")
		if m.Files[0].Hashed != want {
			t.Errorf("framework %q: hashed %v, want %v", framework, m.Files[0].Hashed, want)
		}
	}
}

func TestFallbackIsDecidedAsSettingsSay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ setting, paths, want string }{
		{"", "/index.html /a.js", "/index.html"},
		{"", "/app.html /a.js", "/app.html"},
		{"", "/index.html /404.html", ""},
		{"", "/index.html /about.html", ""},
		{"", "/404.html", ""},
		{"", "/a.js", ""},
		{"none", "/index.html", ""},
		{"/about.html", "/index.html /about.html", "/about.html"},
		{"/index.html", "/index.html /404.html", "/index.html"},
	} {
		m, _ := mustSeal(t, filesAt(strings.Fields(c.paths)...), Settings{Fallback: c.setting}, "", "")
		if m.Fallback != c.want {
			t.Errorf("Fallback %q of %s = %q, want %q", c.setting, c.paths, m.Fallback, c.want)
		}
	}
}

func TestWhatCannotBeSealedIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		paths              string
		s                  Settings
		headers, redirects string
		code               Code
	}{
		{"", Settings{}, "", "", CodeManifest},
		{"/_headers /_redirects", Settings{}, "", "", CodeManifest},
		{"/a /A", Settings{}, "", "", CodePath},
		{"/a", Settings{Hashed: []string{"a"}}, "", "", CodeConfig},
		{"/a", Settings{Fallback: "/index.html"}, "", "", CodeConfig},
		{"/a.js", Settings{Fallback: "/a.js"}, "", "", CodeConfig},
		{"/a", Settings{}, "X: y", "", CodeRules},
		{"/a", Settings{}, "", "/a", CodeRules},
	} {
		_, _, err := SealedManifest(filesAt(strings.Fields(c.paths)...), c.s, []byte(c.headers), []byte(c.redirects), nil, DefaultLimits())
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != c.code {
			t.Errorf("SealedManifest(%s, %+v) = %v, want %s", c.paths, c.s, err, c.code)
		}
	}
}

func TestSealingWarnsOfWhatWillSurprise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ paths, headers, redirects, path, word string }{
		{"/a.js /a.js.map", "", "", "/a.js.map", "source maps"},
		{"/index.html /old.html", "", "/old /new 301\n", RedirectsFile, "301!"},
		{"/index.html /old/index.html", "", "/old /new\n", RedirectsFile, "302!"},
		{"/index.html", "", "/* /app.html 200\n", RedirectsFile, "not in this release"},
		{"/index.html", "/*\n  Cache-Control: immutable\n", "", HeadersFile, "documents"},
		{"/index.html /old.html", "", "/old /new 301!\n", "", ""},
		{"/index.html /app/index.html", "", "/x/* /app/ 200\n/* /index.html 200\n", "", ""},
	} {
		_, warnings := mustSeal(t, filesAt(strings.Fields(c.paths)...), Settings{}, c.headers, c.redirects)
		if c.word == "" {
			if len(warnings) > 0 {
				t.Errorf("%+v warns %v", c, warnings)
			}
			continue
		}
		if len(warnings) != 1 || warnings[0].Path != c.path || !strings.Contains(warnings[0].Text, c.word) {
			t.Errorf("%+v warns %v", c, warnings)
		}
	}
}

func BenchmarkSealedManifest(b *testing.B) {
	files := largeManifest(10_000).Files
	for b.Loop() {
		if _, _, err := SealedManifest(files, Settings{}, []byte("/*\n  Cache-Control: no-cache\n"), nil, nil, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}
