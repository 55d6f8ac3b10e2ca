// Package aplomb is the vocabulary of the project: sites, releases, manifests, digests, facts, intents and errors,
// as plain values with their rules. It refuses to do anything: no I/O, no clock, no goroutine.
package aplomb

// Paths under ReservedPrefix belong to Aplomb on every site. Uploads that contain one are refused.
const (
	ReservedPrefix = "/.aplomb/"
)

// Names of the rule files in the root of an uploaded folder. They are parsed and never served.
const (
	HeadersFile   = "/_headers"
	RedirectsFile = "/_redirects"
)
