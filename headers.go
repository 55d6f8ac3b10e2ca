package aplomb

// HeaderRule is one block of a _headers file.
type HeaderRule struct {
	Line    int           `json:"line"`
	Pattern string        `json:"pattern"`
	Set     []HeaderField `json:"set,omitempty"`
	Remove  []string      `json:"remove,omitempty"`
}

// HeaderField is a header's name, in canonical form, and its value.
type HeaderField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ParseHeaders reads a _headers file.
func ParseHeaders(text []byte, l Limits) ([]HeaderRule, []Warning, error) { return nil, nil, nil }

// HeaderMatcher finds the header fields that the rules give a path. It is immutable.
type HeaderMatcher struct{}

// CompileHeaders returns a matcher for parsed rules.
func CompileHeaders(rules []HeaderRule) *HeaderMatcher { return &HeaderMatcher{} }

// Fields returns the fields to set on the answer to path, one for each name, and the names of fields that the edge
// would set by itself and that are to be left out. path is decoded, as File.Path. All matching rules apply, in order.
// The slices belong to the matcher: they are read only.
func (m *HeaderMatcher) Fields(host Host, path string) (set []HeaderField, remove []string) {
	return nil, nil
}
