package aplomb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// FileKind is what decides the cache policy of an answer, and with it which header rules may apply to it.
type FileKind uint8

// The kinds of answers.
const (
	KindAsset    FileKind = iota // a file under a name that stays
	KindHashed                   // a file whose name changes with its content
	KindDocument                 // what a browser navigates to
	KindWorker                   // a service-worker script, or another file by which pages find out of an old release
	KindMissing                  // any answer that is not 200: 404, 410, also where a document is its body
)

// String returns the kind in words: "documents".
func (k FileKind) String() string {
	switch k {
	case KindHashed:
		return "hashed assets"
	case KindDocument:
		return "documents"
	case KindWorker:
		return "service-worker scripts and version files"
	case KindMissing:
		return "answers that are not found"
	}
	return "un-hashed assets"
}

// KindOf returns the kind of a file answered with 200. worker says that it is one of Manifest.Workers.
func KindOf(f File, worker bool) FileKind {
	switch {
	case worker || !f.Hashed && isWayOut(f):
		return KindWorker
	case IsDocument(f.Type):
		return KindDocument
	case f.Hashed:
		return KindHashed
	}
	return KindAsset
}

// isWayOut knows the files that tell an open page of a newer release, or where the modules of one are.
func isWayOut(f File) bool {
	switch f.Path[strings.LastIndexByte(f.Path, '/')+1:] {
	case "version.json", "remoteEntry.js", "importmap.json", "import-map.json":
		return true
	}
	return mediaType(f.Type) == "application/importmap+json"
}

// AllowedField reports whether a rule may set f on an answer of that kind. It is the one home of what a _headers file
// cannot change: the edge leaves out what is not allowed and sends its own field, and the upload warns of it.
//
//   - Validators are the edge's: ETag, Last-Modified.
//   - Documents and worker scripts are revalidated, by browsers and by shared caches.
//   - immutable stands on hashed assets only, and those are kept.
//   - What is not found is not stored.
//   - Only documents are HTML, and documents are nothing else.
func AllowedField(kind FileKind, f HeaderField) bool {
	switch f.Name {
	case "Etag", "ETag", "Last-Modified":
		return false
	case "Content-Type":
		return kind == KindMissing || IsDocument(f.Value) == (kind == KindDocument)
	case "Cache-Control":
		return allowedCaching(kind, f.Value, false)
	case "Cdn-Cache-Control", "Cloudflare-Cdn-Cache-Control", "Netlify-Cdn-Cache-Control", "Vercel-Cdn-Cache-Control",
		"Surrogate-Control":
		return allowedCaching(kind, f.Value, true)
	case "Expires", "X-Accel-Expires":
		return kind == KindAsset || kind == KindHashed || f.Value == "0" || f.Value == "-1" || f.Value == "off"
	}
	return true
}

// AllowedRemoval reports whether a rule may take the field that the edge itself sets off an answer of that kind.
func AllowedRemoval(kind FileKind, name string) bool {
	switch name {
	case "Etag", "ETag", "Cache-Control", "Cdn-Cache-Control", "Surrogate-Control", "Content-Type", "Vary":
		return false
	}
	return true
}

func allowedCaching(kind FileKind, value string, shared bool) bool {
	d := parseDirectives(value)
	switch kind {
	case KindHashed:
		return !d.noStore
	case KindAsset:
		return !d.immutable
	case KindMissing:
		return d.noStore && !d.immutable
	}
	if d.immutable {
		return false
	}
	return d.noStore || d.noCache || d.maxAge == 0 && d.sharedAge <= 0 && d.stale <= 0 && (d.mustRevalidate || shared)
}

// directives are the parts of a Cache-Control value that matter here. Ages are -1 where there is none.
type directives struct {
	noStore, noCache, immutable, mustRevalidate bool
	maxAge, sharedAge, stale                    int64
}

func parseDirectives(value string) directives {
	d := directives{maxAge: -1, sharedAge: -1, stale: -1}
	for part := range strings.SplitSeq(value, ",") {
		name, arg, hasArg := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "no-store":
			d.noStore = true
		case "no-cache":
			d.noCache = d.noCache || !hasArg // with an argument it names fields, and does not ask to revalidate
		case "immutable":
			d.immutable = true
		case "must-revalidate":
			d.mustRevalidate = true
		case "max-age":
			d.maxAge = max(d.maxAge, seconds(arg))
		case "s-maxage":
			d.sharedAge = max(d.sharedAge, seconds(arg))
		case "stale-while-revalidate", "stale-if-error":
			d.stale = max(d.stale, seconds(arg))
		}
	}
	return d
}

// seconds reads an age. What is no number is taken for a long time, so that nothing passes by being misspelt.
func seconds(arg string) int64 {
	n, err := strconv.ParseInt(strings.Trim(strings.TrimSpace(arg), `"`), 10, 64)
	if err != nil || n < 0 {
		return 1 << 31
	}
	return n
}

// longForUnhashed is the age, in seconds, from which a rollback is felt to be late under a name that stays.
const longForUnhashed = 300

