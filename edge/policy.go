package edge

import (
	"slices"
	"strings"

	"aplomb"
)

// headerField is a header ready to be put into an answer: the key in canonical form, and the slice all answers share.
type headerField struct {
	key   string
	value []string
}

// headerSet is the part of an answer's headers that many files have in common. It is immutable.
type headerSet []headerField

// Names in the form in which net/http keys its maps.
const (
	cacheControl    = "Cache-Control"
	cdnCacheControl = "Cdn-Cache-Control"
)

// Header values that never change; answers share them.
var (
	noCache         = []string{"no-cache"}
	noStore         = []string{"no-store"}
	immutable       = []string{"public, max-age=31536000, immutable"}
	immutablePart   = []string{"public, max-age=31536000"} // immutable stands on whole answers only
	revalidate      = []string{"public, max-age=0, must-revalidate"}
	nosniff         = []string{"nosniff"}
	acceptEncoding  = []string{"Accept-Encoding"}
	acceptBytes     = []string{"bytes"}
	plainText       = []string{"text/plain; charset=utf-8"}
	javaScript      = []string{"text/javascript; charset=utf-8"}
	closeConnection = []string{"close"}
	anyScope        = []string{"/"}
	allowedMethods  = []string{"GET, HEAD, OPTIONS"}
)

// policies are the headers of each kind of answer where no rule says more. What an answer may be cached for is decided
// by its kind, which comes from the manifest, never by the look of its URL.
var policies = [...]headerSet{
	aplomb.KindAsset:    {{cacheControl, revalidate}, {cdnCacheControl, revalidate}, {"X-Content-Type-Options", nosniff}},
	aplomb.KindHashed:   {{cacheControl, immutable}, {"X-Content-Type-Options", nosniff}},
	aplomb.KindDocument: {{cacheControl, noCache}, {cdnCacheControl, noCache}, {"X-Content-Type-Options", nosniff}},
	aplomb.KindWorker:   {{cacheControl, noCache}, {cdnCacheControl, noStore}, {"X-Content-Type-Options", nosniff}},
	aplomb.KindMissing:  {{cacheControl, noStore}, {cdnCacheControl, noStore}, {"X-Content-Type-Options", nosniff}},
}

// headerRules are the header rules of one release. nil means that it has none.
type headerRules struct {
	of      []aplomb.HeaderRule
	matcher *aplomb.HeaderMatcher
	// byHost says that some rule binds to a host: fields are then looked up for each request.
	byHost bool
}

// newHeaderRules compiles rules, or returns those of a table near by that has the same.
func newHeaderRules(rules []aplomb.HeaderRule, near []*fileTable) *headerRules {
	if len(rules) == 0 {
		return nil
	}
	for _, n := range near {
		if n.rules != nil && slices.EqualFunc(n.rules.of, rules, sameRule) {
			return n.rules
		}
	}
	byHost := slices.ContainsFunc(rules, func(r aplomb.HeaderRule) bool { return !strings.HasPrefix(r.Pattern, "/") })
	return &headerRules{of: rules, matcher: aplomb.CompileHeaders(rules), byHost: byHost}
}

// fixed returns the headers of an answer of that kind under path, as far as they do not depend on the host.
func (r *headerRules) fixed(kind aplomb.FileKind, path string) headerSet {
	if r == nil || r.byHost {
		return policies[kind]
	}
	return r.apply(policies[kind], kind, "", path)
}

// boundToHosts returns r where rules have to be looked at for each request, otherwise nil.
func (r *headerRules) boundToHosts() *headerRules {
	if r == nil || !r.byHost {
		return nil
	}
	return r
}

func sameRule(a, b aplomb.HeaderRule) bool {
	return a.Pattern == b.Pattern && slices.Equal(a.Set, b.Set) && slices.Equal(a.Remove, b.Remove)
}

// apply returns base with what the rules say of path, as far as they may for an answer of that kind.
func (r *headerRules) apply(base headerSet, kind aplomb.FileKind, host aplomb.Host, path string) headerSet {
	if r == nil {
		return base
	}
	fields, remove := r.matcher.Fields(host, path)
	if len(fields) == 0 && len(remove) == 0 {
		return base
	}
	set := make(headerSet, 0, len(base)+len(fields))
	for _, f := range base {
		if !slices.Contains(remove, f.key) || !aplomb.AllowedRemoval(kind, f.key) {
			set = append(set, f)
		}
	}
	for _, f := range fields {
		if !aplomb.AllowedField(kind, f) {
			continue
		}
		value := headerField{key: f.Name, value: []string{f.Value}}
		if i := slices.IndexFunc(set, func(h headerField) bool { return h.key == f.Name }); i >= 0 {
			set[i] = value
		} else {
			set = append(set, value)
		}
	}
	return set
}

func (s headerSet) equal(o headerSet) bool {
	return slices.EqualFunc(s, o, func(a, b headerField) bool { return a.key == b.key && slices.Equal(a.value, b.value) })
}
