package aplomb

import (
	"fmt"
	"strings"
	"unicode"
)

// Redirected is where a redirect leads.
type Redirected struct {
	// To is complete. With a status of 3xx it is what a Location field takes: an absolute URL, or a path that begins
	// with exactly one "/", percent-encoded, with its query. With 200, 404 and 410 it is the decoded path of a file of
	// the same site, as File.Path; it may be a clean URL, and it may be absent from the release.
	To     string
	Status int
	Force  bool // applies even where a file exists
	Line   int
}

// RedirectMatcher finds the redirect for a request. It is immutable and safe for concurrent use.
type RedirectMatcher struct {
	rules   []compiledRedirect
	static  map[string][]int32 // literal path → rules, in order
	dynamic []int32            // all other rules, in order
}

// CompileRedirects returns a matcher for rules that ParseRedirects returned.
func CompileRedirects(rules []Redirect) *RedirectMatcher {
	m := &RedirectMatcher{static: map[string][]int32{}}
	for _, rule := range rules {
		c, err := compileRedirect(rule)
		if err != nil {
			continue // not a rule that ParseRedirects returned
		}
		i := int32(len(m.rules))
		m.rules = append(m.rules, c)
		if c.pattern.static() {
			m.static[c.pattern.literalPath()] = append(m.static[c.pattern.literalPath()], i)
		} else {
			m.dynamic = append(m.dynamic, i)
		}
	}
	return m
}

// Match returns the first redirect that applies: static rules first, then those with a splat or placeholder, each in
// the order of the file. path is decoded, as File.Path; a trailing slash makes no difference; rawQuery is what stands
// after "?", undecoded. A 3xx whose target has no query of its own passes the request's on, without the parameters that
// its conditions took. A redirect that would lead to the very URL asked for does not apply.
func (m *RedirectMatcher) Match(host Host, path, rawQuery string) (Redirected, bool) {
	if m == nil || len(m.rules) == 0 || hasControl(path) {
		return Redirected{}, false
	}
	var c captures
	for _, list := range [...][]int32{m.static[strings.TrimSuffix(path, "/")], m.dynamic} {
		for _, i := range list {
			r := &m.rules[i]
			if !r.pattern.match(host, path, &c) || len(r.query) > 0 && !r.matchQuery(rawQuery, &c) {
				continue
			}
			if to, ok := r.target(host, path, rawQuery, &c); ok {
				return Redirected{To: to, Status: r.status, Force: r.force, Line: r.line}, true
			}
		}
	}
	return Redirected{}, false
}

// compiledRedirect is a rule ready to match.
type compiledRedirect struct {
	pattern *pattern
	query   []compiledCondition
	line    int
	status  int
	force   bool
	unknown string // a name in the target that nothing captures

	path  template // of a rewrite: the decoded path; of a redirect: everything before the query
	tail  template // query and fragment of a redirect, with "?" or "#"
	carry bool     // the request's query is passed on
}

// compiledCondition is a query parameter and its value, or where to put it.
type compiledCondition struct {
	name, value string
	capture     int // -1: value
}

func compileRedirect(rule Redirect) (compiledRedirect, error) {
	p, err := parsePattern(rule.From)
	if err != nil {
		return compiledRedirect{}, fmt.Errorf("%s: %w", rule.From, err)
	}
	if len(p.path) > 0 && p.path[0].before == strings.Trim(ReservedPrefix, "/") {
		return compiledRedirect{}, fmt.Errorf("paths under %s belong to Aplomb", ReservedPrefix)
	}
	c := compiledRedirect{pattern: p, line: rule.Line, status: rule.Status, force: rule.Force}
	names := p.names
	for _, q := range rule.Query {
		condition := compiledCondition{q.Name, q.Value, -1}
		if name, ok := strings.CutPrefix(q.Value, ":"); ok {
			if !isPlaceholder(name) || indexOf(names, name) >= 0 || len(names) == maxCaptures {
				return compiledRedirect{}, fmt.Errorf("the placeholder %q of the query cannot be used, or stands twice", q.Value)
			}
			condition = compiledCondition{name: q.Name, capture: len(names)}
			names = append(names[:len(names):len(names)], name)
		}
		c.query = append(c.query, condition)
	}
	switch rule.Status {
	case 200, 404, 410:
		err = c.compileRewrite(rule.To, names)
	case 301, 302, 303, 307, 308:
		err = c.compileLocation(rule.To, names)
	default:
		err = fmt.Errorf("the status %d is none of 200, 301, 302, 303, 307, 308, 404, 410", rule.Status)
	}
	return c, err
}

// compileRewrite takes a target that is a file of the site.
func (c *compiledRedirect) compileRewrite(to string, names []string) error {
	switch {
	case !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//"):
		return fmt.Errorf("%d with %s would fetch from another server; that comes with apps, and a file of this site is needed", c.status, to)
	case strings.HasPrefix(to, "/.netlify/"):
		return fmt.Errorf("%s is a function of another host, which Aplomb does not have", to)
	case strings.ContainsAny(to, "?#"):
		return fmt.Errorf("%d answers with a file, which has no query: %s", c.status, to)
	}
	var decoded strings.Builder
	for segment := range strings.SplitSeq(to[1:], "/") {
		s, err := unescape(segment)
		if err != nil {
			return fmt.Errorf("%s: %w", to, err)
		}
		decoded.WriteString("/" + s)
	}
	c.path, c.unknown = parseTemplate(decoded.String(), names)
	return nil
}

