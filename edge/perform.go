package edge

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"syscall"
	"time"

	"aplomb"
)

// nextTargets is how many releases behind the live one are kept ready for a rollback.
const nextTargets = 3

// Perform moves a site's visitors to the release of a route intent, and returns when every request that starts from
// then on is answered from it. It is idempotent: a route that is served already is done.
//
// The order is: the release is made ready; its route is written where a restart finds it; then one pointer is swapped.
// An urgent intent goes on where the route cannot be written, and the event says so; it is written again until it can.
func (e *Edge) Perform(ctx context.Context, in aplomb.Intent) (aplomb.Event, error) {
	began := time.Now()
	if in.Kind != aplomb.IntentRoute || in.Site != in.Route.Site.Name || in.Release != in.Route.Live {
		return aplomb.Event{}, fmt.Errorf("perform %s: %w: intent and route do not belong together", in.ID, aplomb.ErrInternal)
	}
	if err := e.warmApps(ctx, in); err != nil {
		return aplomb.Event{}, fmt.Errorf("perform %s: %w", in.ID, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	table := e.table.Load()
	before := table.sites[in.Site]
	done, err := follows(before, in.Route)
	if err != nil {
		return aplomb.Event{}, fmt.Errorf("perform %s: %w", in.ID, err)
	}
	if done {
		if e.unsaved.has(in.Site) {
			e.saveServed(in.Site)
		}
		return e.routed(in, began, false), nil
	}
	next, err := e.prepare(table, before, in.Route)
	if err == nil && !in.Urgent {
		err = ctx.Err()
	}
	if err != nil {
		return aplomb.Event{}, fmt.Errorf("perform %s: %w", in.ID, err)
	}
	if err := e.save(in); err != nil {
		return aplomb.Event{}, fmt.Errorf("perform %s: %w", in.ID, err)
	}
	e.swap(next)
	if loses(before, in.Route) {
		next.out.bodies.clear()
	}
	ev := e.routed(in, began, workersMoved(before, next.sites[in.Site]))
	e.settleAfter(before, next)
	return ev, nil
}

// routed is the event of a switch that is in front of the visitors.
func (e *Edge) routed(in aplomb.Intent, began time.Time, workers bool) aplomb.Event {
	ms := float64(time.Since(began).Microseconds()) / 1000
	ev := aplomb.Event{
		Kind: aplomb.EventRouted, At: time.Now(), Release: in.Release, Intent: in.ID,
		Done: []aplomb.Done{{What: "routing", MS: ms}}, Unsaved: e.unsaved.has(in.Site),
	}
	if workers {
		ev.Done = append(ev.Done, aplomb.Done{What: "worker", MS: ms})
	}
	return ev
}

// follows decides whether next may take the place of what is served. An edge never goes back to an older position of
// the site's chain, and never to another one at the same position, except by a rollback that could not be recorded.
func follows(served *site, next aplomb.Route) (done bool, err error) {
	if served == nil {
		return false, nil
	}
	was := served.route
	switch {
	case next.Head.Before(was.Head):
		return false, fmt.Errorf("ledger rewound: it is at %s, this edge serves %s: %w", place(next.Head), place(was.Head), aplomb.ErrDegraded)
	case was.Head.Before(next.Head):
		return false, nil
	case next.Head.SHA != was.Head.SHA:
		return false, fmt.Errorf("fork: the ledger and this edge differ at %s: %w", place(was.Head), aplomb.ErrDegraded)
	case next.Live != was.Live && !next.Unrecorded:
		return false, fmt.Errorf("%s and %s at the same position %s: %w", was.Live, next.Live, place(was.Head), aplomb.ErrConflict)
	}
	return sameRoute(was, next) && served.unreadable == nil, nil
}

func place(h aplomb.Head) string { return fmt.Sprintf("epoch %d, n %d", h.Epoch, h.N) }

func sameRoute(a, b aplomb.Route) bool {
	return a.Live == b.Live && a.Unrecorded == b.Unrecorded && reflect.DeepEqual(a.Site, b.Site) &&
		slices.EqualFunc(a.Kept, b.Kept, func(a, b aplomb.KeptRelease) bool {
			return a.ID == b.ID && a.Manifest == b.Manifest && a.State == b.State
		})
}

// prepare makes the next table, with a release that can be answered from at once.
func (e *Edge) prepare(table *Table, before *site, route aplomb.Route) (*Table, error) {
	s, unread := e.shelf.site(route, before)
	if s.unreadable != nil {
		return nil, s.unreadable
	}
	for _, err := range unread {
		e.lg.Error("kept release cannot be read", "err", err)
	}
	if live, ok := route.Find(route.Live); ok && (before == nil || before.route.Live != route.Live) {
		if err := e.shelf.warm(live.Manifest, s.live, route.Site.Gone, table.out); err != nil {
			return nil, fmt.Errorf("%s is not whole: %w", route.Live, err)
		}
	}
	return table.with(s)
}

// save writes the route of an intent. Where that fails the file may hold either route. An urgent switch goes on, and it is
// written again until it holds that route; any other is refused, and the file is put right before that is said.
func (e *Edge) save(in aplomb.Intent) error {
	err := e.state.save(in.Route)
	if err != nil && in.Urgent && isFull(err) && e.cfg.FreeReserve != nil {
		if free := e.cfg.FreeReserve(); free != nil {
			e.lg.Error("reserve not freed", "err", free)
		}
		err = e.state.save(in.Route)
	}
	if err == nil {
		e.unsaved.settle(in.Site)
		return nil
	}
	if isFull(err) {
		err = fmt.Errorf("%w: %w", aplomb.ErrNoSpace, err)
	}
	if !in.Urgent {
		e.putRight(in.Site, err)
		return err
	}
	e.unsaved.note(in.Site, err)
	e.wake()
	e.lg.Error("route not saved, moving all the same", "site", in.Site, "release", in.Release, "err", err)
	return nil
}

// putRight makes the file of a site say what is served again, after a route for it failed to be written and was refused: a
// crash must not bring a refused release in front of the visitors.
func (e *Edge) putRight(name aplomb.SiteName, why error) {
	var served *aplomb.Route
	if s := e.table.Load().sites[name]; s != nil {
		served = &s.route
	}
	if !e.unsaved.has(name) && e.state.holds(name, served) {
		return
	}
	e.unsaved.note(name, why)
	if e.saveServed(name) {
		return
	}
	e.wake()
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, aplomb.ErrNoSpace)
}

// settleAfter remembers what was left, and forgets what nobody keeps any more.
func (e *Edge) settleAfter(before *site, next *Table) {
	if before != nil {
		if k, ok := before.route.Find(before.route.Live); ok {
			e.left[before.route.Site.Name] = k.Manifest
		}
	}
	also := make([]aplomb.Digest, 0, len(e.left))
	for _, m := range e.left {
		also = append(also, m)
	}
	e.shelf.trim(next.routes(), also)
	e.shelf.apps.settle(next.sites, e.shelf)
	e.wake()
}

// wake lets Run's keeper look for work. It never blocks.
func (e *Edge) wake() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// workersMoved reports whether some worker's URL answers otherwise than before.
func workersMoved(before, next *site) bool {
	if before == nil || before.live == nil || next.live == nil {
		return false
	}
	for w := range next.union.workers {
		a, b := before.live.files[w], next.live.files[w]
		if (a == nil) != (b == nil) || a != nil && a.digest != b.digest {
			return true
		}
	}
	return false
}

// saveAgain writes the routes that could not be written, as they are served now. It reports whether all are written.
func (e *Edge) saveAgain() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := true
	for name := range e.unsaved.all() {
		all = e.saveServed(name) && all
	}
	return all
}

// saveServed makes a site's state file say what is served, and reports whether it does. A site whose first route was refused
// has none.
func (e *Edge) saveServed(name aplomb.SiteName) bool {
	var err error
	if s := e.table.Load().sites[name]; s != nil {
		err = e.state.save(s.route)
	} else {
		err = e.state.removeRefused(name)
	}
	if err != nil {
		if e.unsaved.note(name, err) {
			e.lg.Warn("route still not saved, it is tried again", "site", name, "err", err)
		}
		return false
	}
	e.unsaved.settle(name)
	e.lg.Info("route saved", "site", name)
	return true
}

// warmTargets reads the releases that the next rollbacks would choose.
func (e *Edge) warmTargets(ctx context.Context) {
	for _, r := range e.Routes() {
		e.warm(ctx, r.Kept[:min(len(r.Kept), nextTargets+1)], r.Site.Gone)
	}
}

func hostTaken(host aplomb.Host, by, wanted aplomb.SiteName) error {
	return fmt.Errorf("host %s of %s belongs to %s: %w", host, wanted, by, aplomb.ErrConflict)
}
