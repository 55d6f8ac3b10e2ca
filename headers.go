package aplomb

import (
	"fmt"
	"slices"
	"strings"
)

// HeaderRule is one block of a _headers file. Removals come before what the block sets.
type HeaderRule struct {
	Line    int           `json:"line"`
	Pattern string        `json:"pattern"`
	Set     []HeaderField `json:"set,omitempty"`
	Remove  []string      `json:"remove,omitempty"`

	lines []headerLine // what stands on which line; known of rules just parsed, not of those of a stored manifest
}

// headerLine is one line below a pattern. value is "" where the line takes the field off.
type headerLine struct {
	number      int
	name, value string
}

// HeaderField is a header's name, in canonical form, and its value.
type HeaderField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ParseHeaders reads a _headers file as Netlify and Cloudflare Pages write it: a line with a pattern, below it lines with
// "Name: value", or "! Name" to take a field off. In a pattern "*" stands for any characters, once, and ":name" for one
// segment; ":splat" and ":name" in a value stand for what they matched, percent-encoded. "https://host/path" applies to
// one host, on any port. What cannot be used is an *Error that names the line.
func ParseHeaders(text []byte, l Limits) ([]HeaderRule, []Warning, error) {
	file := &ruleFile{name: HeadersFile}
	lines, err := file.lines(text, l)
	if err != nil {
		return nil, nil, err
	}
	var rules []HeaderRule
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line.text, "/"), strings.Contains(strings.Fields(line.text)[0], "://"):
			if _, err := parsePattern(line.text); err != nil {
				return nil, nil, file.refuse(line.number, fmt.Sprintf("%s: %v", line.text, err), "correct the pattern")
			}
			if len(rules) == l.HeaderRules {
				return nil, nil, file.refuse(line.number, fmt.Sprintf("a file may have %d patterns", l.HeaderRules), "join rules with \"*\"")
			}
			rules = append(rules, HeaderRule{Line: line.number, Pattern: line.text})
		case len(rules) == 0:
			return nil, nil, file.refuse(line.number, "a header comes before the first pattern", `put a line such as "/*" above it`)
		default:
			if err := file.addField(&rules[len(rules)-1], line, l); err != nil {
				return nil, nil, err
			}
		}
	}
	rules = slices.DeleteFunc(rules, func(r HeaderRule) bool {
		empty := len(r.Set) == 0 && len(r.Remove) == 0
		if empty {
			file.warn(r.Line, "the pattern %s has no headers below it", r.Pattern)
		}
		return empty
	})
	return rules, file.warnings, nil
}

func (r *ruleFile) addField(rule *HeaderRule, line ruleLine, l Limits) error {
	if len(rule.Set)+len(rule.Remove) >= l.HeaderFields {
		return r.refuse(line.number, fmt.Sprintf("a pattern may have %d headers", l.HeaderFields), "take lines out")
	}
	if name, removal := strings.CutPrefix(line.text, "!"); removal {
		name = strings.TrimSpace(name)
		if why := headerNameProblem(name); why != "" {
			return r.refuse(line.number, why, `write it as in "! X-Frame-Options"`)
		}
		if name = canonicalHeader(name); !slices.Contains(rule.Remove, name) {
			rule.Remove = append(rule.Remove, name)
		}
		rule.lines = append(rule.lines, headerLine{line.number, name, ""})
		return nil
	}
	name, value, ok := strings.Cut(line.text, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case !ok:
		return r.refuse(line.number, fmt.Sprintf("%.80q is neither a pattern nor a header", line.text), `write it as "Name: value"`)
	case headerNameProblem(name) != "":
		return r.refuse(line.number, headerNameProblem(name), "correct or remove the line")
	case value == "":
		return r.refuse(line.number, fmt.Sprintf("%s has no value", name), fmt.Sprintf(`give it one, or write "! %s" to take it off`, name))
	}
	name = canonicalHeader(name)
	rule.Set = joinField(rule.Set, HeaderField{name, value})
	rule.lines = append(rule.lines, headerLine{line.number, name, value})
	return nil
}

// joinField adds f to set. A field that is there already gets both values, joined by a comma; of a Content-Type, which
// has one value, the later holds.
func joinField(set []HeaderField, f HeaderField) []HeaderField {
	for i := range set {
		if set[i].Name != f.Name {
			continue
		}
		if f.Name == "Content-Type" {
			set[i].Value = f.Value
		} else {
			set[i].Value += ", " + f.Value
		}
		return set
	}
	return append(set, f)
}

