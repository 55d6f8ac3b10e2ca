package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"aplomb"
	"aplomb/rollout"
)

// Rollback takes back what is under way, or goes to the release that was live before. It needs nothing but the edge:
// when the ledger cannot take the fact, the edge moves all the same, and Back.Recorded is false.
func (m *Manager) Rollback(ctx context.Context, ask Ask, site aplomb.SiteName) (Back, error) {
	d, err := m.driver(site)
	if err != nil {
		return Back{}, err
	}
	begun := m.cfg.Now()
	var back Back
	err = d.doUrgent(ctx, func(ctx context.Context) error {
		back, err = d.rollback(ctx, ask, begun)
		return err
	})
	return back, d.tell(err)
}

// Undo reverses the last act that visitors saw. act is its n, or 0.
func (m *Manager) Undo(ctx context.Context, ask Ask, site aplomb.SiteName, act int64) (Back, error) {
	d, err := m.driver(site)
	if err != nil {
		return Back{}, err
	}
	begun := m.cfg.Now()
	var back Back
	err = d.doUrgent(ctx, func(ctx context.Context) error {
		ev := aplomb.Event{Kind: aplomb.EventUndo, At: begun, Actor: ask.Actor, Why: ask.Why, Act: act}
		if last := d.state.LastAct; last != nil {
			if rel, ok := d.state.Releases[last.From]; ok && !d.whole(rel) {
				ev.Releases = []aplomb.ReleaseID{rel.ID}
			}
		}
		from := d.state.Live
		o, err := d.apply(ctx, ev)
		if err != nil {
			return err
		}
		back = d.back(o, from, begun)
		d.goOn(ctx)
		return nil
	})
	return back, d.tell(err)
}

// rollback tries the targets in their order until the edge is on one. Where there is none left but such as have an app that
// does not answer, the newest of these is taken all the same: what is live now was called worse.
func (d *driver) rollback(ctx context.Context, ask Ask, begun time.Time) (Back, error) {
	ev := aplomb.Event{Kind: aplomb.EventRollback, At: begun, Actor: ask.Actor, Why: ask.Why}
	var cold []aplomb.ReleaseID
	defer func() { d.cold = false }()
	for {
		if d.catchUp(ctx) != nil {
			return d.rollbackUnrecorded(ctx, ev, begun)
		}
		ev.Releases = d.brokenBefore(ev.Releases)
		from := d.state.Live
		o, err := d.apply(ctx, ev)
		switch {
		case err == nil:
			b := d.back(o, from, begun)
			d.goOn(ctx)
			return b, nil
		case errors.Is(err, errFailed) && len(o.Commands) > 0:
			d.m.lg.Warn("rollback target skipped", "site", d.name, "release", o.Commands[0].Release, "err", err)
			ev.Releases = append(ev.Releases, o.Commands[0].Release)
			if isCode(err, aplomb.CodeAppCold) {
				cold = append(cold, o.Commands[0].Release)
			}
		case len(cold) > 0 && !d.cold && isCode(err, aplomb.CodeNoTarget):
			d.cold, ev.Releases = true, without(ev.Releases, cold)
		case refusal(err):
			return Back{}, err
		case d.movedTo(o):
			d.m.lg.Error("rollback done, its result is not recorded", "site", d.name, "err", err)
			b := d.back(o, from, begun)
			b.Recorded = false
			return b, nil
		default:
			d.m.lg.Error("rollback cannot be recorded", "site", d.name, "err", err)
			return d.rollbackUnrecorded(ctx, ev, begun)
		}
	}
}

// isCode reports whether an error has the code.
func isCode(err error, code aplomb.Code) bool {
	e, ok := errors.AsType[*aplomb.Error](err)
	return ok && e.Code == code
}

// without returns the releases that are not among others.
func without(ids, others []aplomb.ReleaseID) []aplomb.ReleaseID {
	return slices.DeleteFunc(slices.Clone(ids), func(id aplomb.ReleaseID) bool { return slices.Contains(others, id) })
}

// goOn settles what is left after an act; the act stands whatever becomes of it.
func (d *driver) goOn(ctx context.Context) {
	if err := d.settle(ctx); err != nil {
		d.m.lg.Error("rollouts wait", "site", d.name, "err", err)
	}
}

// movedTo reports whether the edge already serves what the outcome asked for.
func (d *driver) movedTo(o rollout.Outcome) bool {
	r, ok := d.served()
	return ok && len(o.Commands) > 0 && r.Live == o.Commands[0].Release
}

// refusal reports whether an error is the answer, rather than a ledger that cannot be written.
func refusal(err error) bool {
	var e *aplomb.Error
	return errors.As(err, &e) && !errors.Is(err, aplomb.ErrDegraded) && !errors.Is(err, aplomb.ErrNoSpace)
}

// brokenBefore adds to broken the releases a rollback would choose before the first whole one.
func (d *driver) brokenBefore(broken []aplomb.ReleaseID) []aplomb.ReleaseID {
	for _, rel := range d.state.Targets(broken) {
		if d.whole(rel) {
			break
		}
		broken = append(broken, rel.ID)
	}
	return broken
}

// back describes an act that took visitors back. The outcome is that of the intent; its act is the last one.
func (d *driver) back(o rollout.Outcome, from aplomb.ReleaseID, begun time.Time) Back {
	b := Back{Site: d.name, From: from, To: d.state.Live, Undone: []aplomb.Done{}, Pending: []string{}, NotUndone: notUndone(from), Recorded: true, Undid: o.Fact.Act}
	if p := o.State.Pending; p != nil {
		b.To, b.Ended = p.Intent.Release, p.Ended
	}
	if last := d.state.LastAct; last != nil {
		b.Act, b.LiveSince = last.N, last.At
	}
	b.Undone = d.done
	if d.unsaved {
		b.Pending = append(b.Pending, pendingState)
	}
	b.TookMS = ms(d.m.cfg.Now().Sub(begun))
	return b
}

