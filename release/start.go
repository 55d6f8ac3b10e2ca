package release

import (
	"context"
	"errors"
	"fmt"

	"aplomb"
	"aplomb/blob"
	"aplomb/rollout"
)

// Start loads every site, compares it with what the edge serves, and finishes what a crash left unfinished. Sites
// whose ledger is damaged, behind or forked are degraded, not an error.
func (m *Manager) Start(ctx context.Context) error {
	names, err := m.cfg.Ledger.Sites(ctx)
	if err != nil {
		return fmt.Errorf("list sites: %w", err)
	}
	for _, name := range names {
		m.drivers[name] = m.newDriver(name)
	}
	for _, r := range m.cfg.Served() {
		if _, ok := m.drivers[r.Site.Name]; !ok {
			m.drivers[r.Site.Name] = m.newDriver(r.Site.Name)
		}
	}
	for _, d := range m.all() {
		d.load(ctx)
		d.start()
	}
	for _, d := range m.all() {
		err := d.do(ctx, d.resume)
		if err != nil {
			m.lg.Error("site not brought up to date", "site", d.name, "err", err)
		}
	}
	for _, d := range m.all() {
		m.nameMissing(ctx, d)
	}
	return nil
}

// nameMissing says which files of what is live are not there.
func (m *Manager) nameMissing(ctx context.Context, d *driver) {
	s := d.view.Load().state
	if s.Live == "" {
		return
	}
	for _, ref := range m.cfg.Blobs.Missing(refs(notGone(d.manifest(s.Releases[s.Live]).Files, goneOf(s.Site)))) {
		m.Damaged(ctx, blob.Damage{Digest: ref.Digest, Why: "missing, or not of its size"})
	}
}

// load reads a site's records and decides whether they can be trusted, with what the edge serves as the other anchor.
func (d *driver) load(ctx context.Context) {
	defer d.publish()
	snap, err := d.m.cfg.Ledger.Load(ctx, d.name)
	served, has := d.served()
	switch {
	case errors.Is(err, aplomb.ErrNotFound):
		d.degraded = fmt.Errorf("the ledger of %s is gone; the edge serves %s as of n %d: %w", d.name, served.Live, served.Head.N, aplomb.ErrDegraded)
	case err != nil:
		d.degraded = err
	}
	d.head = snap.Head
	state, bad := stateOf(snap)
	if bad != nil && d.degraded == nil {
		d.degraded = fmt.Errorf("the records of %s cannot be used: %w: %w", d.name, bad, aplomb.ErrDegraded)
	}
	d.state = state
	if d.degraded == nil && has {
		d.degraded = d.compare(ctx, served)
	}
	if d.degraded != nil {
		d.m.lg.Error("ledger refuses to write", "site", d.name, "err", d.degraded)
		return
	}
	if has && served.Unrecorded && served.Live != d.state.Live {
		d.unrecorded = lateFrom(d.state, served)
	}
	if has {
		d.unrecorded = append(d.unrecorded, lateShown(d.state, d.head, served, d.m.cfg.Now())...)
	}
	for e, err := range d.m.cfg.Ledger.Entries(ctx, d.name, max(0, d.head.N-200)) {
		if err == nil && e.Fact.Kind.IsAct() && e.Fact.Rollout != 0 {
			d.acts[e.Fact.Rollout] = e.Fact.N
		}
	}
}

// compare holds the ledger against what the edge serves: a ledger behind it, or on another branch, lost something.
func (d *driver) compare(ctx context.Context, served aplomb.Route) error {
	switch {
	case served.Head.Epoch < d.head.Epoch:
		return nil
	case d.head.Before(served.Head):
		return fmt.Errorf("the ledger of %s ends at n %d; the edge serves %s as of n %d: %w", d.name, d.head.N, served.Live, served.Head.N, aplomb.ErrDegraded)
	case served.Head.N == 0:
		return nil
	}
	for e, err := range d.m.cfg.Ledger.Entries(ctx, d.name, served.Head.N-1) {
		if err != nil {
			return fmt.Errorf("read n %d of %s: %w: %w", served.Head.N, d.name, err, aplomb.ErrDegraded)
		}
		if e.Head.SHA != served.Head.SHA {
			return fmt.Errorf("the ledger of %s and the edge differ at n %d: %w", d.name, served.Head.N, aplomb.ErrDegraded)
		}
		return nil
	}
	return fmt.Errorf("the ledger of %s has no n %d: %w", d.name, served.Head.N, aplomb.ErrDegraded)
}

// resume finishes what a crash left unfinished, ends the uploads it cut off, and brings the edge up to date.
func (d *driver) resume(ctx context.Context) error {
	if d.degraded != nil {
		return nil
	}
	if d.state.Removed {
		_, err := d.vanish(ctx)
		return err
	}
	if err := d.catchUp(ctx); err != nil {
		return err
	}
	for _, r := range d.state.Rollouts {
		if r.Stage != rollout.StageUpload {
			continue
		}
		ev := aplomb.Event{Kind: aplomb.EventAbandoned, At: d.m.cfg.Now(), Actor: "aplomb", Why: "the server was restarted during the upload", Rollout: r.N}
		if _, err := d.apply(ctx, ev); err != nil && !errors.Is(err, rollout.ErrNothing) {
			return err
		}
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	return d.refresh(ctx, true)
}

// refresh gives the edge the route of the newest head where it has an older one. The live release stays what it is. An
// urgent one goes on where the edge cannot write its state.
func (d *driver) refresh(ctx context.Context, urgent bool) error {
	served, has := d.served()
	if d.state.Pending != nil || d.state.Removed || d.head.N == 0 || has && served.Head == d.head {
		return nil
	}
	if d.state.Live == "" && !has && d.state.Site.Offline == nil && len(d.state.Releases) == 0 {
		return nil // there is nothing to answer with
	}
	in := aplomb.Intent{
		ID: fmt.Sprintf("%s.%d.refresh", d.name, d.head.N), Kind: aplomb.IntentRoute, Site: d.name,
		Release: d.state.Live, From: served.Live, Urgent: urgent, Route: d.state.Route(d.head),
	}
	if _, err := d.m.cfg.Performers[in.Kind](ctx, in); err != nil {
		return fmt.Errorf("bring the edge up to date: %w", err)
	}
	return nil
}
