package release

import (
	"context"
	"fmt"
	"strings"

	"aplomb"
	"aplomb/rollout"
)

// Verify walks every site's chain from its first fact.
func (m *Manager) Verify(ctx context.Context) ([]Verified, error) {
	out := []Verified{}
	for _, d := range m.all() {
		v := Verified{Site: d.name, Head: d.view.Load().head, OK: true}
		var prev aplomb.Digest
		for e, err := range m.cfg.Ledger.Entries(ctx, d.name, 0) {
			if err == nil && v.Entries > 0 && e.Prev != prev {
				err = fmt.Errorf("n %d does not follow n %d", e.Head.N, v.Entries)
			}
			if err != nil {
				v.OK, v.Problem = false, err.Error()
				break
			}
			prev = e.Head.SHA
			v.Entries++
		}
		if deg := d.view.Load().degraded; v.OK && deg != nil {
			v.OK, v.Problem = false, deg.Error()
		}
		out = append(out, v)
	}
	return out, nil
}

// Recover makes a degraded site's ledger writable again: it keeps what the edge serves, sets the damaged file aside, appends
// what happened and names what is lost.
func (m *Manager) Recover(ctx context.Context, ask Ask, site aplomb.SiteName) (Recovered, error) {
	d, err := m.driver(site)
	if err != nil {
		return Recovered{}, err
	}
	var out Recovered
	err = d.do(ctx, func(ctx context.Context) error {
		out, err = d.recover(ctx, ask)
		return err
	})
	return out, d.tell(err)
}

func (d *driver) recover(ctx context.Context, ask Ask) (Recovered, error) {
	if d.degraded == nil {
		return Recovered{}, aplomb.NewError(aplomb.CodeHealthy, "nothing recovered", fmt.Sprintf("the ledger of %s is whole", d.name), "aplomb audit verify")
	}
	if d.m.cfg.Recover == nil {
		return Recovered{}, d.degraded
	}
	served, has := d.served()
	snap, _ := d.m.cfg.Ledger.Load(ctx, d.name) // its longest valid prefix, whatever it is
	prefix, _ := stateOf(snap)
	state := rebuild(d, prefix, served, has) // its N stays 0: the ledger alone knows the highest n there may have been
	if err := state.Check(); err != nil {
		return Recovered{}, fmt.Errorf("rebuild %s: %w", d.name, err)
	}
	writes, err := diff(rollout.State{}, state)
	if err != nil {
		return Recovered{}, err
	}
	why := ask.Why
	if why == "" {
		why = d.degraded.Error()
	}
	fact := aplomb.Fact{At: d.m.cfg.Now(), Kind: aplomb.FactRecovered, Actor: ask.Actor, Site: d.name, Release: state.Live, Why: why}
	aside, lost, head, err := d.m.cfg.Recover(ctx, d.name, served.Head, fact, writes)
	if err != nil {
		return Recovered{}, fmt.Errorf("recover %s: %w", d.name, err)
	}
	state.N = head.N
	if len(state.Releases) == 0 {
		lost = strings.TrimSpace("every release: neither the ledger nor the edge holds one, and names begin at r1 again. " + lost)
	}
	d.state, d.head, d.degraded, d.unrecorded = state, head, nil, nil
	d.publish()
	d.m.lg.Warn("ledger recovered", "site", d.name, "n", head.N, "set_aside", aside, "lost", lost)
	out := Recovered{Site: d.name, Live: state.Live, Sentence: visitorsGet(state.Live, has), Aside: aside, Lost: lost, Head: head, Releases: len(state.Releases)}
	return out, d.refresh(ctx, true)
}

// visitorsGet says what a recovery means for visitors. served says that the edge had something to go by; without it the
// valid part of the ledger alone decided, and what was acknowledged last may be gone.
func visitorsGet(live aplomb.ReleaseID, served bool) string {
	switch {
	case live == "" && served:
		return "Nothing is live, as before."
	case live == "":
		return "Nothing is live: what is left of the ledger names no live release. Next: aplomb deploy."
	case served:
		return fmt.Sprintf("Visitors stay on %s.", live)
	}
	return fmt.Sprintf("Visitors get %s again, the newest that the ledger still has as live; the one acknowledged last may have been newer. "+
		"Compare with aplomb log; if %s is too old: aplomb deploy.", live, live)
}

// rebuild makes a state of the valid part of the chain and of what the edge serves; where they differ, the edge holds.
// Rollouts that were on their way, and what undo would need, are not known any more.
func rebuild(d *driver, prefix rollout.State, served aplomb.Route, has bool) rollout.State {
	s := rollout.State{Site: prefix.Site, Last: prefix.Last, Live: prefix.Live, Releases: map[aplomb.ReleaseID]aplomb.Release{}}
	for id, r := range prefix.Releases {
		s.Releases[id] = r
		s.Last = max(s.Last, id.Number())
	}
	if !has {
		return s
	}
	s.Site, s.Live = served.Site, served.Live
	for id, r := range s.Releases {
		if r.State == aplomb.Live && id != s.Live {
			r.State, r.LastLive, r.Why = aplomb.Waiting, served.Since, "it was live by the part of the ledger that is left"
			s.Releases[id] = r
		}
	}
	for i, k := range served.Kept {
		r, known := s.Releases[k.ID]
		if !known {
			m := d.manifest(aplomb.Release{ID: k.ID, Manifest: k.Manifest})
			r = aplomb.Release{ID: k.ID, Site: d.name, By: "unknown", Note: "recovered from the edge", Sealed: served.Since, Files: len(m.Files)}
			for _, f := range m.Files {
				r.Bytes += f.Size
			}
		}
		r.State, r.Seal, r.Manifest, r.LastLive, r.Collected = k.State, k.Seal, k.Manifest, k.LastLive, false
		if k.State == aplomb.Replaced {
			r.LastN = max(1, served.Head.N-int64(i)) // the edge keeps them in the order of a rollback
		}
		if k.ID == served.Live {
			r.State, r.LiveSince = aplomb.Live, served.Since
		}
		s.Releases[k.ID] = r
		s.Last = max(s.Last, k.ID.Number())
	}
	return s
}