// headerNameProblem says why a rule cannot set or remove the header of that name, "" when it can.
func headerNameProblem(name string) string {
	if name == "" {
		return "the header has no name"
	}
	for i := 0; i < len(name); i++ {
		if !isTokenByte(name[i]) {
			return fmt.Sprintf("%.80q is not the name of a header", name)
		}
	}
	switch strings.ToLower(name) {
	case "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "http2-settings":
		return fmt.Sprintf("%s belongs to one connection, not to a file", name)
	case "content-length", "content-encoding", "content-range", "accept-ranges", "date", "age", "host", "location", "alt-svc":
		return fmt.Sprintf("%s is set by the edge from what it sends", name)
	case "set-cookie", "set-cookie2":
		return fmt.Sprintf("%s on a file that caches share would give every visitor the same cookie", name)
	case "basic-auth":
		return "Basic-Auth asks the host for a password door, which Aplomb does not have; as a header it would show the password"
	}
	return ""
}

func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// canonicalHeader writes a header's name as net/http does: content-type becomes Content-Type.
func canonicalHeader(name string) string {
	b := []byte(name)
	upper := true
	for i, c := range b {
		if upper && c >= 'a' && c <= 'z' {
			b[i] = c - ('a' - 'A')
		} else if !upper && c >= 'A' && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
		upper = c == '-'
	}
	return string(b)
}

// HeaderMatcher finds the header fields that the rules give a path. It is immutable and safe for concurrent use.
type HeaderMatcher struct {
	rules   []compiledHeaders
	static  map[string][]int32 // literal path → rules, in order
	dynamic []int32            // all other rules, in order
}

// compiledHeaders is a rule ready to match.
type compiledHeaders struct {
	HeaderRule
	pattern *pattern
	values  []template // nil when no value has a capture
}

// CompileHeaders returns a matcher for rules that ParseHeaders returned.
func CompileHeaders(rules []HeaderRule) *HeaderMatcher {
	m := &HeaderMatcher{static: map[string][]int32{}}
	for _, rule := range rules {
		p, err := parsePattern(rule.Pattern)
		if err != nil {
			continue // not a rule that ParseHeaders returned
		}
		i := int32(len(m.rules))
		m.rules = append(m.rules, compiledHeaders{HeaderRule: rule, pattern: p, values: compileValues(rule.Set, p.names)})
		if p.static() {
			m.static[p.literalPath()] = append(m.static[p.literalPath()], i)
		} else {
			m.dynamic = append(m.dynamic, i)
		}
	}
	return m
}

func compileValues(set []HeaderField, names []string) []template {
	var values []template
	fixed := true
	for _, f := range set {
		t, _ := parseTemplate(f.Value, names)
		fixed = fixed && t.fixed()
		values = append(values, t)
	}
	if fixed {
		return nil
	}
	return values
}

// Fields returns the fields to set on the answer to path, one for each name, and the names of fields that the edge
// would set by itself and that are to be left out; AllowedField and AllowedRemoval say where they are not to be followed.
// path is decoded, as File.Path; a trailing slash makes no difference. All matching rules apply, in order. The slices
// belong to the matcher: they are read only.
func (m *HeaderMatcher) Fields(host Host, path string) (set []HeaderField, remove []string) {
	if m == nil || len(m.rules) == 0 || hasControl(path) {
		return nil, nil
	}
	var room [16]int32
	matching := m.matching(room[:0], host, path)
	if len(matching) == 0 {
		return nil, nil
	}
	if first := &m.rules[matching[0]]; len(matching) == 1 && first.values == nil && len(first.Remove) == 0 {
		return first.Set, nil
	}
	return m.merge(matching, host, path)
}

// matching appends the rules that match, in order.
func (m *HeaderMatcher) matching(to []int32, host Host, path string) []int32 {
	var c captures
	static, dynamic := m.static[strings.TrimSuffix(path, "/")], m.dynamic
	for len(static) > 0 || len(dynamic) > 0 {
		from := &dynamic
		if len(dynamic) == 0 || len(static) > 0 && static[0] < dynamic[0] {
			from = &static
		}
		i := (*from)[0]
		*from = (*from)[1:]
		if m.rules[i].pattern.match(host, path, &c) {
			to = append(to, i)
		}
	}
	return to
}

// merge applies rules one after the other.
func (m *HeaderMatcher) merge(matching []int32, host Host, path string) (set []HeaderField, remove []string) {
	var c captures
	for _, i := range matching {
		rule := &m.rules[i]
		for _, name := range rule.Remove {
			set = slices.DeleteFunc(set, func(f HeaderField) bool { return f.Name == name })
			if !slices.Contains(remove, name) {
				remove = append(remove, name)
			}
		}
		if rule.values != nil {
			rule.pattern.match(host, path, &c)
		}
		for j, f := range rule.Set {
			if rule.values != nil {
				f.Value = rule.values[j].header(&c)
			}
			set = joinField(set, f)
			remove = slices.DeleteFunc(remove, func(name string) bool { return name == f.Name })
		}
	}
	return set, remove
}

// header fills a template for a header's value, where captures may hold anything a path may hold.
func (t template) header(c *captures) string {
	var b []byte
	for _, p := range t {
		if p.capture < 0 {
			b = append(b, p.text...)
		} else {
			b = appendEscaped(b, c[p.capture], plainInPath)
		}
	}
	return string(b)
}
