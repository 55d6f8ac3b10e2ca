package ledger

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"sort"
	"sync"

	"aplomb"
)

// Chain is one site's chain in memory: its head, its records and its newest entries. Every version of the ledger
// publishes through one, once an entry is durable; reading and following it never waits for a writer's disk.
type Chain struct {
	keep int // how many of the newest entries are held; 0 means all

	// mu guards the rest, for lines only.
	mu      sync.Mutex
	head    aplomb.Head
	records map[string]json.RawMessage
	recent  []Entry       // append-only: readers hold parts of it
	floor   int64         // every entry with N > floor is in recent
	more    chan struct{} // closed and replaced at each publication
}

// Older reads entries with N > after that a chain no longer holds, oldest first, as many as it likes. None means that
// there are none before those the chain holds.
type Older func(after int64) ([]Entry, error)

// NewChain returns a chain that stands at s and holds the newest keep entries published from then on; 0 means all.
func NewChain(s Snapshot, keep int) *Chain {
	c := &Chain{keep: keep, head: s.Head, floor: s.Head.N, more: make(chan struct{})}
	c.records = maps.Clone(s.Records)
	if c.records == nil {
		c.records = map[string]json.RawMessage{}
	}
	return c
}

// Head returns the position after the newest entry.
func (c *Chain) Head() aplomb.Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head
}

// Load returns head and records, as of one moment. The values are shared: nobody may write into them.
func (c *Chain) Load() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Snapshot{Head: c.head, Records: maps.Clone(c.records)}
}

// Publish makes a durable entry visible and wakes every follower. The caller is the chain's only writer and has
// checked that e follows the head.
func (c *Chain) Publish(e Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publish(e)
}

// Restart publishes the entry with which a recovery begins, on top of s. Entries held from before stay readable.
func (c *Chain) Restart(s Snapshot, e Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records = maps.Clone(s.Records)
	c.publish(e)
}

func (c *Chain) publish(e Entry) {
	Apply(c.records, e.Writes)
	c.head = e.Head
	c.recent = append(c.recent, e)
	if c.keep > 0 && len(c.recent) >= 2*c.keep {
		old := len(c.recent) - c.keep
		c.floor = c.recent[old-1].Head.N
		c.recent = slices.Clone(c.recent[old:])
	}
	close(c.more)
	c.more = make(chan struct{})
}

// Apply moves records as writes say.
func Apply(records map[string]json.RawMessage, writes []Write) {
	for _, w := range writes {
		if len(w.Value) == 0 {
			delete(records, w.Key)
			continue
		}
		records[w.Key] = w.Value
	}
}

// held returns the entries in memory with N > after, and whether those are all there are.
func (c *Chain) held(after int64) ([]Entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.recent), func(i int) bool { return c.recent[i].Head.N > after })
	return c.recent[i:len(c.recent):len(c.recent)], after >= c.floor
}

func (c *Chain) position() (n int64, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head.N, c.more
}

// Entries yields the entries with N > after up to the head of now, reading with older what the chain does not hold.
// When ctx ends early it yields that as an error.
func (c *Chain) Entries(ctx context.Context, after int64, older Older) iter.Seq2[Entry, error] {
	upto, _ := c.position()
	return func(yield func(Entry, error) bool) {
		if _, ok := c.walk(ctx, after, upto, older, yield); !ok || ctx.Err() == nil {
			return
		}
		yield(Entry{}, ctx.Err())
	}
}

// Follow yields like Entries and then waits for further ones, until ctx ends or done is closed.
func (c *Chain) Follow(ctx context.Context, after int64, done <-chan struct{}, older Older) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			upto, more := c.position()
			last, ok := c.walk(ctx, after, upto, older, yield)
			if !ok {
				return
			}
			after = max(last, after)
			select {
			case <-ctx.Done():
				return
			case <-done:
				return
			case <-more:
			}
		}
	}
}

// Find returns the entry of fact n, aplomb.ErrNotFound where there is none.
func (c *Chain) Find(n int64, older Older) (Entry, error) {
	entries, all := c.held(n - 1)
	if !all {
		stored, err := older(n - 1)
		if err != nil {
			return Entry{}, err
		}
		if len(stored) > 0 {
			entries = stored
		}
	}
	if len(entries) == 0 || entries[0].Head.N != n {
		return Entry{}, aplomb.ErrNotFound
	}
	return entries[0], nil
}

// walk yields the entries with after < N <= upto and returns the last N it yielded. It is not ok when the consumer
// stopped or an error was yielded; it ends early, and ok, when ctx ends.
func (c *Chain) walk(ctx context.Context, after, upto int64, older Older, yield func(Entry, error) bool) (last int64, ok bool) {
	for after < upto {
		entries, all := c.held(after)
		if !all {
			stored, err := older(after)
			if err != nil {
				yield(Entry{}, err)
				return after, false
			}
			if len(stored) > 0 {
				entries = stored
			}
		}
		if len(entries) == 0 {
			return after, true
		}
		for _, e := range entries {
			if ctx.Err() != nil || e.Head.N > upto {
				return after, true
			}
			if !yield(e, nil) {
				return after, false
			}
			after = e.Head.N
		}
	}
	return after, true
}