// compileLocation takes a target that the browser goes to.
func (c *compiledRedirect) compileLocation(to string, names []string) error {
	for _, r := range to {
		if unicode.IsControl(r) || r == '\\' {
			return fmt.Errorf("the character %U cannot stand in a target", r)
		}
	}
	end := len(to)
	if i := strings.IndexAny(to, "?#"); i >= 0 {
		end = i
	}
	if !strings.HasPrefix(to, "/") {
		if err := checkAuthority(to, names); err != nil {
			return err
		}
	} else if strings.HasPrefix(to, "//") {
		return fmt.Errorf(`%s leads to another host: write it with "https:"`, to)
	}
	var inPath, inTail string
	c.path, inPath = parseTemplate(encodeTarget(to[:end]), names)
	c.tail, inTail = parseTemplate(encodeTarget(to[end:]), names)
	c.carry = end == len(to) || to[end] == '#'
	if c.unknown = inPath; inPath == "" {
		c.unknown = inTail
	}
	return nil
}

// checkAuthority holds that no part of a request decides which host a redirect leads to.
func checkAuthority(to string, names []string) error {
	rest, ok := strings.CutPrefix(to, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(to, "http://")
	}
	if !ok {
		return fmt.Errorf(`the target %s begins neither with "/" nor with "https://"`, to)
	}
	host := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host = rest[:i]
	}
	if t, unknown := parseTemplate(host, names); !t.fixed() || unknown != "" {
		return fmt.Errorf("a placeholder in the host of %s would let a request choose where the redirect leads", to)
	}
	if _, err := ParseHost(host); err != nil {
		return fmt.Errorf("the target %s: %w", to, err)
	}
	return nil
}

// encodeTarget percent-encodes what a URL cannot hold, and leaves what is encoded already.
func encodeTarget(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && !isEscape(s[i:]) {
			b = append(b, "%25"...)
			continue
		}
		b = appendEscaped(b, s[i:i+1], plainInURL)
	}
	return string(b)
}

// matchQuery reports whether the query meets the conditions, and fills c with the values it takes from it.
func (c *compiledRedirect) matchQuery(rawQuery string, to *captures) bool {
	for i := range c.query {
		q := &c.query[i]
		value, ok := queryValue(rawQuery, q.name)
		if !ok || q.capture < 0 && value != q.value || q.capture >= 0 && value == "" {
			return false
		}
		if q.capture >= 0 {
			to[q.capture] = value
		}
	}
	return true
}

// queryValue returns the first value of a parameter.
func queryValue(rawQuery, name string) (string, bool) {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key == name || unescapeQuery(key) == name {
			return unescapeQuery(value), true
		}
	}
	return "", false
}

// unescapeQuery decodes a part of a query; what is not percent-encoding stays.
func unescapeQuery(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case isEscape(s[i:]):
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

// target fills the target. It reports false when that is the URL asked for.
func (c *compiledRedirect) target(host Host, path, rawQuery string, values *captures) (string, bool) {
	if c.status == 200 || c.status == 404 || c.status == 410 {
		to := c.path.plain(values)
		return to, !hasControl(to)
	}
	b := c.path.url(nil, values, plainInPath)
	if b[0] == '/' {
		for len(b) > 1 && b[1] == '/' {
			b = b[1:]
		}
	}
	end := len(b)
	query := rawQuery
	if c.carry {
		query = c.leftOver(rawQuery)
		b = appendQuery(b, query)
	}
	b = c.tail.url(b, values, plainInQuery)
	if !c.carry {
		query, _, _ = strings.Cut(strings.TrimPrefix(string(b[end:]), "?"), "#")
	}
	to := string(b)
	return to, query != rawQuery || !samePlace(to[:end], host, path)
}

// plain fills a template for a decoded path.
func (t template) plain(c *captures) string {
	if len(t) == 1 && t[0].capture < 0 {
		return t[0].text
	}
	var b strings.Builder
	for _, p := range t {
		if p.capture < 0 {
			b.WriteString(p.text)
		} else {
			b.WriteString(c[p.capture])
		}
	}
	to := b.String()
	for strings.HasPrefix(to, "//") {
		to = to[1:]
	}
	return to
}

// url appends a filled template, with the captures encoded so that they stay inside the part they stand in.
func (t template) url(b []byte, c *captures, plain string) []byte {
	for _, p := range t {
		if p.capture < 0 {
			b = append(b, p.text...)
		} else {
			b = appendEscaped(b, c[p.capture], plain)
		}
	}
	return b
}

// leftOver returns the query without the parameters that the conditions took.
func (c *compiledRedirect) leftOver(rawQuery string) string {
	if len(c.query) == 0 || rawQuery == "" {
		return rawQuery
	}
	var left []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, _, _ := strings.Cut(pair, "=")
		key = unescapeQuery(key)
		taken := false
		for i := range c.query {
			taken = taken || c.query[i].name == key
		}
		if !taken {
			left = append(left, pair)
		}
	}
	return strings.Join(left, "&")
}

func appendQuery(b []byte, query string) []byte {
	if query == "" {
		return b
	}
	return appendEscaped(append(b, '?'), query, plainInPath+"%?[]")
}

// samePlace reports whether a location without its query is the path asked for, on the host asked.
func samePlace(location string, host Host, path string) bool {
	if location[0] != '/' {
		_, location, _ = strings.Cut(location, "://")
		at := strings.IndexByte(location, '/')
		if at < 0 {
			at = len(location)
		}
		if to, err := ParseHost(location[:at]); err != nil || to != host {
			return false
		}
		if location = location[at:]; location == "" {
			location = "/"
		}
	}
	return location == path || unescapePath(location) == path
}

// unescapePath decodes a location's path.
func unescapePath(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if isEscape(s[i:]) {
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}
