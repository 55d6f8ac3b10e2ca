package aplomb

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// maxCaptures bounds the placeholders of one pattern.
const maxCaptures = 16

// pattern is the URL pattern of a rule, decoded: "/blog/:year/*", "https://:lang.example.com/*". A placeholder is a
// whole segment, a splat stands for any characters and stands once, so that a path matches in one way only.
type pattern struct {
	host     []segment // nil: any host
	anyUnder bool      // the host begins with "*.": any host under it
	path     []segment
	splat    int // index in path of the segment with "*", -1 when there is none
	names    []string
}

// segment is a part of a path or host. Literal: only before is set. Placeholder: capture is its place in names.
// Splat: the text before and after "*" in its segment.
type segment struct {
	before, after string
	capture       int // -1: none
}

// captures are the values of a pattern's names, in their order.
type captures [maxCaptures]string

// static reports whether the pattern stands for one path.
func (p *pattern) static() bool { return len(p.names) == 0 && p.splat < 0 && !p.anyUnder }

// literalPath returns the path of a static pattern without its trailing slash.
func (p *pattern) literalPath() string {
	var b strings.Builder
	for _, s := range p.path {
		b.WriteByte('/')
		b.WriteString(s.before)
	}
	return b.String()
}

func parsePattern(text string) (*pattern, error) {
	p := &pattern{splat: -1}
	path := text
	if rest, ok := strings.CutPrefix(text, "https://"); ok {
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			return nil, errors.New(`after the host a path follows, at least "/"`)
		}
		if err := p.parseHost(rest[:slash]); err != nil {
			return nil, err
		}
		path = rest[slash:]
	}
	switch {
	case strings.HasPrefix(text, "http://"):
		return nil, errors.New("a rule applies to http and https alike: write https://")
	case path == "" || path[0] != '/':
		return nil, errors.New(`a pattern begins with "/" or "https://"`)
	case strings.ContainsAny(path, "?#"):
		return nil, errors.New(`a pattern has no "?" and no "#"`)
	}
	if err := p.parsePath(path); err != nil {
		return nil, err
	}
	if len(p.names) >= maxCaptures {
		return nil, fmt.Errorf("a pattern has at most %d placeholders", maxCaptures-1)
	}
	if p.splat >= 0 {
		p.path[p.splat].capture = len(p.names)
		p.names = append(p.names, "splat")
	}
	return p, nil
}

func (p *pattern) parseHost(host string) error {
	if at := strings.LastIndexByte(host, ':'); at > 0 && isDigits(host[at+1:]) {
		host = host[:at]
	}
	host = strings.ToLower(host)
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		p.anyUnder, host = true, rest
	}
	plain := host
	for label := range strings.SplitSeq(host, ".") {
		s := segment{before: label, capture: -1}
		if name, ok := strings.CutPrefix(label, ":"); ok {
			if err := p.addName(name); err != nil {
				return err
			}
			s = segment{capture: len(p.names) - 1}
			plain = strings.Replace(plain, label, "x", 1)
		}
		p.host = append(p.host, s)
	}
	if _, err := ParseHost(plain); err != nil {
		return fmt.Errorf("the host cannot be used: %w", err)
	}
	return nil
}

func (p *pattern) parsePath(path string) error {
	path = strings.TrimSuffix(path[1:], "/")
	if path == "" {
		return nil
	}
	for raw := range strings.SplitSeq(path, "/") {
		s, err := p.parseSegment(raw)
		if err != nil {
			return err
		}
		p.path = append(p.path, s)
	}
	return nil
}

func (p *pattern) parseSegment(raw string) (segment, error) {
	if name, ok := strings.CutPrefix(raw, ":"); ok {
		if err := p.addName(name); err != nil {
			return segment{}, err
		}
		return segment{capture: len(p.names) - 1}, nil
	}
	for i := 1; i+1 < len(raw); i++ {
		if raw[i] == ':' && isLetters(raw[i+1:i+2]) {
			return segment{}, fmt.Errorf(`the placeholder %q is not a whole segment; a ":" of the path itself is written %%3A`, raw[i:])
		}
	}
	before, after, splat := strings.Cut(raw, "*")
	if splat && (p.splat >= 0 || strings.Contains(after, "*")) {
		return segment{}, errors.New(`"*" may stand once`)
	}
	s := segment{capture: -1}
	var err error
	if s.before, err = unescape(before); err != nil {
		return segment{}, err
	}
	if s.after, err = unescape(after); err != nil {
		return segment{}, err
	}
	if splat {
		p.splat = len(p.path)
	}
	return s, nil
}

func (p *pattern) addName(name string) error {
	if !isPlaceholder(name) {
		return fmt.Errorf("the placeholder %q is not made of letters, digits and _", ":"+name)
	}
	if name == "splat" {
		return errors.New(`:splat stands for "*", and only in what a rule leads to`)
	}
	for _, n := range p.names {
		if n == name {
			return fmt.Errorf("the placeholder %q stands twice", ":"+name)
		}
	}
	p.names = append(p.names, name)
	return nil
}

func isPlaceholder(name string) bool { return name != "" && placeholderLen(name) == len(name) }

