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
//   - Documents and worker scripts are revalidated, by browsers and by shared caches, whichever field tells them.
//   - immutable stands on hashed assets only, and those are kept.
//   - What is not found is not stored.
//   - Only documents are HTML, and documents are nothing else.
//   - Expires and Pragma say nothing but what Cache-Control says.
func AllowedField(kind FileKind, f HeaderField) bool {
	switch f.Name {
	case "Etag", "ETag", "Last-Modified":
		return false
	case "Content-Type":
		return kind == KindMissing || IsDocument(f.Value) == (kind == KindDocument)
	case "Cache-Control":
		return allowedCaching(kind, f.Value)
	case "Expires", "X-Accel-Expires":
		return kind == KindHashed || isPast(f.Value) || kind == KindAsset && f.Name == "X-Accel-Expires"
	case "Pragma":
		return kind == KindHashed || strings.EqualFold(f.Value, "no-cache")
	}
	if isSharedCaching(f.Name) {
		return allowedSharedCaching(kind, f.Value)
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

// isSharedCaching knows the fields that speak to shared caches only and that these obey before Cache-Control:
// CDN-Cache-Control of RFC 9213, those of one maker named after it, and the older ones of surrogates.
func isSharedCaching(name string) bool {
	return strings.HasSuffix(name, "-Cache-Control") || name == "Surrogate-Control" || name == "Edge-Control"
}

// isPast reports whether an Expires value says that the answer is stale already. A date counts as past where no clock
// is needed to know it, and as long as it is.
func isPast(value string) bool {
	if value == "0" || value == "-1" {
		return true
	}
	date := strings.Fields(value) // "Thu, 01 Jan 1970 00:00:00 GMT"
	return len(date) == 6 && len(date[3]) == 4 && isDigits(date[3]) && date[3] < "2020"
}

func allowedCaching(kind FileKind, value string) bool {
	d := parseDirectives(value)
	switch kind {
	case KindHashed:
		return !d.noStore
	case KindAsset:
		return !d.immutable
	case KindMissing:
		return d.noStore && !d.immutable
	}
	if d.immutable || d.sharedAge > 0 || d.stale > 0 {
		return false
	}
	return d.noStore || d.noCache || d.maxAge == 0 && d.mustRevalidate
}

// allowedSharedCaching is allowedCaching for a field that speaks to shared caches only. Some of those know of no-cache
// and no-store nothing, and take the age beside it.
func allowedSharedCaching(kind FileKind, value string) bool {
	d := parseDirectives(value)
	switch kind {
	case KindHashed:
		return !d.noStore
	case KindAsset:
		return !d.immutable
	}
	if d.immutable || d.unknown || d.maxAge > 0 || d.sharedAge > 0 || d.stale > 0 {
		return false
	}
	return d.noStore || kind != KindMissing && (d.noCache || d.maxAge == 0)
}

// directives are the parts of a Cache-Control value that matter here. Ages are -1 where there is none.
type directives struct {
	noStore, noCache, immutable, mustRevalidate bool
	unknown                                     bool // of a directive that only some caches know, such as Edge-Control's
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
		case "public", "private", "must-understand", "no-transform", "proxy-revalidate", "no-store-remote", "content", "":
		default:
			d.unknown = true
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
// rule out. It also warns of files under a name that stays and that caches keep for long, since a rollback does not
// reach those. files are sealed; workers are Manifest.Workers; navigations says that paths without a file may get a
// document. A warning names the line of the header; each line and kind is warned of once.
func CheckHeaderRules(rules []HeaderRule, files []File, workers []string, navigations bool) []Warning {
	check := headerCheck{matcher: CompileHeaders(rules), said: map[string]bool{}, met: map[int32]bool{}}
	if !check.keepTelling() {
		return nil
	}
	for _, f := range files {
		kind := KindOf(f, slices.Contains(workers, f.Path))
		if f.Path == "/404.html" {
			kind = KindMissing
		}
		check.file(kind, f.Path)
		if kind != KindDocument {
			continue
		}
		if url, ok := cleanURL(f.Path); ok {
			check.file(kind, url)
		}
	}
	if navigations {
		check.unmet()
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
	met      map[int32]bool // the rules that some file matches
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
		rule := HeaderRule{Line: r.Line, Pattern: r.Pattern, lines: r.lines}
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

// file looks at one URL, at every host that a rule names.
func (c *headerCheck) file(kind FileKind, url string) {
	var room [16]int32
	matching := c.matcher.matching(room[:0], "", url)
	if len(matching) == 0 || kind == KindMissing && !c.aimed(matching) {
		return
	}
	for _, i := range matching {
		c.met[i] = true
	}
	for _, together := range c.byHost(matching) {
		c.answer(kind, url, together)
	}
}

// byHost returns which of the matching rules apply together: those of any host, with those of each host.
func (c *headerCheck) byHost(matching []int32) [][]int32 {
	host := func(i int32) string {
		rest, bound := strings.CutPrefix(c.matcher.rules[i].Pattern, "https://")
		if !bound {
			return ""
		}
		return rest[:strings.IndexByte(rest, '/')]
	}
	var hosts []string
	for _, i := range matching {
		if h := host(i); h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		return [][]int32{matching}
	}
	var out [][]int32
	for _, h := range hosts {
		together := slices.DeleteFunc(slices.Clone(matching), func(i int32) bool { return host(i) != "" && host(i) != h })
		out = append(out, together)
	}
	return out
}

// unmet looks at the rules that no file matches: what they match is answered with a document, or is not there.
func (c *headerCheck) unmet() {
	for i := range c.matcher.rules {
		if rule := int32(i); !c.met[rule] {
			c.answer(KindDocument, c.matcher.rules[i].Pattern, []int32{rule})
		}
	}
}

// answer looks at what the matching rules say of an answer of that kind.
func (c *headerCheck) answer(kind FileKind, url string, matching []int32) {
	set, remove := c.matcher.merge(matching, "", url)
	for _, f := range set {
		line := func(bad func(HeaderField) bool) int { return c.lineOf(matching, f.Name, bad) }
		refused := func(f HeaderField) bool { return !AllowedField(kind, f) }
		switch {
		case refused(f):
			c.warn(line(refused), f.Name, kind, fmt.Sprintf("%s: %s is not sent on %s, such as %s: %s", f.Name, shown(f.Value), kind, shown(url), whyNot(kind, f.Name)))
		case kind == KindAsset && keepsLong(f):
			c.warn(line(keepsLong), f.Name, kind, fmt.Sprintf("%s keep %s as %s: %q says; a rollback does not reach it there", keepers(f.Name), shown(url), f.Name, f.Value))
		}
	}
	for _, name := range remove {
		if !AllowedRemoval(kind, name) && !c.setBefore(matching, name) {
			line := c.lineOf(matching, name, nil)
			c.warn(line, name, kind, fmt.Sprintf("%s is sent all the same on %s, such as %s: %s", name, kind, shown(url), whyNot(kind, name)))
		}
	}
}

// aimed reports whether a rule names one path. A rule for many that also reaches the not-found page means those.
func (c *headerCheck) aimed(matching []int32) bool {
	return slices.ContainsFunc(matching, func(i int32) bool { return c.matcher.rules[i].pattern.static() })
}

// keepsLong reports whether a field lets caches keep an un-hashed asset for longer than a rollback may take.
func keepsLong(f HeaderField) bool {
	switch {
	case f.Name == "X-Accel-Expires":
		return f.Value != "0" && seconds(f.Value) > longForUnhashed
	case f.Name != "Cache-Control" && !isSharedCaching(f.Name):
		return false
	}
	d := parseDirectives(f.Value)
	return max(d.maxAge, d.sharedAge) > longForUnhashed && !d.noCache && !d.noStore
}

func keepers(name string) string {
	if name == "Cache-Control" {
		return "browsers"
	}
	return "shared caches"
}

// lineOf returns the line that sets the field of that name, or where bad is nil takes it off, in the matching rules: the
// last one whose own value is bad, otherwise the last one.
func (c *headerCheck) lineOf(matching []int32, name string, bad func(HeaderField) bool) int {
	last := 0
	for _, i := range slices.Backward(matching) {
		for _, l := range slices.Backward(c.matcher.rules[i].lines) {
			if l.name != name || (bad == nil) != (l.value == "") {
				continue
			}
			if bad == nil || bad(HeaderField{name, l.value}) {
				return l.number
			}
			last = max(last, l.number)
		}
	}
	return last
}

// setBefore reports whether a rule sets the field, so that a removal takes that back and means no more.
func (c *headerCheck) setBefore(matching []int32, name string) bool {
	return slices.ContainsFunc(matching, func(i int32) bool {
		return slices.ContainsFunc(c.matcher.rules[i].Set, func(f HeaderField) bool { return f.Name == name })
	})
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
	case kind == KindAsset && (name == "Expires" || name == "Pragma"):
		return "Cache-Control alone says how long they are kept"
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
