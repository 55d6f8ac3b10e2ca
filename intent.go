package aplomb

import "time"

// IntentKind names a command of a rollout; one performer exists for each.
type IntentKind string

// The kinds of intents.
const (
	// IntentRoute moves a site's visitors to Intent.Release.
	IntentRoute IntentKind = "route"
	// IntentRemove ends the serving of a site: none of its hosts is answered for any more. It comes from a fact that is
	// on the site's chain for good, so it has no result on the chain.
	IntentRemove IntentKind = "remove"
)

// Intent is a command that rollout.Step decided on and that was recorded before it is performed. Performing it twice
// must leave what performing it once leaves: whoever performs recognises it by ID.
type Intent struct {
	ID      string     `json:"id"` // site, n of the fact that recorded it: "shop.17"
	Kind    IntentKind `json:"kind"`
	Site    SiteName   `json:"site"`
	Release ReleaseID  `json:"release"`
	From    ReleaseID  `json:"from,omitempty"`
	// Urgent intents take visitors away from a release. They go on where others would fail: an edge that cannot write
	// its state still moves, and says that it could not.
	Urgent bool `json:"urgent,omitempty"`
	// Cold goes on where the release's app does not answer: no release that was tried before it has one that does. It is
	// not recorded.
	Cold bool `json:"-"`
	// Route is computed from the state each time the intent is performed, and is not recorded.
	Route Route `json:"-"`
}

// EventKind says what happened.
type EventKind string

// The events a rollout is driven by: a person's requests, and the results of intents.
const (
	EventCreate    EventKind = "create"    // a site is created
	EventRequest   EventKind = "request"   // a deploy begins: its upload is open
	EventSealed    EventKind = "sealed"    // its release is sealed; Sealed holds it
	EventAbandoned EventKind = "abandoned" // its upload ended without a release
	EventPromote   EventKind = "promote"
	EventRollback  EventKind = "rollback"
	EventUndo      EventKind = "undo"
	EventRetire    EventKind = "retire"
	EventNote      EventKind = "note"
	EventCollected EventKind = "collected" // bytes of Releases were deleted
	EventDamaged   EventKind = "damaged"
	EventRouted    EventKind = "routed"  // result of IntentRoute
	EventFailed    EventKind = "failed"  // an intent could not be performed; production is as before it
	EventProceed   EventKind = "proceed" // nothing happened: go on with what the state leaves to do

	EventSiteSet    EventKind = "site-set"    // Site holds the rules as they are to be
	EventSiteRemove EventKind = "site-remove" // the site ends
	EventOffline    EventKind = "offline"     // RetryAfter is what visitors are told
	EventOnline     EventKind = "online"
	EventForget     EventKind = "forget" // Gone answer 410; Release, where one is named, loses its bytes
)

// Event is one input of rollout.Step. Time is part of it: Step has no clock.
type Event struct {
	Kind  EventKind `json:"kind"`
	At    time.Time `json:"at"`
	Actor string    `json:"actor"`
	Why   string    `json:"why,omitempty"`
	// Rollout is the n of the fact that requested the rollout: of sealed and abandoned.
	Rollout int64 `json:"rollout,omitempty"`
	// Release is the release asked for: of promote, retire and note; of a rollback only when it was done before it
	// could be recorded.
	Release ReleaseID `json:"release,omitempty"`
	// Releases lists releases: of collected those deleted; of rollback, promote and undo those that are not whole and
	// therefore no targets.
	Releases []ReleaseID `json:"releases,omitempty"`
	// Sealed is the sealed release, without ID and State: of sealed.
	Sealed Release `json:"sealed,omitzero"`
	// NoLive leaves a sealed release uploaded, and ends its rollout there.
	NoLive bool `json:"no_live,omitempty"`
	// Act is the n of the act to be undone, 0 for the last: of undo.
	Act int64 `json:"act,omitempty"`
	// Intent is the ID of the intent whose result this is.
	Intent string `json:"intent,omitempty"`
	// Done lists what a performed intent took back or moved, for people and for JSON.
	Done []Done `json:"done,omitempty"`
	// Unsaved says that the edge moved but could not write its state: until it can, a restart serves what was before.
	Unsaved bool `json:"unsaved,omitempty"`
	// Site is the site to create, or its rules as they are to be: of create and site-set.
	Site Site `json:"site,omitzero"`
	// RetryAfter is what visitors of a site that is offline are told, in seconds: of offline.
	RetryAfter int `json:"retry_after,omitempty"`
	// Gone are URL paths: of forget.
	Gone []string `json:"gone,omitempty"`
	// Bytes is what deleting Releases frees on the disk: of collected.
	Bytes int64 `json:"bytes,omitempty"`
}

// Done is one part of an act and how long it took.
type Done struct {
	What string  `json:"what"` // routing, edge-cache, worker, data, cdn, tabs
	MS   float64 `json:"ms"`
}