// CheckHeaderRules warns where rules contradict what AllowedField and AllowedRemoval hold: there the edge leaves the
// rule out. It also warns of files under a name that stays and that browsers keep for long, since a rollback does not
// reach those. files are sealed; workers are Manifest.Workers. Each line and kind is warned of once.
func CheckHeaderRules(rules []HeaderRule, files []File, workers []string) []Warning {
	check := headerCheck{matcher: CompileHeaders(rules), said: map[string]bool{}}
	if !check.keepTelling() {
		return nil
	}
	for _, f := range files {
		kind := KindOf(f, slices.Contains(workers, f.Path))
		if f.Path == "/404.html" {
			kind = KindMissing
		}
		check.file(kind, f.Path)
		if url, ok := cleanURL(f.Path); ok {
			check.file(kind, url)
		}
	}
	slices.SortStableFunc(check.warnings, func(a, b Warning) int { return a.Line - b.Line })
	return check.warnings
}

// cleanURL returns the URL under which a document is reached besides its path.
func cleanURL(path string) (string, bool) {
	if rest, ok := strings.CutSuffix(path, "/index.html"); ok {
		return rest + "/", true
	}
	return strings.CutSuffix(path, ".html")
}

type headerCheck struct {
	matcher  *HeaderMatcher
	said     map[string]bool
	warnings []Warning
}

// keepTelling drops the rules that no kind of answer forbids anything of, and reports whether any is left.
func (c *headerCheck) keepTelling() bool {
	telling := func(name string) bool {
		for kind := KindAsset; kind <= KindMissing; kind++ {
			if !AllowedRemoval(kind, name) || !AllowedField(kind, HeaderField{name, "text/html"}) || !AllowedField(kind, HeaderField{name, "immutable"}) {
				return true
			}
		}
		return false
	}
	var left []HeaderRule
	for _, r := range c.matcher.rules {
		rule := HeaderRule{Line: r.Line, Pattern: r.Pattern}
		for _, f := range r.Set {
			if telling(f.Name) {
				rule.Set = append(rule.Set, f)
			}
		}
		for _, name := range r.Remove {
			if telling(name) {
				rule.Remove = append(rule.Remove, name)
			}
		}
		if len(rule.Set)+len(rule.Remove) > 0 {
			left = append(left, rule)
		}
	}
	c.matcher = CompileHeaders(left)
	return len(left) > 0
}

// file looks at one URL. Rules of all hosts are taken to apply.
func (c *headerCheck) file(kind FileKind, url string) {
	var room [16]int32
	matching := c.matcher.matching(room[:0], "", url)
	if len(matching) == 0 || kind == KindMissing && !c.aimed(matching) {
		return
	}
	set, remove := c.matcher.merge(matching, "", url)
	for _, f := range set {
		line := c.lineOf(matching, func(r HeaderRule) bool {
			return slices.ContainsFunc(r.Set, func(s HeaderField) bool { return s.Name == f.Name })
		})
		switch {
		case !AllowedField(kind, f):
			c.warn(line, f.Name, kind, fmt.Sprintf("%s: %s is not sent on %s, such as %s: %s", f.Name, shown(f.Value), kind, shown(url), whyNot(kind, f.Name)))
		case kind == KindAsset && f.Name == "Cache-Control" && parseDirectives(f.Value).keepsLong():
			c.warn(line, f.Name, kind, fmt.Sprintf("browsers keep %s as %q says; a rollback does not reach it there", shown(url), f.Value))
		}
	}
	for _, name := range remove {
		if !AllowedRemoval(kind, name) && !c.setBefore(matching, name) {
			line := c.lineOf(matching, func(r HeaderRule) bool { return slices.Contains(r.Remove, name) })
			c.warn(line, name, kind, fmt.Sprintf("%s is sent all the same on %s, such as %s: %s", name, kind, shown(url), whyNot(kind, name)))
		}
	}
}

// aimed reports whether a rule names one path. A rule for many that also reaches the not-found page means those.
func (c *headerCheck) aimed(matching []int32) bool {
	return slices.ContainsFunc(matching, func(i int32) bool { return c.matcher.rules[i].pattern.static() })
}

func (d directives) keepsLong() bool { return d.maxAge > longForUnhashed && !d.noCache && !d.noStore }

// lineOf returns the line of the last matching rule of which is holds.
func (c *headerCheck) lineOf(matching []int32, is func(HeaderRule) bool) int {
	for _, i := range slices.Backward(matching) {
		if is(c.matcher.rules[i].HeaderRule) {
			return c.matcher.rules[i].Line
		}
	}
	return 0
}

// setBefore reports whether a rule sets the field, so that a removal takes that back and means no more.
func (c *headerCheck) setBefore(matching []int32, name string) bool {
	return c.lineOf(matching, func(r HeaderRule) bool {
		return slices.ContainsFunc(r.Set, func(f HeaderField) bool { return f.Name == name })
	}) > 0
}

func (c *headerCheck) warn(line int, name string, kind FileKind, text string) {
	key := fmt.Sprint(line, name, kind)
	if !c.said[key] {
		c.said[key] = true
		c.warnings = append(c.warnings, Warning{Path: HeadersFile, Line: line, Text: text})
	}
}

// whyNot says which promise stands against a field.
func whyNot(kind FileKind, name string) string {
	switch {
	case strings.EqualFold(name, "ETag"), name == "Last-Modified":
		return "validators are made from the content, so that going back is seen as a change"
	case name == "Content-Type":
		return "only documents are HTML"
	case name == "Vary":
		return "caches keep the encodings apart by it"
	case kind == KindHashed:
		return "their URL always has the same bytes, and open pages need them"
	case kind == KindMissing:
		return "what is missing now may be there after a rollback"
	case kind == KindAsset:
		return "their bytes change under the same URL"
	}
	return "they are revalidated on every visit, so that a rollback reaches everyone"
}
