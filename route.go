package aplomb

import "time"

// Route is everything an edge needs to serve one site: which release is live, and which others it keeps, so that
// it can go on, and go back, without a ledger.
type Route struct {
	Site Site `json:"site"`
	// Head is the position on the site's chain that decided this route. An edge never goes back to an older one.
	Head  Head      `json:"head"`
	Live  ReleaseID `json:"live"` // "" until the first release is live
	Since time.Time `json:"since,omitzero"`
	// Kept lists every release whose bytes are kept, the live one included: first the live one, then those a
	// rollback may choose in its order (replaced, last left first), then all others, newest first.
	Kept []KeptRelease `json:"kept"`
	// Unrecorded is set while the route was moved by a rollback that the ledger could not record; Head is then still
	// that of the route before. By and Why say who asked.
	Unrecorded    bool   `json:"unrecorded,omitempty"`
	UnrecordedBy  string `json:"unrecorded_by,omitempty"`
	UnrecordedWhy string `json:"unrecorded_why,omitempty"`
}

// KeptRelease is what an edge knows of a release whose bytes are kept. Withdrawn releases are kept too: their hashed
// assets stay served.
type KeptRelease struct {
	ID       ReleaseID    `json:"release"`
	State    ReleaseState `json:"state"`
	Seal     Digest       `json:"seal"`
	Manifest Digest       `json:"manifest"`
	LastLive time.Time    `json:"last_live,omitzero"`
}

// Find returns the kept release of that name.
func (r Route) Find(id ReleaseID) (KeptRelease, bool) {
	for _, k := range r.Kept {
		if k.ID == id {
			return k, true
		}
	}
	return KeptRelease{}, false
}