// placeholderLen returns how many bytes of s, from its start, are a placeholder's name.
func placeholderLen(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && (c >= '0' && c <= '9' || c == '_') {
			continue
		}
		return i
	}
	return len(s)
}

// match reports whether the pattern matches, and if so fills c. An empty host stands for any.
func (p *pattern) match(host Host, path string, c *captures) bool {
	if p.host != nil && host != "" && !p.matchHost(string(host), c) {
		return false
	}
	if path == "" || path[0] != '/' {
		return false
	}
	if p.splat < 0 || p.splat < len(p.path)-1 || p.path[p.splat].after != "" {
		path = strings.TrimSuffix(path, "/")
		if path == "" {
			path = "/"
		}
	}
	return p.matchPath(path, c)
}

func (p *pattern) matchHost(host string, c *captures) bool {
	for i := len(p.host) - 1; i >= 0; i-- {
		dot := strings.LastIndexByte(host, '.')
		if host == "" || !p.host[i].take(host[dot+1:], c) {
			return false
		}
		host = host[:max(dot, 0)]
	}
	return (host != "") == p.anyUnder
}

// matchPath takes the segments before the splat from the front, those after it from the back, and leaves it the rest.
func (p *pattern) matchPath(path string, c *captures) bool {
	rest, more := path[1:], path != "/"
	front := p.path
	if p.splat >= 0 {
		front = p.path[:p.splat]
	}
	for i := range front {
		if !more {
			return false
		}
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		if !front[i].take(seg, c) {
			return false
		}
	}
	if p.splat < 0 {
		return !more
	}
	back := p.path[p.splat+1:]
	for i := len(back) - 1; i >= 0; i-- {
		slash := strings.LastIndexByte(rest, '/')
		if !more || slash < 0 || !back[i].take(rest[slash+1:], c) {
			return false
		}
		rest = rest[:slash]
	}
	s := &p.path[p.splat]
	if len(rest) < len(s.before)+len(s.after) || !strings.HasPrefix(rest, s.before) || !strings.HasSuffix(rest, s.after) {
		return false
	}
	c[s.capture] = rest[len(s.before) : len(rest)-len(s.after)]
	return true
}

// take reports whether a literal or a placeholder takes a whole segment.
func (s *segment) take(text string, c *captures) bool {
	if s.capture < 0 {
		return text == s.before
	}
	c[s.capture] = text
	return text != ""
}

// template is a text with captures in it.
type template []piece

// piece is a literal, or the value of a capture.
type piece struct {
	text    string
	capture int // -1: text
}

// parseTemplate finds names after ":" in text. unknown is the first name that names does not have.
func parseTemplate(text string, names []string) (t template, unknown string) {
	literal := 0
	for i := 0; i < len(text); i++ {
		if text[i] != ':' {
			continue
		}
		n := placeholderLen(text[i+1:])
		if n == 0 {
			continue
		}
		at := indexOf(names, text[i+1:i+1+n])
		if at < 0 {
			if unknown == "" {
				unknown = text[i : i+1+n]
			}
			continue
		}
		if literal < i {
			t = append(t, piece{text: text[literal:i], capture: -1})
		}
		t = append(t, piece{capture: at})
		i += n
		literal = i + 1
	}
	if literal < len(text) {
		t = append(t, piece{text: text[literal:], capture: -1})
	}
	return t, unknown
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

// fixed reports whether the template has no captures.
func (t template) fixed() bool {
	for _, p := range t {
		if p.capture >= 0 {
			return false
		}
	}
	return true
}

// unescape decodes the percent-encoding of one segment. What could change how the path is read is refused.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') >= 0 {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				b = append(b, s[i])
				continue
			}
			if !isEscape(s[i:]) {
				return "", fmt.Errorf("%q is not percent-encoding", s[i:min(i+3, len(s))])
			}
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		}
		s = string(b)
		if strings.IndexByte(s, '/') >= 0 {
			return "", errors.New("%2F does not stand for a path's \"/\"")
		}
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\\' || r == unicode.ReplacementChar {
			return "", fmt.Errorf("the character %U cannot stand in a path", r)
		}
	}
	return s, nil
}

// isEscape reports whether s begins with "%" and two hex digits.
func isEscape(s string) bool {
	return len(s) >= 3 && s[0] == '%' && isHexDigit(s[1]) && isHexDigit(s[2])
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

const upperHex = "0123456789ABCDEF"

// Characters that stand for themselves when a decoded value is put into a path or into a query.
const (
	plainInPath  = "-._~!$&'()*+,;=:@/"
	plainInQuery = "-._~!$'()*,:@/"
	plainInURL   = plainInPath + "%?#[]"
)

// appendEscaped adds s with every byte percent-encoded that is no letter, no digit and not in plain.
func appendEscaped(b []byte, s, plain string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(plain, c) >= 0 {
			b = append(b, c)
			continue
		}
		b = append(b, '%', upperHex[c>>4], upperHex[c&15])
	}
	return b
}

// hasControl reports whether a decoded path holds what no path of a release may hold. No rule applies to such a path.
func hasControl(path string) bool {
	for i := 0; i < len(path); i++ {
		if path[i] < ' ' || path[i] == 0x7f {
			return true
		}
	}
	return false
}
