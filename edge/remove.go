package edge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"aplomb"
)

// Remove ends the serving of a site: its state is taken off the disk, then no request that starts is answered for it any
// more, and its hosts are free. It is idempotent: a site that is not served is removed.
func (e *Edge) Remove(_ context.Context, in aplomb.Intent) (aplomb.Event, error) {
	began := time.Now()
	if in.Kind != aplomb.IntentRemove {
		return aplomb.Event{}, fmt.Errorf("perform %s: %w: not a removal", in.ID, aplomb.ErrInternal)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.state.removeAll(in.Site); err != nil {
		return aplomb.Event{}, fmt.Errorf("perform %s: %w", in.ID, err)
	}
	next := e.table.Load().without(in.Site)
	e.swap(next)
	e.unsaved.settle(in.Site)
	delete(e.left, in.Site)
	e.shelf.trim(next.routes(), slices.Collect(maps.Values(e.left)))
	e.shelf.apps.settle(next.sites, e.shelf)
	next.out.bodies.clear()
	return aplomb.Event{At: time.Now(), Intent: in.ID, Done: []aplomb.Done{{What: "routing", MS: float64(time.Since(began).Microseconds()) / 1000}}}, nil
}

// without returns a table in which one site is missing.
func (t *Table) without(name aplomb.SiteName) *Table {
	next := *t
	ofSite := func(_ aplomb.Host, s *site) bool { return s.route.Site.Name == name }
	next.hosts, next.sites = maps.Clone(t.hosts), maps.Clone(t.sites)
	maps.DeleteFunc(next.hosts, ofSite)
	delete(next.sites, name)
	if t.previews != nil {
		previews := *t.previews
		previews.hosts = maps.Clone(t.previews.hosts)
		maps.DeleteFunc(previews.hosts, ofSite)
		next.previews = &previews
	}
	return &next
}

// loses reports whether bytes that were served for a site before are not to be served by next: a URL became gone, or a
// release is not kept any more.
func loses(before *site, next aplomb.Route) bool {
	if before == nil {
		return false
	}
	if !slices.Equal(before.route.Site.Gone, next.Site.Gone) {
		return true
	}
	return slices.ContainsFunc(before.route.Kept, func(k aplomb.KeptRelease) bool {
		_, kept := next.Find(k.ID)
		return !kept
	})
}

// clear forgets every body that is kept in memory.
func (b *bodies) clear() {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		clear(s.of)
		s.ring, s.hand, s.bytes = nil, 0, 0
		s.mu.Unlock()
	}
}
