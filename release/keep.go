package release

import (
	"context"
	"fmt"
	"time"

	"aplomb"
	"aplomb/blob"
)

// collectGrace protects blobs that were put a short while ago from being collected.
const collectGrace = 24 * time.Hour

// firstRound is when the daily round comes first after a start, so that a server that is restarted every day has it too.
const firstRound = 10 * time.Minute

// Run makes the slow encodings, collects what no kept release names, scrubs the blobs daily, and retries what could not
// be recorded, until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	often, daily := time.NewTicker(30*time.Second), time.NewTimer(firstRound)
	defer often.Stop()
	defer daily.Stop()
	slow := make(chan struct{})
	go func() {
		defer close(slow)
		m.encodeBest(ctx)
	}()
	defer func() { <-slow }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-often.C:
			m.giveUpIdle(ctx)
			m.retry(ctx)
			m.eraseOwed(ctx)
			m.watchSpace()
		case <-daily.C:
			daily.Reset(24 * time.Hour)
			if _, err := m.Collect(ctx); err != nil {
				m.lg.Error("not collected", "err", err)
			}
			m.Scrub(ctx)
		}
	}
}

// retry goes on with intents and facts whose recording failed.
func (m *Manager) retry(ctx context.Context) {
	for _, d := range m.all() {
		v := d.view.Load()
		if v.degraded != nil || v.state.Pending == nil && v.served == nil && !v.state.Removed && !d.edgeBehind(v) {
			continue
		}
		if v.state.Removed {
			if err := d.do(ctx, d.resume); err != nil {
				m.lg.Warn("site still not removed", "site", d.name, "err", err)
			}
			continue
		}
		if err := d.do(ctx, d.settle); err != nil {
			m.lg.Warn("still not recorded", "site", d.name, "err", err)
		}
	}
}

// edgeBehind reports whether the edge serves what was true before the newest fact.
func (d *driver) edgeBehind(v *view) bool {
	served, ok := d.served()
	return ok && served.Head.Before(v.head)
}

// watchSpace says in the log when the disk becomes nearly full, and when that is over.
func (m *Manager) watchSpace() {
	why := m.lowSpace()
	m.mu.Lock()
	was := m.low
	m.low = why != ""
	m.mu.Unlock()
	switch {
	case why != "" && !was:
		m.lg.Warn("disk nearly full", "what", why, "next", "aplomb collect, or make room")
	case why == "" && was:
		m.lg.Info("the disk has room again")
	}
}

// Freed is what a collection did.
type Freed struct {
	Releases []aplomb.Release `json:"releases"` // those that are no longer kept
	Blobs    int              `json:"blobs"`
	Bytes    int64            `json:"bytes"`
	// Skipped says why nothing was deleted, "" where the collection ran to its end.
	Skipped string `json:"skipped,omitempty"`
}

// Collect deletes the bytes of releases that are kept for nobody any more, and says so on the timeline first. While an
// upload is open it does nothing; an upload that begins meanwhile waits for it, so that what the upload counts as
// already there stays there.
func (m *Manager) Collect(ctx context.Context) (Freed, error) {
	m.collecting.Lock()
	defer m.collecting.Unlock()
	m.mu.Lock()
	leases := m.leases
	m.mu.Unlock()
	out := Freed{Releases: []aplomb.Release{}}
	if leases > 0 {
		out.Skipped = "an upload is open, or a backup is being made"
		return out, nil
	}
	now := m.cfg.Now()
	keep := map[aplomb.Digest]bool{}
	for _, d := range m.all() {
		err := d.do(ctx, func(ctx context.Context) error {
			if err := d.collect(ctx, now, &out); err != nil {
				return err
			}
			return d.keepAll(keep, now)
		})
		if err != nil {
			return out, fmt.Errorf("collect %s: %w", d.name, err)
		}
	}
	done, err := m.cfg.Blobs.Collect(ctx, func(d aplomb.Digest) bool { return keep[d] }, now.Add(-collectGrace))
	out.Blobs, out.Bytes = done.Blobs, done.Bytes
	if err != nil {
		return out, fmt.Errorf("collect blobs: %w", err)
	}
	if done.Skipped {
		out.Skipped = "files are being compressed, or an upload began"
	}
	m.lg.Info("collected", "blobs", done.Blobs, "bytes", done.Bytes, "skipped", done.Skipped)
	return out, nil
}

