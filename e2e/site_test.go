package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// frontEnd is a small front end with code-split scripts. Its marker stands in its document and in every script.
type frontEnd struct {
	marker string
	dir    string
	chunks []string // URL paths of its hashed scripts
}

// newFrontEnd writes a front end into a new folder. Its files beyond the document and the scripts are files.
func newFrontEnd(t *testing.T, marker string, chunks int, files map[string]string) frontEnd {
	t.Helper()
	f := frontEnd{marker: marker, dir: filepath.Join(t.TempDir(), "dist")}
	for i := range chunks {
		content := fmt.Sprintf("export const chunk = %d, of = %q; // %s\n", i, marker, strings.Repeat("lorem ipsum ", 20))
		f.chunks = append(f.chunks, f.add(t, fmt.Sprintf("chunk%d", i), content))
	}
	app := f.add(t, "index", fmt.Sprintf("document.querySelector('#app').textContent = 'this is %s';\n", marker))
	f.chunks = append(f.chunks, app)
	document := fmt.Sprintf(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>%[1]s</title>`+
		`<script type="module" src="%[2]s"></script></head><body><h1>Shop</h1><div id="app"></div><!-- marker:%[1]s --></body></html>`, marker, app)
	write(t, filepath.Join(f.dir, "index.html"), []byte(document))
	for name, content := range files {
		write(t, filepath.Join(f.dir, filepath.FromSlash(name)), []byte(content))
	}
	return f
}

// add writes a script under a name that changes with its content, and returns its URL path.
func (f frontEnd) add(t *testing.T, name, content string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(content))
	urlPath := fmt.Sprintf("/assets/%s-%s.js", name, hex.EncodeToString(sum[:])[:10])
	write(t, filepath.Join(f.dir, filepath.FromSlash(urlPath)), []byte(content))
	return urlPath
}

var markerPattern = regexp.MustCompile(`marker:([\w.-]+)`)

// markerOf returns the marker in a document, "" if it has none.
func markerOf(document []byte) string {
	if m := markerPattern.FindSubmatch(document); m != nil {
		return string(m[1])
	}
	return ""
}
