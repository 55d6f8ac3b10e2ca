package edge

import (
	"strconv"
	"strings"
	"sync/atomic"

	"aplomb"
	"aplomb/blob"
)

// entry is one file as it is answered under one URL, with everything that can be known beforehand. Releases that have
// the same file share it.
type entry struct {
	// path is the file's own; its string is the key in every table that has the entry.
	path   string
	digest aplomb.Digest
	size   int64
	// values are Content-Type, ETag and Content-Length; answers take slices of this array, so that none is made for a
	// request.
	values  [3]string
	headers headerSet
	// rules is set where header rules bind to hosts: headers then lack them.
	rules *headerRules
	kind  aplomb.FileKind
	// hashed says that the name changes with the content: whoever asks for it gets these bytes, from whichever release.
	hashed bool
	// vary says that the file is of a type that gets encoded: encodings may exist, now or later.
	vary bool

	coded atomic.Pointer[codedForms]
}

const (
	typeValue = iota
	tagValue
	lengthValue
)

func newEntry(f aplomb.File, contentType string, kind aplomb.FileKind, headers headerSet) *entry {
	return &entry{
		path:    f.Path,
		digest:  f.Digest,
		size:    f.Size,
		values:  [3]string{contentType, `"` + f.Digest.String() + `"`, strconv.FormatInt(f.Size, 10)},
		headers: headers,
		kind:    kind,
		hashed:  isHashed(f, kind),
		vary:    compressible(contentType),
	}
}

// as returns the same file answered in another way: under another URL, or by another policy.
func (e *entry) as(kind aplomb.FileKind, headers headerSet) *entry {
	return &entry{path: e.path, digest: e.digest, size: e.size, values: e.values, headers: headers, rules: e.rules, kind: kind, hashed: e.hashed, vary: e.vary}
}

// isHashed leaves documents out: they always revalidate, whatever their names.
func isHashed(f aplomb.File, kind aplomb.FileKind) bool {
	return f.Hashed && kind != aplomb.KindDocument
}

func (e *entry) tag() string { return e.values[tagValue] }

// sameAnswer reports whether e answers f of that kind with these headers.
func (e *entry) sameAnswer(f aplomb.File, contentType string, kind aplomb.FileKind, headers headerSet, rules *headerRules) bool {
	return e.digest == f.Digest && e.size == f.Size && e.kind == kind && e.rules == rules && e.hashed == isHashed(f, kind) &&
		e.values[typeValue] == contentType && e.headers.equal(headers)
}

// codings returns the file's encoded forms, nil when there are none.
func (e *entry) codings(blobs blob.Reader) *codedForms {
	if !e.vary {
		return nil
	}
	now := blobs.Encodings(e.digest)
	known := e.coded.Load()
	if known != nil && known.of == now {
		return known
	}
	if now == (blob.Encodings{}) {
		return nil
	}
	made := &codedForms{of: now}
	stem := strings.TrimSuffix(e.tag(), `"`)
	for c, enc := range now {
		if enc.Level == 0 {
			continue
		}
		made.forms[c] = codedForm{digest: enc.Digest, size: enc.Size, values: [2]string{stem + codedSuffix[c], strconv.FormatInt(enc.Size, 10)}}
	}
	e.coded.Store(made)
	return made
}

// compressible reports whether files of a type get smaller by a content coding.
func compressible(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.TrimSpace(t)
	if strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") {
		return true
	}
	switch t {
	case "application/json", "application/javascript", "application/xml", "application/wasm", "application/manifest+json",
		"application/vnd.ms-fontobject", "font/ttf", "font/otf", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon":
		return true
	}
	return false
}
