package aplomb

// WorkersByName returns the paths that by their names are service-worker scripts, in order.
func WorkersByName(files []File) []string { return nil }

// WorkersInText returns the paths of the service-worker scripts that a document or script registers with a literal URL,
// in order. docPath is the path of the document, against which relative URLs are resolved.
func WorkersInText(docPath string, text []byte) []string { return nil }
