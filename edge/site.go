package edge

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"aplomb"
)

// site is how one site is answered: immutable, made for one route.
type site struct {
	route aplomb.Route
	live  *fileTable // nil until a release is live, and when its manifest cannot be read
	union *union
	apps  []*appRoute // the ways to the app behind, the longest prefix first
	rules *siteRules
	// unreadable says why live is nil although the route has a live release.
	unreadable error
}

// answerKind says what an answer is made from.
type answerKind uint8

const (
	answerFile     answerKind = iota // entry
	answerMoved                      // to
	answerKill                       // the worker that ends a worker
	answerNotFound                   // entry, where there is a page that says so
	answerGone                       // the same with 410
	answerBadPath                    // the path is one that no file can have
	answerNoLive                     // nothing is live, or it cannot be read
	answerApp                        // what no file answers goes to the app
)

// answer is what a request gets.
type answer struct {
	kind   answerKind
	entry  *entry
	status int    // of answerMoved
	to     string // of answerMoved: what its Location field takes
	// headers replace the entry's where they depend on the URL asked for.
	headers headerSet
}

// find decides what the path of a request is answered with. Files come before everything: the live release's own, then
// the worker that ends a worker the live release no longer has, then what other kept releases share. Rules and
// fallbacks are for what is left.
func (s *site) find(r *http.Request, host aplomb.Host) answer {
	path := r.URL.Path
	if s.live != nil {
		// What was once sent as immutable stays what it was, whatever the live release has under that name: a page, a rule,
		// or the same file taken for an ordinary one.
		if e := s.live.files[path]; e != nil && (e.hashed || !s.union.hashed(path)) {
			if s.live.redirects != nil && !e.hashed {
				if a, ok := s.redirect(r, host, true); ok {
					return a
				}
			}
			return answer{kind: answerFile, entry: e}
		}
	}
	if !speakable(path) {
		return answer{kind: answerBadPath}
	}
	if strings.Contains(path, "//") || strings.HasPrefix(path, aplomb.ReservedPrefix) {
		return answer{kind: answerNotFound}
	}
	if a, ok := s.findShared(r, host); ok {
		return a
	}
	if s.live == nil {
		return answer{kind: answerNoLive}
	}
	return s.findRest(r, host)
}

// findShared looks beyond the live release's files.
func (s *site) findShared(r *http.Request, host aplomb.Host) (answer, bool) {
	path := r.URL.Path
	e := s.union.files[path]
	// A hashed URL answers the same bytes to everybody; only the browser's own fetch of a worker script ends it.
	hashed := e != nil && e.hashed
	if s.union.workers[path] && (!hashed || r.Header.Get("Service-Worker") == "script") {
		return answer{kind: answerKill}, true
	}
	if e == nil {
		return answer{}, false
	}
	if !hashed && s.live != nil && s.live.redirects != nil {
		if a, ok := s.redirect(r, host, true); ok {
			return a, true
		}
	}
	return answer{kind: answerFile, entry: e}, true
}

// findRest answers what no release has a file for.
func (s *site) findRest(r *http.Request, host aplomb.Host) answer {
	path := r.URL.Path
	to, moved := s.live.moved[path]
	if s.live.redirects != nil {
		if a, ok := s.redirect(r, host, moved); ok { // a page that exists under its other name wins like a file
			return a
		}
	}
	if moved {
		return answer{kind: answerMoved, status: http.StatusTemporaryRedirect, to: location(to, r.URL.RawQuery)}
	}
	if s.lastApp() != nil {
		return answer{kind: answerApp}
	}
	if s.live.fallback != nil && isNavigation(r) {
		return s.under(s.live.fallback, host, path)
	}
	return s.notFound(r)
}

// redirect applies the release's redirect for a path, if there is one: where a file exists, only a forced one.
func (s *site) redirect(r *http.Request, host aplomb.Host, fileExists bool) (answer, bool) {
	found, ok := s.live.redirects.Match(host, r.URL.Path, r.URL.RawQuery)
	if !ok || fileExists && !found.Force {
		return answer{}, false
	}
	switch {
	case found.Status >= 300 && found.Status < 400:
		return answer{kind: answerMoved, status: found.Status, to: found.To}, true
	case found.Status == http.StatusNotFound, found.Status == http.StatusGone:
		a := answer{kind: answerNotFound}
		if found.Status == http.StatusGone {
			a.kind = answerGone
		}
		if e := s.live.page(found.To); e != nil && e.kind == aplomb.KindDocument && mayGetPage(r) {
			a.entry = e
			a.headers = s.live.rules.apply(policies[aplomb.KindMissing], aplomb.KindMissing, host, r.URL.Path)
		}
		return a, true
	}
	e := s.live.page(found.To)
	if e == nil || e.kind == aplomb.KindDocument && !isNavigation(r) {
		return answer{}, false
	}
	return s.under(e, host, r.URL.Path), true
}

// under answers a file at another path than its own: with the headers of that path, and never as immutable, since the
// name does not change with the content.
func (s *site) under(e *entry, host aplomb.Host, path string) answer {
	kind := e.kind
	if kind == aplomb.KindHashed {
		kind = aplomb.KindAsset
	}
	return answer{kind: answerFile, entry: e, headers: s.live.rules.apply(policies[kind], kind, host, path)}
}

func (s *site) notFound(r *http.Request) answer {
	a := answer{kind: answerNotFound}
	if mayGetPage(r) {
		a.entry = s.live.missingPage(r.URL.Path)
	}
	return a
}

// isNavigation reports whether a browser asks for a page: only then may a path that is no file get a document. What
// pages load by themselves, and every path with an ending, never is.
func isNavigation(r *http.Request) bool {
	if hasEnding(r.URL.Path) {
		return false
	}
	return r.Header.Get("Sec-Fetch-Dest") == "document" || !loadsPart(r) && acceptsHTML(r)
}

// mayGetPage reports whether "not found" may be said by a page: to whoever asked for what could be one.
func mayGetPage(r *http.Request) bool {
	path := r.URL.Path
	if hasEnding(path) && !strings.HasSuffix(path, ".html") && !strings.HasSuffix(path, ".htm") {
		return false
	}
	return !loadsPart(r)
}

// loadsPart reports whether the browser says that it loads a part of a page: a script, a style, an image.
func loadsPart(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "", "document", "iframe", "frame", "fencedframe", "empty":
		return false
	}
	return true
}

func acceptsHTML(r *http.Request) bool {
	for _, v := range r.Header["Accept"] {
		if strings.Contains(v, "text/html") || strings.Contains(v, "application/xhtml+xml") {
			return true
		}
	}
	return false
}

func hasEnding(path string) bool {
	return strings.IndexByte(path[strings.LastIndexByte(path, '/')+1:], '.') >= 0
}

// speakable reports whether a decoded path has only characters and segments that a file's path can have.
func speakable(path string) bool {
	if path == "" || path[0] != '/' || !utf8.ValidString(path) {
		return false
	}
	for i := 0; i < len(path); i++ {
		if c := path[i]; c < ' ' || c == 0x7f || c == '\\' {
			return false
		}
	}
	for rest := path; ; {
		i := strings.Index(rest, "/.")
		if i < 0 {
			return true
		}
		rest = rest[i+2:]
		if s := strings.TrimPrefix(rest, "."); s == "" || s[0] == '/' {
			return false
		}
	}
}
