package aplomb

// ManifestVersion is the newest manifest format this program reads and the one it writes.
const ManifestVersion = 1

// File is one served file of a release.
type File struct {
	// Path is the decoded URL path: it begins with "/", is valid UTF-8, has no empty, "." or ".." segment.
	Path   string `json:"path"`
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`
	// Type is the Content-Type as sent. Set at sealing.
	Type string `json:"type,omitempty"`
	// Hashed says that the URL changes with the content: immutable to browsers, kept in the union. Set at sealing.
	Hashed bool `json:"hashed,omitempty"`
}

// Manifest is what a release serves: files sorted by path, and the rules that travel with them. A sealed manifest is
// stored as a blob of JSON; its digest stands in the Release.
type Manifest struct {
	Version   int          `json:"version"`
	Files     []File       `json:"files"`
	Headers   []HeaderRule `json:"headers,omitempty"`
	Redirects []Redirect   `json:"redirects,omitempty"`
	Settings  Settings     `json:"settings"`
	// Fallback is the document that answers navigations to unknown paths ("/index.html"), or "".
	Fallback string `json:"fallback,omitempty"`
	// Workers are the paths of service-worker scripts, as far as the files themselves tell.
	Workers []string `json:"workers,omitempty"`
}

// Settings are the part of aplomb.toml that travels with a release, and comes back with it.
type Settings struct {
	// Framework is the detected or configured framework, such as "vite"; it decides which paths are hashed.
	Framework string `json:"framework,omitempty"`
	// Hashed are additional globs of paths whose name changes with their content ("/static/**").
	Hashed []string `json:"hashed,omitempty"`
	// Fallback is the single-page fallback: "" decides by the files (exactly one HTML document and no 404.html: that
	// document), "none" switches it off, a path ("/index.html") names the document.
	Fallback string `json:"fallback,omitempty"`
	// CleanURLs serves /about.html and /about/index.html at /about. Nil means true.
	CleanURLs *bool `json:"clean_urls,omitempty"`
	// App are the ways to the app behind the files.
	App []AppRoute `json:"app,omitempty"`
}

// Warning is something an upload was not refused for but its owner should know: a file, a line where there is one,
// and the matter in words.
type Warning struct {
	Path string `json:"path"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}
