package aplomb

// Redirect is one rule of a _redirects file.
type Redirect struct {
	Line   int              `json:"line"`
	From   string           `json:"from"`
	Query  []QueryCondition `json:"query,omitempty"`
	To     string           `json:"to"`
	Status int              `json:"status"`
	Force  bool             `json:"force,omitempty"` // "!": applies even where a file exists
}

// QueryCondition is a query parameter that a request must have for a redirect to apply. Value is the decoded value it
// must have, or ":name" for any value, which then stands in the target for ":name".
type QueryCondition struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ParseRedirects reads a _redirects file.
func ParseRedirects(text []byte, l Limits) ([]Redirect, []Warning, error) { return nil, nil, nil }

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

// RedirectMatcher finds the redirect for a request. It is immutable.
type RedirectMatcher struct{}

// CompileRedirects returns a matcher for parsed rules.
func CompileRedirects(rules []Redirect) *RedirectMatcher { return &RedirectMatcher{} }

// Match returns the first redirect that applies: static rules first, then those with a splat or placeholder, each in
// the order of the file. path is decoded, as File.Path; a trailing slash makes no difference; rawQuery is what stands
// after "?", undecoded. A redirect that would lead to the very URL asked for does not apply.
func (m *RedirectMatcher) Match(host Host, path, rawQuery string) (Redirected, bool) {
	return Redirected{}, false
}