// collect says on the timeline which releases of a site are no longer kept, and what that frees.
func (d *driver) collect(ctx context.Context, now time.Time, out *Freed) error {
	gone := d.state.Collectable(now)
	if len(gone) == 0 || d.degraded != nil {
		return nil
	}
	going := map[holder]bool{}
	for _, id := range gone {
		going[holder{d.name, id}] = true
	}
	ev := aplomb.Event{Kind: aplomb.EventCollected, At: now, Actor: "aplomb", Releases: gone, Bytes: d.m.frees(going)}
	if _, err := d.apply(ctx, ev); err != nil {
		return err
	}
	for _, id := range gone {
		out.Releases = append(out.Releases, d.state.Releases[id])
	}
	return d.refresh(ctx, false)
}

// keepAll marks every blob that a site still needs: the files and manifests of kept releases, by the ledger and by the
// edge, and the manifests that tell which URLs browsers hold as immutable.
func (d *driver) keepAll(keep map[aplomb.Digest]bool, now time.Time) error {
	if d.state.Removed {
		return nil
	}
	gone := goneOf(d.state.Site)
	mark := func(id aplomb.ReleaseID, manifest aplomb.Digest) error {
		keep[manifest] = true
		b, err := readBlob(d.m.cfg.Blobs, manifest)
		if err != nil {
			return fmt.Errorf("manifest of %s: %w", id, err)
		}
		m, err := aplomb.DecodeManifest(b)
		if err != nil {
			return fmt.Errorf("manifest of %s: %w", id, err)
		}
		for _, f := range m.Files {
			if !gone[f.Path] {
				keep[f.Digest] = true
			}
		}
		return nil
	}
	for _, r := range d.state.Releases {
		switch {
		case !r.Collected:
			if err := mark(r.ID, r.Manifest); err != nil {
				return err
			}
		case !r.LastLive.IsZero() && now.Sub(r.LastLive) < sentFor:
			keep[r.Manifest] = true
		}
	}
	if served, ok := d.served(); ok {
		for _, k := range served.Kept {
			if err := mark(k.ID, k.Manifest); err != nil {
				return err
			}
		}
	}
	return nil
}

// Scrub hashes every blob and puts what is damaged on the timeline of each site that needs it.
func (m *Manager) Scrub(ctx context.Context) {
	found, err := m.cfg.Blobs.Scrub(ctx)
	if err != nil {
		m.lg.Error("not scrubbed", "err", err)
	}
	for _, dm := range found {
		m.Damaged(ctx, dm)
	}
}

// Damaged notes a damaged blob: in status, and on the timeline of each site that has it in a kept release.
func (m *Manager) Damaged(ctx context.Context, dm blob.Damage) {
	m.mu.Lock()
	_, known := m.damaged[dm.Digest]
	m.damaged[dm.Digest] = dm
	m.mu.Unlock()
	if known {
		return
	}
	m.lg.Error("blob damaged", "digest", dm.Digest.String(), "file", dm.File, "why", dm.Why)
	for _, d := range m.all() {
		names := d.naming(dm.Digest)
		if len(names) == 0 {
			continue
		}
		ev := aplomb.Event{Kind: aplomb.EventDamaged, At: m.cfg.Now(), Actor: "aplomb", Why: fmt.Sprintf("%s: %s (%s)", listed(names), dm.Why, dm.Digest.Short())}
		err := d.do(ctx, func(ctx context.Context) error {
			_, err := d.apply(ctx, ev)
			return err
		})
		if err != nil {
			m.lg.Warn("damage not recorded", "site", d.name, "err", err)
		}
	}
}

// naming lists the paths, by release, under which a site's kept releases name a blob.
func (d *driver) naming(digest aplomb.Digest) []string {
	var out []string
	s := d.view.Load().state
	gone := goneOf(s.Site)
	for _, r := range s.Releases {
		if r.Collected {
			continue
		}
		if r.Manifest == digest {
			out = append(out, fmt.Sprintf("manifest of %s", r.ID))
			continue
		}
		for _, f := range d.manifest(r).Files {
			if f.Digest == digest && !gone[f.Path] {
				out = append(out, fmt.Sprintf("%s%s", r.ID, f.Path))
			}
		}
	}
	return out
}
