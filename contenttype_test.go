package aplomb

import "testing"

func TestContentTypesAreThoseOfTheWeb(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/index.html":                 "text/html; charset=utf-8",
		"/INDEX.HTM":                  "text/html; charset=utf-8",
		"/a.xhtml":                    "application/xhtml+xml; charset=utf-8",
		"/a.js":                       "text/javascript; charset=utf-8",
		"/a.mjs":                      "text/javascript; charset=utf-8",
		"/a.css":                      "text/css; charset=utf-8",
		"/a.css.map":                  "application/json",
		"/a.json":                     "application/json",
		"/site.webmanifest":           "application/manifest+json",
		"/a.wasm":                     "application/wasm",
		"/a.svg":                      "image/svg+xml",
		"/favicon.ico":                "image/x-icon",
		"/a.avif":                     "image/avif",
		"/a.woff2":                    "font/woff2",
		"/robots.txt":                 "text/plain; charset=utf-8",
		"/sitemap.xml":                "text/xml; charset=utf-8",
		"/a.mp4":                      "video/mp4",
		"/a.pdf":                      "application/pdf",
		"/a.vtt":                      "text/vtt; charset=utf-8",
		"/LICENSE":                    "text/plain; charset=utf-8",
		"/a.unknown":                  "application/octet-stream",
		"/noextension":                "application/octet-stream",
		"/dir.html/file":              "application/octet-stream",
		"/.html":                      "text/html; charset=utf-8",
		"/a.":                         "application/octet-stream",
		"/apple-app-site-association": "application/json",
	} {
		if got := ContentType(path); got != want {
			t.Errorf("ContentType(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestDocumentsAndCodeAreToldByType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		contentType    string
		document, code bool
	}{
		{"text/html", true, false},
		{"Text/HTML; charset=utf-8", true, false},
		{"application/xhtml+xml", true, false},
		{"text/javascript; charset=utf-8", false, true},
		{"text/css", false, true},
		{"font/woff2", false, true},
		{"application/wasm", false, true},
		{"application/json", false, false},
		{"image/png", false, false},
		{"text/htmlx", false, false},
		{"", false, false},
	} {
		if IsDocument(c.contentType) != c.document || IsCode(c.contentType) != c.code {
			t.Errorf("%q: IsDocument %v, IsCode %v", c.contentType, IsDocument(c.contentType), IsCode(c.contentType))
		}
	}
}
