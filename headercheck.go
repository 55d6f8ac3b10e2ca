package aplomb

// FileKind is what decides the cache policy of an answer, and with it which header rules may apply to it.
type FileKind uint8

// The kinds of answers.
const (
	KindAsset    FileKind = iota // a file under a name that stays
	KindHashed                   // a file whose name changes with its content
	KindDocument                 // what a browser navigates to
	KindWorker                   // a service-worker script
	KindMissing                  // any answer that is not 200: 404, 410, also where a document is its body
)

// KindOf returns the kind of a file answered with 200. worker says that it is one of Manifest.Workers.
func KindOf(f File, worker bool) FileKind {
	switch {
	case worker:
		return KindWorker
	case IsDocument(f.Type):
		return KindDocument
	case f.Hashed:
		return KindHashed
	}
	return KindAsset
}

// AllowedField reports whether a rule may set f on an answer of that kind.
func AllowedField(kind FileKind, f HeaderField) bool { return true }

// AllowedRemoval reports whether a rule may take the field the edge itself sets off an answer of that kind.
func AllowedRemoval(kind FileKind, name string) bool { return true }

// CheckHeaderRules warns where rules contradict what AllowedField and AllowedRemoval hold: there the edge leaves the
// rule out. Files are sealed files; workers are Manifest.Workers.
func CheckHeaderRules(rules []HeaderRule, files []File, workers []string) []Warning { return nil }
