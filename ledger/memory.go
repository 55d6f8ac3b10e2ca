package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"aplomb"
)

// ErrClosed is the error of every call after Close.
var ErrClosed = errors.New("the ledger is closed")

// Memory is a ledger that forgets everything when the process ends: for tests.
type Memory struct {
	done chan struct{}

	// mu guards the rest, and is held while an entry is added.
	mu     sync.Mutex
	chains map[aplomb.SiteName]*Chain
	closed bool
}

var _ Ledger = (*Memory)(nil)

// NewMemory returns an empty ledger.
func NewMemory() *Memory {
	return &Memory{done: make(chan struct{}), chains: map[aplomb.SiteName]*Chain{}}
}

// Sites implements Ledger.
func (m *Memory) Sites(ctx context.Context) ([]aplomb.SiteName, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	return slices.Sorted(maps.Keys(m.chains)), ctx.Err()
}

// Load implements Ledger.
func (m *Memory) Load(ctx context.Context, site aplomb.SiteName) (Snapshot, error) {
	c, err := m.lookup(site)
	if err != nil {
		return Snapshot{}, err
	}
	return c.Load(), ctx.Err()
}

// Append implements Ledger.
func (m *Memory) Append(ctx context.Context, site aplomb.SiteName, expect aplomb.Head, fact aplomb.Fact, writes []Write) (aplomb.Head, error) {
	if err := ctx.Err(); err != nil {
		return aplomb.Head{}, err
	}
	if _, err := aplomb.ParseSiteName(string(site)); err != nil {
		return aplomb.Head{}, fmt.Errorf("append: %w: %w", err, aplomb.ErrInvalid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return aplomb.Head{}, ErrClosed
	}
	c, ok := m.chains[site]
	if !ok {
		c = NewChain(Snapshot{}, 0)
	}
	if err := CheckHead(site, c.Head(), expect); err != nil {
		return aplomb.Head{}, err
	}
	e, _, err := Compose(site, expect, fact, writes)
	if err != nil {
		return aplomb.Head{}, err
	}
	m.chains[site] = c
	c.Publish(e)
	return e.Head, nil
}

// CheckHead is the comparison of Append's compare-and-swap: nil when a site that stands at head may take a fact that
// expects it to stand at expect. The zero head stands for a site that has no chain.
func CheckHead(site aplomb.SiteName, head, expect aplomb.Head) error {
	switch {
	case head == expect:
		return nil
	case head == aplomb.Head{}:
		return fmt.Errorf("append to %s: there is no such site: %w", site, aplomb.ErrNotFound)
	default:
		return fmt.Errorf("append to %s: the head is %d.%d %s, not %d.%d %s: %w", site,
			head.Epoch, head.N, head.SHA.Short(), expect.Epoch, expect.N, expect.SHA.Short(), aplomb.ErrConflict)
	}
}

// Entries implements Ledger.
func (m *Memory) Entries(ctx context.Context, site aplomb.SiteName, after int64) iter.Seq2[Entry, error] {
	c, err := m.lookup(site)
	if err != nil {
		return Fail(err)
	}
	return c.Entries(ctx, after, nothingOlder)
}

// Follow implements Ledger.
func (m *Memory) Follow(ctx context.Context, site aplomb.SiteName, after int64) iter.Seq2[Entry, error] {
	c, err := m.lookup(site)
	if err != nil {
		return Fail(err)
	}
	return c.Follow(ctx, after, m.done, nothingOlder)
}

// SetAside implements Ledger. What was in memory is not kept.
func (m *Memory) SetAside(ctx context.Context, site aplomb.SiteName) (string, error) {
	if _, err := m.lookup(site); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.chains, site)
	return "nowhere", ctx.Err()
}

// Fail yields err and nothing else.
func Fail(err error) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) { yield(Entry{}, err) }
}

// Close implements Ledger.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.done)
	}
	return nil
}

func (m *Memory) lookup(site aplomb.SiteName) (*Chain, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	c, ok := m.chains[site]
	if !ok {
		return nil, fmt.Errorf("ledger of site %q: %w", site, aplomb.ErrNotFound)
	}
	return c, nil
}

// nothingOlder is right where a chain holds every entry.
func nothingOlder(int64) ([]Entry, error) { return nil, nil }
