package edge

import (
	"net/http"

	"aplomb"
)

// Cause says to whom an answer other than the one asked for is attributed.
type Cause string

// The causes.
const (
	CauseNone         Cause = ""
	CauseClient       Cause = "client"                // malformed, for nothing that ever was, or hung up
	CauseAssetMissing Cause = "release-asset-missing" // a part of a page that no kept release has
	CauseOffline      Cause = "offline"               // a person took the site offline
	CauseEdge         Cause = "edge"                  // stored bytes cannot be read, or a bug of ours
)

// statusHungUp stands for a client that went away before it had its answer.
const statusHungUp = 499

// Signal is one answer that was not what was asked for.
type Signal struct {
	Host   aplomb.Host // "" where the request names none that is known
	Method string
	Path   string
	Status int
	Cause  Cause
}

// report notes to whom an answer is attributed, and tells whoever listens of those that went wrong.
func (o *sender) report(w http.ResponseWriter, r *http.Request, host aplomb.Host, status int, cause Cause) {
	if cause != CauseNone {
		if rec := recorderOf(w); rec != nil {
			rec.record.Status, rec.record.Cause = status, cause
		}
	}
	if o.signal == nil || cause == CauseNone {
		return
	}
	o.signal(Signal{Host: host, Method: r.Method, Path: r.URL.Path, Status: status, Cause: cause})
}
