package aplomb

import (
	"encoding/json"
	"time"
)

// FactKind says what a fact is about.
type FactKind string

// The kinds of facts on a site's timeline.
const (
	FactSiteCreated FactKind = "site-created"
	FactRequested   FactKind = "requested"   // a rollout was asked for
	FactUploaded    FactKind = "uploaded"    // a release was sealed
	FactSwitching   FactKind = "switching"   // intent: the route is about to move
	FactLive        FactKind = "live"        // act: a deploy or promote reached the visitors
	FactRolledBack  FactKind = "rolled-back" // act: a rollback reached the visitors
	FactUndone      FactKind = "undone"      // act: the act before it was reversed
	FactEnded       FactKind = "ended"       // a rollout ended without reaching the visitors
	FactRetired     FactKind = "retired"
	FactNote        FactKind = "note"
	FactCollected   FactKind = "collected" // bytes of releases no longer kept were deleted
	FactDamaged     FactKind = "damaged"   // stored bytes were found damaged and set aside
	FactRecovered   FactKind = "recovered" // the ledger was recovered from what the edge serves
	FactRestored    FactKind = "restored"  // the site came from a backup
	FactSiteSet     FactKind = "site-set"  // the site's own rules were changed
	FactSiteRemoved FactKind = "site-removed"
	FactOffline     FactKind = "offline" // visitors get the maintenance page
	FactOnline      FactKind = "online"
	FactForgotten   FactKind = "forgotten" // URLs answer 410 from now on, their bytes are deleted
)

// Fact is one line of a site's timeline. It never changes once it is acknowledged.
type Fact struct {
	N       int64           `json:"n"` // 1, 2, 3, … in each site; assigned by the ledger
	At      time.Time       `json:"at"`
	Kind    FactKind        `json:"kind"`
	Actor   string          `json:"actor"` // who: a person, or "aplomb"
	Site    SiteName        `json:"site"`
	Release ReleaseID       `json:"release,omitempty"`
	From    ReleaseID       `json:"from,omitempty"` // the release that was live before
	Why     string          `json:"why"`
	Rollout int64           `json:"rollout,omitempty"` // n of the fact that requested it
	Act     int64           `json:"act,omitempty"`     // the act that an undo reversed
	More    json.RawMessage `json:"more,omitempty"`    // figures of this kind, an object
}

// IsAct reports whether visitors saw what the fact says: what undo reverses.
func (k FactKind) IsAct() bool { return k == FactLive || k == FactRolledBack || k == FactUndone }

// Head is a position on a site's chain: the last fact, and the hash of its line. Epoch grows only when a
// ledger is recovered or restored. A head with a smaller (Epoch, N) is older; same (Epoch, N) and another SHA is a fork.
type Head struct {
	Epoch int64  `json:"epoch"`
	N     int64  `json:"n"`
	SHA   Digest `json:"sha"`
}

// Before reports whether h is an earlier position than o.
func (h Head) Before(o Head) bool { return h.Epoch < o.Epoch || h.Epoch == o.Epoch && h.N < o.N }
