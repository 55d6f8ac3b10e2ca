package aplomb

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files")

// Each line of testdata/hashed.txt is a framework, yes or no, and a path.
func TestHashedNamesAreToldFromOthers(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "hashed.txt"))
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) != 3 || fields[1] != "yes" && fields[1] != "no" {
			t.Fatalf("case %q: want a framework, yes or no, and a path", line)
		}
		cases++
		framework := strings.TrimPrefix(fields[0], "none")
		if got, want := IsHashed(fields[2], framework, nil), fields[1] == "yes"; got != want {
			t.Errorf("IsHashed(%q, %q) = %v, want %v", fields[2], framework, got, want)
		}
	}
	if cases < 150 {
		t.Errorf("the table has %d cases, want 150", cases)
	}
}

func TestFewRealHashesAreLost(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name, alphabet string
		length         int
		is             func(string) bool
		most           float64
	}{
		{"Vite", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 8, looksBase64, 0.02},
		{"webpack, 8", "0123456789abcdef", 8, looksHex, 0.03},
		{"webpack, 20", "0123456789abcdef", 20, looksHex, 0.001},
	} {
		const n = 20_000
		lost := 0
		for range n {
			b := make([]byte, c.length)
			for i := range b {
				b[i] = c.alphabet[rng.IntN(len(c.alphabet))]
			}
			if !c.is(string(b)) {
				lost++
			}
		}
		if share := float64(lost) / n; share > c.most {
			t.Errorf("%s: %.2f %% of random hashes are taken for words, want at most %.2f %%", c.name, 100*share, 100*c.most)
		}
	}
}

func TestDocumentsMapsAndLicencesAreNeverHashed(t *testing.T) {
	t.Parallel()
	for _, framework := range append(Frameworks(), "") {
		for _, path := range []string{
			"/assets/index-BwdlfHaE.html", "/static/js/main.3f2a1b4c.js.map", "/static/js/main.3f2a1b4c.js.LICENSE.txt",
			"/_app/immutable/entry/start.CXKyX2mR.js.map", "/_astro/page.CXKyX2mR.html", "/assets/index-BwdlfHaE.js.gz",
		} {
			if IsHashed(path, framework, nil) {
				t.Errorf("IsHashed(%q, %q) = true", path, framework)
			}
		}
	}
	if IsHashed("/static/page.html", "", []string{"/static/**"}) {
		t.Error("a glob made a document hashed")
	}
}

func TestLayoutIsToldByTheFolderAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ want, paths string }{
		{"vite", "/index.html /assets/index-BwdlfHaE.js /assets/index-D4pPU6pR.css /favicon.ico"},
		{"vite", "/index.html /assets/index.3f2a1b4c.js /assets/vendor.9c8b7a6d.js"},
		{"vite", "/index.html /assets/js/index-BwdlfHaE.js"},
		{"vitepress", "/index.html /hashmap.json /assets/app.CXKyX2mR.js /assets/style.Di8DUHzh.css"},
		{"next", "/index.html /404.html /_next/static/chunks/main-0f1e2d3c4b5a6978.js"},
		{"angular", "/index.html /main-QZ7XJ2KA.js /polyfills-B6TNHZQD.js /styles-5INURTSO.css"},
		{"angular", "/index.html /main.3f2a1b4c5d6e7f8a.js /runtime.1a2b3c4d5e6f7a8b.js"},
		{"webpack", "/index.html /asset-manifest.json /static/js/main.3f2a1b4c.js"},
		{"webpack", "/index.html /static/runtime.ed5161fbef340a2973e6.js /static/238.ed5161fbef340a2973e6.js"},
		{"webpack", "/index.html /app.3f2a1b4c.js /vendor.9c8b7a6d.js"},
		{"vue-cli", "/index.html /js/app.3f2a1b4c.js /js/chunk-vendors.9c8b7a6d.js /css/app.1a2b3c4d.css"},
		{"astro", "/index.html /_astro/hoisted.CXKyX2mR.js"},
		{"sveltekit", "/index.html /_app/immutable/entry/start.CXKyX2mR.js /_app/version.json"},
		{"nuxt", "/index.html /200.html /_nuxt/BHq3k9Xz.js /_nuxt/builds/latest.json"},
		{"gatsby", "/index.html /app-8ab34bd1b1dd0e5b4ffa.js /page-data/app-data.json"},
		{"docusaurus", "/index.html /assets/js/main.3f2a1b4c.js /assets/js/1a2b3c4d.9c8b7a6d.js /assets/css/styles.0a1b2c3d.css"},
		{"qwik", "/index.html /build/q-CXKyX2mR.js /build/q-BwdlfHaE.js"},
		{"", "/index.html"},
		{"", "/index.html /style.css /app.js /js/jquery-3.6.0.min.js"},
		{"", "/index.html /assets/component-overview.js /assets/bootstrap.js /assets/report-20240115.css"},
		{"", "/index.html /assets/js/app.js /assets/css/v2-small.css"},
		{"", "/index.html /_astro/hoisted.CXKyX2mR.js /_next/static/chunks/main-0f1e2d3c4b5a6978.js"},
		{"", "/index.html /one-3f2a1b4c.js"},
	} {
		var files []File
		for path := range strings.FieldsSeq(c.paths) {
			files = append(files, File{Path: path})
		}
		if got := DetectLayout(files); got != c.want {
			t.Errorf("DetectLayout(%s) = %q, want %q", c.paths, got, c.want)
		}
	}
}

func TestGlobsMatchWithinAndAcrossSegments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		glob, path string
		want       bool
	}{
		{"/static/**", "/static/a.js", true},
		{"/static/**", "/static/a/b/c.js", true},
		{"/static/**", "/static", true},
		{"/static/**", "/statics/a.js", false},
		{"/static/*", "/static/a.js", true},
		{"/static/*", "/static/a/b.js", false},
		{"/*.css", "/a.css", true},
		{"/*.css", "/a/b.css", false},
		{"/**/*.css", "/b.css", true},
		{"/**/*.css", "/x/y/b.css", true},
		{"/**/*.css", "/x/y/b.js", false},
		{"/a/**/z/*.js", "/a/z/1.js", true},
		{"/a/**/z/*.js", "/a/b/z/c/z/1.js", true},
		{"/a/**/z/*.js", "/a/b/z/c/1.js", false},
		{"/a*b*c", "/aXbYbZc", true},
		{"/a*b*c", "/aXbYbZ", false},
		{"/**", "/anything/at/all", true},
		{"/a.js", "/a.js", true},
		{"/a.js", "/axjs", false},
	} {
		if err := CheckGlob(c.glob); err != nil {
			t.Errorf("CheckGlob(%q) = %v", c.glob, err)
		}
		if got := MatchGlob(c.glob, c.path); got != c.want {
			t.Errorf("MatchGlob(%q, %q) = %v, want %v", c.glob, c.path, got, c.want)
		}
	}
}

func TestBadGlobsAreRefused(t *testing.T) {
	t.Parallel()
	for _, glob := range []string{"", "static/**", "/a**/b", "/a//b", "/a?.js", "/{a,b}.js", "/[ab].js", `/a\b`, "/" + strings.Repeat("a", 512)} {
		if CheckGlob(glob) == nil {
			t.Errorf("CheckGlob(%q) = nil", glob)
		}
	}
}

func FuzzMatchGlob(f *testing.F) {
	f.Add("/**/*.css", "/x/y/b.css")
	f.Add("/a*b/**", "/ab")
	f.Fuzz(func(t *testing.T, glob, path string) {
		if MatchGlob(glob, path) && CheckGlob(glob) == nil && !strings.Contains(glob, "*") && glob != path {
			t.Errorf("MatchGlob(%q, %q) = true without a wildcard", glob, path)
		}
		IsHashed(path, "vite", []string{glob})
	})
}
