package edge

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"aplomb"
	"aplomb/blob"
)

// maxManifest bounds the bytes of a manifest that are read into memory.
const maxManifest = 256 << 20

// release is one kept release as the edge knows it, all of it immutable.
type release struct {
	manifest aplomb.Digest
	// shared are the files that answer when the live release lacks them: hashed ones and code.
	shared  []*entry
	app     []aplomb.AppRoute
	rules   *headerRules
	workers []string
}

// fileTable is a release's answers by URL path. Directory indexes and clean URLs stand in it like files: one look-up
// finds them all.
type fileTable struct {
	files map[string]*entry
	// moved holds the paths whose document stands under another: "/about" when there is /about/index.html.
	moved     map[string]string
	redirects *aplomb.RedirectMatcher // nil when there are none
	rules     *headerRules
	fallback  *entry
	app       []aplomb.AppRoute
	missing   map[string]*entry // 404.html by folder, "/" at the root
	// headers and types hold what many entries have in common, so that they share it.
	headers map[string]headerSet
	types   map[string]string
	// documents are the first of its documents: those that are opened before it gets visitors.
	documents []*entry
}

// warmDocuments bounds the documents opened before a release gets visitors.
const warmDocuments = 64

// loadRelease reads and decodes a manifest and builds its tables. near are the tables of releases of the same site:
// what is the same there is shared.
func loadRelease(blobs blob.Reader, manifest aplomb.Digest, near []*fileTable) (*release, *fileTable, error) {
	f, size, err := blobs.Open(manifest)
	if err != nil {
		return nil, nil, fmt.Errorf("open manifest %s: %w", manifest.Short(), err)
	}
	defer f.Close()
	if size > maxManifest {
		return nil, nil, fmt.Errorf("read manifest %s: %d bytes are too many", manifest.Short(), size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, nil, fmt.Errorf("read manifest %s: %w", manifest.Short(), err)
	}
	m, err := aplomb.DecodeManifest(b)
	if err != nil {
		return nil, nil, fmt.Errorf("manifest %s: %w: %w", manifest.Short(), aplomb.ErrDamaged, err)
	}
	r, t := newRelease(manifest, m, near)
	return r, t, nil
}

func newRelease(manifest aplomb.Digest, m aplomb.Manifest, near []*fileTable) (*release, *fileTable) {
	t := &fileTable{
		files:   make(map[string]*entry, len(m.Files)+len(m.Files)/8),
		moved:   map[string]string{},
		rules:   newHeaderRules(m.Headers, near),
		missing: map[string]*entry{},
		headers: map[string]headerSet{},
		types:   map[string]string{},
		app:     m.Settings.App,
	}
	if len(m.Redirects) > 0 {
		t.redirects = aplomb.CompileRedirects(m.Redirects)
	}
	r := &release{manifest: manifest, rules: t.rules, workers: m.Workers, app: m.Settings.App}
	for _, f := range m.Files {
		e := t.add(f, slices.Contains(m.Workers, f.Path), near)
		if e.kind == aplomb.KindDocument && len(t.documents) < warmDocuments {
			t.documents = append(t.documents, e)
		}
		if e.hashed || aplomb.IsCode(e.values[typeValue]) {
			r.shared = append(r.shared, e)
		}
	}
	clean := m.Settings.CleanURLs == nil || *m.Settings.CleanURLs
	for _, f := range m.Files {
		t.addNames(f.Path, clean)
	}
	t.fallback = t.files[m.Fallback]
	for _, e := range []*entry{t.fallback, t.files["/"]} {
		if e != nil {
			t.documents = append(t.documents, e)
		}
	}
	return r, t
}

// add puts a file under its own path.
func (t *fileTable) add(f aplomb.File, worker bool, near []*fileTable) *entry {
	kind, contentType := aplomb.KindOf(f, worker), t.typeOf(f)
	headers := t.headersOf(kind, f.Path)
	rules := t.rules.boundToHosts()
	for _, n := range near {
		if e := n.files[f.Path]; e != nil && e.path == f.Path && e.sameAnswer(f, contentType, kind, headers, rules) {
			t.files[e.path] = e
			return e
		}
	}
	e := newEntry(f, contentType, kind, headers)
	e.rules = rules
	t.files[e.path] = e
	return e
}

func (t *fileTable) typeOf(f aplomb.File) string {
	contentType := f.Type
	if contentType == "" {
		contentType = aplomb.ContentType(f.Path)
	}
	if known, ok := t.types[contentType]; ok {
		return known
	}
	t.types[contentType] = contentType
	return contentType
}

// headersOf returns the headers of an answer of that kind under path; answers with the same headers share them.
func (t *fileTable) headersOf(kind aplomb.FileKind, path string) headerSet {
	made := t.rules.fixed(kind, path)
	if t.rules == nil || t.rules.byHost {
		return made
	}
	var key strings.Builder
	for _, f := range made {
		key.WriteString(f.key)
		key.WriteByte(0)
		key.WriteString(f.value[0])
		key.WriteByte(0)
	}
	if known, ok := t.headers[key.String()]; ok {
		return known
	}
	t.headers[key.String()] = made
	return made
}

// addNames puts a document under the other paths at which people expect it: the folder's own path for an index, the
// path without its ending for a page. A file of that very name always wins. Every document has one of these paths where
// it answers; the other, with or without the slash, leads there, so that relative links resolve as on disk.
func (t *fileTable) addNames(path string, clean bool) {
	if folder, ok := strings.CutSuffix(path, "index.html"); ok && strings.HasSuffix(folder, "/") {
		t.addName(folder, t.files[path])
		if bare := strings.TrimSuffix(folder, "/"); bare != "" && !t.answers(bare, clean) {
			t.moved[bare] = folder
		}
		return
	}
	if folder, ok := strings.CutSuffix(path, "404.html"); ok && strings.HasSuffix(folder, "/") {
		t.missing[folder] = t.files[path].as(aplomb.KindMissing, t.headersOf(aplomb.KindMissing, path))
	}
	if bare, ok := strings.CutSuffix(path, ".html"); ok && clean && !strings.HasSuffix(bare, "/") {
		t.addName(bare, t.files[path])
		if _, ok := t.files[bare+"/index.html"]; !ok {
			t.moved[bare+"/"] = bare
		}
	}
}

// answers reports whether a path without a slash has a document of its own.
func (t *fileTable) answers(bare string, clean bool) bool {
	_, file := t.files[bare]
	_, page := t.files[bare+".html"]
	return file || page && clean
}

func (t *fileTable) addName(path string, e *entry) {
	if _, taken := t.files[path]; taken {
		return
	}
	if headers := t.headersOf(e.kind, path); !headers.equal(e.headers) {
		e = e.as(e.kind, headers)
	}
	t.files[path] = e
}

// page returns the file that path leads to, nil where there is none.
func (t *fileTable) page(path string) *entry {
	if e := t.files[path]; e != nil {
		return e
	}
	return t.files[t.moved[path]]
}

// missingPage returns the 404.html that stands nearest above path.
func (t *fileTable) missingPage(path string) *entry {
	if len(t.missing) == 0 {
		return nil
	}
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			if e := t.missing[path[:i+1]]; e != nil {
				return e
			}
		}
	}
	return nil
}
