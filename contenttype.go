package aplomb

import "strings"

// ContentType returns the Content-Type under which a file is sent, by its extension alone.
func ContentType(path string) string {
	if strings.HasSuffix(path, ".html") {
		return "text/html; charset=utf-8"
	}
	return "application/octet-stream"
}

// IsDocument reports whether a content type is that of a document, the thing a browser navigates to.
func IsDocument(contentType string) bool { return strings.HasPrefix(contentType, "text/html") }

// IsCode reports whether a content type is that of a script, module, style, font or wasm: what a page cannot do without
// and what is therefore answered from the newest kept release that has it.
func IsCode(contentType string) bool { return false }
