package edge

import (
	"strings"
	"testing"

	"aplomb"
)

// TestAHashedURLOnceSentAnswersTheSameBytesWhateverTheLiveReleaseHasThere: a page under a clean URL, a forced redirect,
// and the same file taken for an ordinary one.
func TestAHashedURLOnceSentAnswersTheSameBytesWhateverTheLiveReleaseHasThere(t *testing.T) {
	t.Parallel()
	const path, script = "/assets/index-DxK3jf9a.js", "export const one = 1"
	ordinary := func(m *aplomb.Manifest) {
		for i := range m.Files {
			m.Files[i].Hashed = false
		}
	}
	force := func(m *aplomb.Manifest) {
		ordinary(m)
		m.Redirects = []aplomb.Redirect{{Line: 1, From: "/assets/*", To: "/index.html", Status: 302, Force: true}}
	}
	for name, r2 := range map[string]struct {
		files  content
		change func(*aplomb.Manifest)
	}{
		"a page under a clean URL":      {content{"/index.html": "two", path + ".html": "<p>a page"}, ordinary},
		"a forced redirect":             {content{"/index.html": "two", path: script}, force},
		"taken for an ordinary file":    {content{"/index.html": "two", path: script}, ordinary},
		"a forced redirect and no file": {content{"/index.html": "two"}, force},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			one := w.release(1, content{"/index.html": "one", path: script})
			table := w.table(route(2, w.release(2, r2.files, r2.change), one))
			got := get(table, path)
			if body := bodyOf(t, got); got.StatusCode != 200 || body != script || !strings.Contains(got.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("GET %s = %d %q, %v; want the script, immutable", path, got.StatusCode, body, got.Header)
			}
		})
	}
}

// TestARewriteDoesNotShadowAPageUnderItsOtherName: /docs exists as /docs/index.html.
func TestARewriteDoesNotShadowAPageUnderItsOtherName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	table := w.table(route(1, w.release(1, content{"/index.html": "root", "/docs/index.html": "docs"}, func(m *aplomb.Manifest) {
		m.Redirects = []aplomb.Redirect{{Line: 1, From: "/*", To: "/index.html", Status: 200}}
	})))
	if got := get(table, "/docs", "Accept", "text/html"); got.StatusCode != 307 || got.Header.Get("Location") != "/docs/" {
		t.Errorf("GET /docs = %d, %v; want a redirect to /docs/", got.StatusCode, got.Header)
	}
}
