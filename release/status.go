package release

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"aplomb"
)

// Sites returns every site's status, by name.
func (m *Manager) Sites(ctx context.Context) ([]SiteStatus, error) {
	out := []SiteStatus{}
	for _, d := range m.all() {
		if !d.view.Load().state.Removed {
			out = append(out, d.status())
		}
	}
	return out, nil
}

// Status returns one site's status.
func (m *Manager) Status(ctx context.Context, site aplomb.SiteName) (SiteStatus, error) {
	d, err := m.driver(site)
	if err != nil {
		return SiteStatus{}, err
	}
	return d.status(), nil
}

// Releases lists a site's releases, newest first.
func (m *Manager) Releases(ctx context.Context, site aplomb.SiteName) ([]aplomb.Release, error) {
	d, err := m.driver(site)
	if err != nil {
		return nil, err
	}
	state := d.view.Load().state
	out := make([]aplomb.Release, 0, len(state.Releases))
	for _, r := range state.Releases {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b aplomb.Release) int { return b.ID.Number() - a.ID.Number() })
	return out, nil
}

// Degraded lists the sites whose ledger refuses to write, with the reason.
func (m *Manager) Degraded() map[aplomb.SiteName]string {
	out := map[aplomb.SiteName]string{}
	for _, d := range m.all() {
		if v := d.view.Load(); v.degraded != nil {
			out[d.name] = v.degraded.Error()
		}
	}
	return out
}

func (d *driver) status() SiteStatus {
	v := d.view.Load()
	s := v.state
	out := SiteStatus{Site: d.name, Hosts: s.Site.Hosts, URL: d.m.cfg.URL(s.Site), Live: s.Live, Rollouts: []RolloutStatus{}, Offline: s.Site.Offline}
	if live, ok := s.Releases[s.Live]; ok {
		out.Share, out.Since, out.By, out.Note = 1, live.LiveSince, live.By, live.Note
	}
	if targets := s.Targets(nil); len(targets) > 0 {
		out.Back = targets[0].ID
	}
	for _, r := range s.Rollouts {
		out.Rollouts = append(out.Rollouts, RolloutStatus{Rollout: r.N, Stage: string(r.Stage), Release: r.Release, By: r.Actor, Since: r.At})
	}
	if a := s.LastAct; a != nil {
		out.LastAct = &aplomb.Fact{N: a.N, At: a.At, Kind: a.Kind, Actor: a.Actor, Why: a.Why, Site: d.name, Release: a.To, From: a.From}
	}
	switch {
	case v.served != nil:
		d.statusServed(*v.served, &out)
	case v.degraded != nil: // the edge has nothing either: what is left of the ledger says what was live, not what is
		out.Live, out.Share, out.Since, out.Back = "", 0, time.Time{}, ""
	}
	if v.degraded != nil {
		out.Degraded = v.degraded.Error()
	}
	out.Damaged, out.Disk = d.m.damagedNames(), d.m.lowSpace()
	if d.m.cfg.Unsaved != nil {
		if why := d.m.cfg.Unsaved()[d.name]; why != nil {
			out.Unsaved, out.UnsavedWhy = true, why.Error()
		}
	}
	if d.m.cfg.Missing != nil {
		out.Missing = d.m.cfg.Missing()
	}
	out.Sentence = sentence(out, d.m.cfg.Now())
	return out
}

// statusServed corrects a status by what the edge really serves.
func (d *driver) statusServed(r aplomb.Route, out *SiteStatus) {
	out.Hosts, out.Live, out.Since, out.Back = r.Site.Hosts, r.Live, r.Since, ""
	out.URL, out.Offline = d.m.cfg.URL(r.Site), r.Site.Offline
	if r.Live != "" {
		out.Share = 1
	}
	for _, k := range r.Kept {
		if k.State == aplomb.Replaced {
			out.Back = k.ID
			break
		}
	}
}

// sentence says what a site is, for people.
func sentence(s SiteStatus, now time.Time) string {
	var b strings.Builder
	switch {
	case s.Live != "":
		fmt.Fprintf(&b, "%s is live since %s.", s.Live, clock(s.Since, now))
	case s.Degraded != "":
		b.WriteString("Nothing is served: neither the edge's state nor the ledger is whole. Next: aplomb recover, which brings back the newest release that the ledger still has as live; the one acknowledged last may have been newer.")
	default:
		b.WriteString("Nothing is live yet.")
	}
	if s.Offline != nil {
		fmt.Fprintf(&b, " Visitors get the maintenance page: offline since %s: %s.", clock(s.Offline.Since, now), strings.TrimSuffix(s.Offline.Why, "."))
	}
	if s.Degraded != "" && s.Live != "" {
		b.WriteString(" The ledger refuses to write; the site is served, and rollback works.")
	}
	if s.Unsaved {
		b.WriteString(" The edge cannot write its state: a restart would serve what was before.")
	}
	for _, missing := range s.Missing {
		b.WriteString(" " + missing)
	}
	if len(s.Damaged) > 0 {
		fmt.Fprintf(&b, " %d stored files are damaged.", len(s.Damaged))
	}
	return b.String()
}

// clock writes a time as people say it: the time of day, with the date where it is not today.
func clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04 UTC")
	}
	return t.Format("2006-01-02 15:04 UTC")
}

// tell gives an error all five parts: what it is, and what production is now.
func (d *driver) tell(err error) error {
	if err == nil {
		return nil
	}
	e := explain(err)
	if e.Production != "" {
		return e
	}
	return e.With(d.production())
}

// production says what visitors get now.
func (d *driver) production() string {
	s, v := d.status(), d.view.Load()
	if p := v.state.Pending; p != nil && v.degraded == nil && s.Live == p.Intent.Release {
		return fmt.Sprintf("Production has changed: %s is live since %s; the timeline follows when the ledger can be written.", s.Live, clock(s.Since, d.m.cfg.Now()))
	}
	return s.Production(time.Time{}, d.m.cfg.Now())
}

// Production says what production is after something failed that began then: the last sentence of every error. A release
// that became live after that is never called unchanged.
func (s SiteStatus) Production(began, now time.Time) string {
	switch {
	case s.Live == "" && s.Degraded != "":
		return "Production: " + s.Sentence
	case s.Live == "":
		return "Production is unchanged: nothing is live yet."
	case !began.IsZero() && s.Since.After(began):
		return "Production: " + s.Sentence
	}
	if s.Offline != nil {
		return fmt.Sprintf("Production is unchanged: offline since %s, and %s behind it since %s.", clock(s.Offline.Since, now), s.Live, clock(s.Since, now))
	}
	return fmt.Sprintf("Production is unchanged: still %s, live since %s.", s.Live, clock(s.Since, now))
}

// production completes an error about a site that may not exist.
func (m *Manager) production(site aplomb.SiteName, err error) error {
	if d, none := m.driver(site); none == nil {
		return d.tell(err)
	}
	return explain(err).With("Production is unchanged: there is no such site yet.")
}

func (m *Manager) damagedNames() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for d, dm := range m.damaged {
		out = append(out, fmt.Sprintf("%s: %s", d.Short(), dm.Why))
	}
	slices.Sort(out)
	return out
}