// pendingState is what is pending while the edge's own disk does not hold what it serves: a restart would serve what was
// before.
const pendingState = "edge-state"

// notUndone says what a rollback does not reach, and why.
func notUndone(from aplomb.ReleaseID) []NotUndone {
	return []NotUndone{
		{What: "tabs", Why: fmt.Sprintf("open tabs stay on %s until their next navigation; its files stay served", from)},
		{What: "data", Why: "no data change is part of a release"},
	}
}

// rollbackUnrecorded moves the edge alone, along the list the edge itself keeps, and remembers what has to be recorded.
func (d *driver) rollbackUnrecorded(ctx context.Context, ev aplomb.Event, begun time.Time) (Back, error) {
	served, ok := d.served()
	if !ok {
		return Back{}, noTargetUnrecorded(d.name, "the edge does not serve it")
	}
	skip, cold, last := ev.Releases, []aplomb.ReleaseID(nil), false
	for {
		next, ok := takeBack(served, ev, skip)
		if !ok && len(cold) > 0 && !last {
			last, skip = true, without(skip, cold)
			continue
		}
		if !ok {
			return Back{}, noTargetUnrecorded(d.name, fmt.Sprintf("%s is the only release left that visitors have seen and that was not withdrawn", served.Live))
		}
		in := aplomb.Intent{
			ID: fmt.Sprintf("%s.%d.unrecorded.%s", d.name, served.Head.N, next.Live), Kind: aplomb.IntentRoute, Site: d.name,
			Release: next.Live, From: served.Live, Urgent: true, Cold: last, Route: next,
		}
		done, err := d.m.cfg.Performers[in.Kind](ctx, in)
		if err != nil {
			d.m.lg.Warn("rollback target skipped", "site", d.name, "release", next.Live, "err", err)
			skip = append(slices.Clone(skip), next.Live)
			if isCode(err, aplomb.CodeAppCold) {
				cold = append(cold, next.Live)
			}
			continue
		}
		if d.degraded == nil {
			ev.Release, ev.Releases = next.Live, nil
			d.unrecorded = append(d.unrecorded, ev)
		}
		d.publish()
		b := Back{
			Site: d.name, From: served.Live, To: next.Live, Undone: done.Done, Pending: []string{}, NotUndone: notUndone(served.Live),
			TookMS: ms(d.m.cfg.Now().Sub(begun)), LiveSince: next.Since, Recorded: false,
		}
		if done.Unsaved {
			b.Pending = append(b.Pending, pendingState)
		}
		return b, nil
	}
}

func noTargetUnrecorded(site aplomb.SiteName, why string) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeNoTarget, fmt.Sprintf("%s not rolled back", site), why, "aplomb recover, or aplomb offline --reason \"…\"")
}

// takeBack is a rollback on a route alone: to the first kept release that was replaced and is not in skip. The
// release it leaves is bad.
func takeBack(r aplomb.Route, ev aplomb.Event, skip []aplomb.ReleaseID) (aplomb.Route, bool) {
	i := slices.IndexFunc(r.Kept, func(k aplomb.KeptRelease) bool {
		return k.State == aplomb.Replaced && k.ID != r.Live && !slices.Contains(skip, k.ID)
	})
	if i < 0 {
		return r, false
	}
	kept := slices.Clone(r.Kept)
	target := kept[i]
	target.State, target.LastLive = aplomb.Live, time.Time{}
	kept = slices.Delete(kept, i, i+1)
	for j := range kept {
		if kept[j].ID == r.Live {
			kept[j].State, kept[j].LastLive = aplomb.Bad, ev.At
		}
	}
	// The release that was live stood first, before the targets; withdrawn, it stands behind them.
	if len(kept) > 0 && kept[0].ID == r.Live {
		kept = append(kept[1:], kept[0])
	}
	r.Kept = append([]aplomb.KeptRelease{target}, kept...)
	r.Live, r.Since = target.ID, ev.At
	r.Unrecorded, r.UnrecordedBy, r.UnrecordedWhy = true, ev.Actor, ev.Why
	return r, true
}

// recordLate enters the rollbacks that the edge did while the ledger could not be written.
func (d *driver) recordLate(ctx context.Context) error {
	for len(d.unrecorded) > 0 {
		ev := d.unrecorded[0]
		if _, err := d.step(ctx, ev); err != nil && !errors.Is(err, rollout.ErrNothing) {
			return fmt.Errorf("record the %s late: %w", ev.Kind, err)
		}
		d.unrecorded = d.unrecorded[1:]
		d.publish()
	}
	return nil
}

// lateFrom rebuilds, after a restart, the events of rollbacks that the edge did unrecorded: from the ledger's live release
// one target after the other until the one the edge serves.
func lateFrom(s rollout.State, served aplomb.Route) []aplomb.Event {
	var out []aplomb.Event
	for _, rel := range s.Targets(nil) {
		if k, ok := served.Find(rel.ID); ok && (k.State == aplomb.Bad || k.ID == served.Live) {
			out = append(out, aplomb.Event{Kind: aplomb.EventRollback, At: served.Since, Actor: served.UnrecordedBy, Why: served.UnrecordedWhy, Release: rel.ID})
		}
		if rel.ID == served.Live {
			return out
		}
	}
	return nil
}
