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

// Bounds of what visitors of a site that is offline are told, in seconds.
const (
	retryAfter    = 300
	maxRetryAfter = 7 * 24 * 3600
)

// Shown is the result of taking a site offline or online.
type Shown struct {
	Site    aplomb.SiteName  `json:"site"`
	Offline *aplomb.Offline  `json:"offline,omitempty"`
	Live    aplomb.ReleaseID `json:"live"`
	N       int64            `json:"n"`
	TookMS  float64          `json:"took_ms"`
	// Recorded is false when the edge moved but the ledger could not take the fact.
	Recorded bool `json:"recorded"`
}

// Offline shows a site's visitors its maintenance page until Online, whatever becomes live meanwhile. Like a rollback it
// needs nothing but the edge. after is what visitors are told, in seconds; 0 stands for five minutes.
func (m *Manager) Offline(ctx context.Context, ask Ask, site aplomb.SiteName, after int) (Shown, error) {
	if after == 0 {
		after = retryAfter
	}
	if after < 1 || after > maxRetryAfter {
		return Shown{}, m.production(site, aplomb.NewError(aplomb.CodeUsage, fmt.Sprintf("%s not taken offline", site), fmt.Sprintf("visitors can be told to come back in 1 to %d seconds", maxRetryAfter), "aplomb offline --retry-after 300 --reason \"…\""))
	}
	return m.show(ctx, site, aplomb.Event{Kind: aplomb.EventOffline, Actor: ask.Actor, Why: ask.Why, RetryAfter: after})
}

// Online ends the maintenance page.
func (m *Manager) Online(ctx context.Context, ask Ask, site aplomb.SiteName) (Shown, error) {
	return m.show(ctx, site, aplomb.Event{Kind: aplomb.EventOnline, Actor: ask.Actor, Why: ask.Why})
}

func (m *Manager) show(ctx context.Context, site aplomb.SiteName, ev aplomb.Event) (Shown, error) {
	d, err := m.driver(site)
	if err != nil {
		return Shown{}, err
	}
	ev.At = m.cfg.Now()
	var out Shown
	err = d.doUrgent(ctx, func(ctx context.Context) error {
		out, err = d.show(ctx, ev)
		out.TookMS = ms(m.cfg.Now().Sub(ev.At))
		return err
	})
	return out, d.tell(err)
}

// show records the act and brings it to the edge; where it cannot be recorded the edge shows it all the same.
func (d *driver) show(ctx context.Context, ev aplomb.Event) (Shown, error) {
	err := d.catchUp(ctx)
	if err == nil {
		_, err = d.step(ctx, ev)
	}
	switch {
	case err == nil:
		if err := d.refresh(ctx, true); err != nil {
			return Shown{}, fmt.Errorf("it is recorded: %w", err)
		}
		return Shown{Site: d.name, Offline: d.state.Site.Offline, Live: d.state.Live, N: d.head.N, Recorded: true}, nil
	case refusal(err), errors.Is(err, rollout.ErrNothing):
		return Shown{}, err
	}
	served, ok := d.served()
	if !ok || ev.Kind == aplomb.EventOffline && ev.Why == "" {
		return Shown{}, err
	}
	d.m.lg.Error("cannot be recorded, the edge does it all the same", "site", d.name, "kind", ev.Kind, "err", err)
	return d.showUnrecorded(ctx, ev, served)
}

// showUnrecorded moves the edge alone, and remembers what has to be recorded. A degraded ledger takes it from the edge
// when it is recovered.
func (d *driver) showUnrecorded(ctx context.Context, ev aplomb.Event, served aplomb.Route) (Shown, error) {
	was := served.Site.Offline
	served.Site.Offline = nil
	if ev.Kind == aplomb.EventOffline {
		served.Site.Offline = &aplomb.Offline{Since: ev.At, By: ev.Actor, Why: ev.Why, RetryAfter: ev.RetryAfter}
		if was != nil {
			served.Site.Offline.Since = was.Since
		}
	} else if was == nil {
		return Shown{}, rollout.ErrNothing
	}
	in := aplomb.Intent{
		ID: fmt.Sprintf("%s.%d.unrecorded.%s", d.name, served.Head.N, ev.Kind), Kind: aplomb.IntentRoute, Site: d.name,
		Release: served.Live, From: served.Live, Urgent: true, Route: served,
	}
	if _, err := d.m.cfg.Performers[in.Kind](ctx, in); err != nil {
		return Shown{}, fmt.Errorf("bring it to the edge: %w", err)
	}
	if d.degraded == nil {
		d.unrecorded = append(d.unrecorded, ev)
	}
	d.publish()
	return Shown{Site: d.name, Offline: served.Site.Offline, Live: served.Live}, nil
}

// lateShown rebuilds, after a restart, the event of a site that was taken off or on while that could not be recorded.
func lateShown(s rollout.State, head aplomb.Head, served aplomb.Route, now time.Time) []aplomb.Event {
	is, was := served.Site.Offline, s.Site.Offline
	switch {
	case served.Head != head || (is == nil) == (was == nil):
		return nil
	case is != nil:
		return []aplomb.Event{{Kind: aplomb.EventOffline, At: is.Since, Actor: is.By, Why: is.Why, RetryAfter: is.RetryAfter}}
	}
	return []aplomb.Event{{Kind: aplomb.EventOnline, At: now, Actor: "aplomb", Why: "online again, entered late"}}
}

// isRollback tells the acts in a list of unrecorded events that move visitors to another release.
func isRollback(events []aplomb.Event) bool {
	return slices.ContainsFunc(events, func(ev aplomb.Event) bool { return ev.Kind == aplomb.EventRollback })
}
