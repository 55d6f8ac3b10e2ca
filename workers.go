package aplomb

import (
	"bytes"
	"slices"
	"strings"
)

// WorkersByName returns the paths that by their names are service-worker scripts, in order.
func WorkersByName(files []File) []string {
	var found []string
	for _, f := range files {
		if isWorkerName(f.Path) {
			found = append(found, f.Path)
		}
	}
	slices.Sort(found)
	return found
}

// isWorkerName knows the names that tools and their documentation give service workers, in any folder, and sw-….js in
// the root. A bundler's chunk in a folder may be called sw-KE-DOwCrGXH.js for a language.
func isWorkerName(path string) bool {
	folder, base := path[:strings.LastIndexByte(path, '/')+1], strings.ToLower(path[strings.LastIndexByte(path, '/')+1:])
	stem, ok := strings.CutSuffix(base, ".js")
	if !ok {
		if stem, ok = strings.CutSuffix(base, ".mjs"); !ok {
			return false
		}
	}
	switch strings.TrimSuffix(stem, ".min") {
	case "sw", "service-worker", "serviceworker", "service_worker", "ngsw-worker", "safety-worker", "worker-basic",
		"firebase-messaging-sw", "onesignalsdkworker", "onesignalsdkupdaterworker", "pwabuilder-sw", "pushsw", "push-sw",
		"custom-sw", "workbox-sw", "sw-worker":
		return true
	}
	return folder == "/" && (strings.HasPrefix(stem, "sw-") || strings.HasPrefix(stem, "sw.") || strings.HasSuffix(stem, "-sw"))
}

const (
	workerTextBytes = 8 << 20 // of one text, what is looked at
	workersInText   = 16      // of one text, what is returned
)

// WorkersInText returns the paths of the service-worker scripts that a document or script registers with a literal URL,
// in order: serviceWorker.register("/sw.js"), or register(new URL("sw.js", import.meta.url)). docPath is the path of the
// document, against which relative URLs are resolved; its <base href> counts. URLs of other origins are left out.
func WorkersInText(docPath string, text []byte) []string {
	text = text[:min(len(text), workerTextBytes)]
	base := baseOf(docPath, text)
	var found []string
	for len(found) < workersInText {
		i := bytes.Index(text, []byte("serviceWorker"))
		if i < 0 {
			break
		}
		text = text[i+len("serviceWorker"):]
		url, ok := registered(text)
		if !ok {
			continue
		}
		if path, ok := resolve(base, url); ok && !slices.Contains(found, path) {
			found = append(found, path)
		}
	}
	slices.Sort(found)
	return found
}

// registered reads ".register(" and the literal URL after it.
func registered(text []byte) (string, bool) {
	s := scanner(text[:min(len(text), 4096)])
	if !s.take(".") && !s.take("?.") || !s.take("register") || !s.take("(") {
		return "", false
	}
	if s.take("new") && !(s.take("URL") && s.take("(")) {
		return "", false
	}
	return s.literal()
}

// scanner reads a script piece by piece.
type scanner []byte

// take skips space, and token if it comes next.
func (s *scanner) take(token string) bool {
	*s = bytes.TrimLeft(*s, " \t\r\n")
	rest, ok := bytes.CutPrefix(*s, []byte(token))
	if ok {
		*s = rest
	}
	return ok
}

// literal reads a string literal. A template with a value in it, and escapes other than "\/", are none.
func (s *scanner) literal() (string, bool) {
	for _, quote := range []string{`"`, `'`, "`"} {
		if !s.take(quote) {
			continue
		}
		end := bytes.IndexByte(*s, quote[0])
		if end < 0 {
			return "", false
		}
		text := strings.ReplaceAll(string((*s)[:end]), `\/`, "/")
		return text, text != "" && !strings.ContainsAny(text, "\\\r\n") && !(quote == "`" && strings.Contains(text, "${"))
	}
	return "", false
}

// baseOf returns the path against which a document resolves its URLs.
func baseOf(docPath string, text []byte) string {
	i := bytes.Index(text, []byte("<base "))
	if i < 0 {
		return docPath
	}
	tag, _, _ := bytes.Cut(text[i:min(len(text), i+2048)], []byte(">"))
	_, rest, ok := bytes.Cut(tag, []byte("href="))
	s := scanner(rest)
	href, isLiteral := s.literal()
	if !ok || !isLiteral {
		return docPath
	}
	path, ok := resolve(docPath, href)
	if !ok {
		return docPath
	}
	if strings.HasSuffix(href, "/") && path != "/" {
		path += "/"
	}
	return path
}

// resolve returns the decoded path that a URL names on the site, seen from base.
func resolve(base, url string) (string, bool) {
	if i := strings.IndexAny(url, "?#"); i >= 0 {
		url = url[:i]
	}
	if url == "" || strings.HasPrefix(url, "//") || strings.Contains(url, ":") || len(url) > 1024 {
		return "", false
	}
	if url[0] != '/' {
		url = base[:strings.LastIndexByte(base, '/')+1] + url
	}
	var segments []string
	for segment := range strings.SplitSeq(unescapePath(url), "/") {
		switch segment {
		case "", ".":
		case "..":
			segments = segments[:max(len(segments)-1, 0)]
		default:
			segments = append(segments, segment)
		}
	}
	path := "/" + strings.Join(segments, "/")
	return path, path == "/" || pathProblem(path) == ""
}
