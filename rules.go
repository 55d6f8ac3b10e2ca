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

// Redirect is one rule of a _redirects file.
type Redirect struct {
	Line   int    `json:"line"`
	From   string `json:"from"`
	To     string `json:"to"`
	Status int    `json:"status"`
	Force  bool   `json:"force,omitempty"` // "!": applies even where a file exists
}
