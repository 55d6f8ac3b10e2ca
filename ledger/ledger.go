// Package ledger is durable truth: per site, a chain of facts and the records they move. It says what a ledger
// promises and holds the rules of the chain; it stores nothing itself, apart from the memory version for tests.
package ledger

import (
	"context"
	"encoding/json"
	"iter"

	"aplomb"
)

// Write sets one record of a site, or deletes it when Value is nil.
type Write struct {
	Key   string          `json:"key"` // "state", "rel/r12"
	Value json.RawMessage `json:"value,omitempty"`
}

// Snapshot is a site's records at a position of its chain.
type Snapshot struct {
	Head    aplomb.Head
	Records map[string]json.RawMessage
}

// Entry is one acknowledged fact with its place on the chain and the records it moved.
type Entry struct {
	Head   aplomb.Head // the position after this fact; Head.N == Fact.N
	Prev   aplomb.Digest
	Fact   aplomb.Fact
	Writes []Write
}

// Ledger keeps one chain of facts per site. All methods may be called concurrently.
//
// An error is of one of these kinds (errors.Is): aplomb.ErrNotFound (no such site), aplomb.ErrConflict (Append: the
// head is not the expected one), aplomb.ErrDegraded (the site's chain is damaged or uncertain: nothing is written until it
// is recovered, the cause names the file), aplomb.ErrNoSpace (nothing was written). Any other error of Append means
// uncertain: the fact may be durable; load the head before deciding.
type Ledger interface {
	// Sites lists the sites that have a chain, damaged ones included, in order of their names.
	Sites(ctx context.Context) ([]aplomb.SiteName, error)

	// Load returns the newest records of a site and its head.
	Load(ctx context.Context, site aplomb.SiteName) (Snapshot, error)

	// Append adds one fact and moves records in one compare-and-swap: it does nothing unless the site's head is
	// expect (the zero Head for a new site). It sets fact.N to expect.N+1 and returns the new head. When it returns
	// without an error, fact and records are durable together, and followers may see them.
	Append(ctx context.Context, site aplomb.SiteName, expect aplomb.Head, fact aplomb.Fact, writes []Write) (aplomb.Head, error)

	// Entries yields the entries of a site with N > after, oldest first, up to the head at the time of the call. The
	// newest 1,000 come from memory, older ones from storage.
	Entries(ctx context.Context, site aplomb.SiteName, after int64) iter.Seq2[Entry, error]

	// Follow yields like Entries, and then waits for further entries, until ctx ends (which yields no error). It
	// never yields an entry twice, never goes backwards and leaves none out. A slow follower never delays Append.
	Follow(ctx context.Context, site aplomb.SiteName, after int64) iter.Seq2[Entry, error]

	// SetAside takes the chain of a site that has ended out of the ledger and keeps its bytes; it returns where, in words.
	// From then on the site is unknown, and its name free for a chain that begins anew. A site that the ledger does not
	// know is aplomb.ErrNotFound: done before, by a process that was stopped. After another error the chain is still
	// there, or set aside, and SetAside may be called again. Follow of the old chain ends with its context.
	SetAside(ctx context.Context, site aplomb.SiteName) (string, error)

	// Close makes every later call fail and ends every Follow. It loses nothing that was acknowledged.
	Close() error
}
