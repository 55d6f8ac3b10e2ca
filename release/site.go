package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"aplomb"
	"aplomb/rollout"
)

// SiteRules are what a site's owner set, as people write it.
type SiteRules struct {
	Site    aplomb.SiteName `json:"site"`
	Created time.Time       `json:"created"`
	Rules   []rollout.Rule  `json:"rules"`
	// Changes lists what was changed just now, before and after.
	Changes []rollout.Changed `json:"changes,omitempty"`
	Offline *aplomb.Offline   `json:"offline,omitempty"`
	Gone    []string          `json:"gone,omitempty"`
	// N is the n of the fact that says so, 0 where nothing was changed.
	N int64 `json:"n,omitempty"`
}

// SiteChange says which rules of a site are to be others. What is nil stays as it is; an empty list of upstreams stands
// for the default.
type SiteChange struct {
	Hosts       *[]string          `json:"hosts,omitempty"`
	RedirectTo  *map[string]string `json:"redirect_to,omitempty"`
	Upstreams   *[]string          `json:"upstreams,omitempty"`
	PreviewHost *string            `json:"preview_host,omitempty"`
	// RevokePreviews voids every link to a preview that was made before.
	RevokePreviews bool `json:"revoke_previews,omitempty"`
}

// SiteRemoved is the result of removing a site.
type SiteRemoved struct {
	Site  aplomb.SiteName  `json:"site"`
	Live  aplomb.ReleaseID `json:"live"` // what was live last
	Hosts []aplomb.Host    `json:"hosts"`
	// Aside is where its timeline is kept.
	Aside string `json:"set_aside"`
}

// Site returns a site's own rules.
func (m *Manager) Site(_ context.Context, name aplomb.SiteName) (SiteRules, error) {
	d, err := m.driver(name)
	if err != nil {
		return SiteRules{}, err
	}
	return d.rules(), nil
}

func (d *driver) rules() SiteRules {
	s := d.view.Load().state.Site
	if s.Name == "" {
		s.Name = d.name
	}
	return SiteRules{Site: s.Name, Created: s.Created, Rules: rollout.Rules(s), Offline: s.Offline, Gone: s.Gone}
}

// AddSite creates a site that has no release yet.
func (m *Manager) AddSite(ctx context.Context, ask Ask, name aplomb.SiteName, hosts []string) (SiteRules, error) {
	parsed, err := parseSiteHosts(name, hosts)
	if err == nil && len(parsed) == 0 {
		err = siteRule(name, "a site needs at least one host")
	}
	if err != nil {
		return SiteRules{}, m.production(name, err)
	}
	m.creating.Lock()
	defer m.creating.Unlock()
	if d, err := m.driver(name); err == nil {
		return SiteRules{}, d.tell(aplomb.NewError(aplomb.CodeNothing, fmt.Sprintf("site %s not created", name), "there is one of that name", fmt.Sprintf("aplomb site show %s", name)))
	}
	d, err := m.create(ctx, ask, aplomb.Site{Name: name, Hosts: parsed, Created: m.cfg.Now()})
	if err != nil {
		return SiteRules{}, m.production(name, err)
	}
	out := d.rules()
	out.N = d.view.Load().state.N
	return out, nil
}

// create begins a site's chain; the caller holds m.creating and has seen that there is no such site.
func (m *Manager) create(ctx context.Context, ask Ask, site aplomb.Site) (*driver, error) {
	if err := m.checkClaims("created", site); err != nil {
		return nil, err
	}
	m.mu.Lock()
	d, has := m.drivers[site.Name]
	m.mu.Unlock()
	if has && d.view.Load().state.Removed {
		return nil, aplomb.NewError(aplomb.CodeSiteBusy, fmt.Sprintf("site %s not created", site.Name), "the one of that name is still being removed", "aplomb site add again in a minute")
	}
	if !has {
		d = m.newDriver(site.Name)
		d.start()
	}
	err := d.do(ctx, func(ctx context.Context) error {
		_, err := d.apply(ctx, aplomb.Event{Kind: aplomb.EventCreate, At: site.Created, Actor: ask.Actor, Why: fmt.Sprintf("site created for %s", site.Hosts[0]), Site: site})
		return err
	})
	if err != nil {
		if !has {
			close(d.tasks)
		}
		return nil, err
	}
	m.mu.Lock()
	m.drivers[site.Name] = d
	m.mu.Unlock()
	return d, nil
}

// checkClaims refuses hosts that are another site's: a host belongs to one site. The caller holds m.creating.
func (m *Manager) checkClaims(what string, site aplomb.Site) error {
	wanted := rollout.Claimed(site)
	if site.PreviewHost != "" {
		wanted = append(wanted, site.PreviewHost)
	}
	for other, taken := range m.claims() {
		if other == site.Name {
			continue
		}
		for _, h := range wanted {
			if slices.Contains(taken, h) {
				return aplomb.NewError(aplomb.CodeHostTaken, fmt.Sprintf("site %s not %s", site.Name, what), fmt.Sprintf("host %s belongs to site %s", h, other), fmt.Sprintf("aplomb site show %s", other))
			}
		}
	}
	return nil
}

// claims lists the hosts of every site, by the ledger and by what the edge serves: a ledger that is damaged may not know.
func (m *Manager) claims() map[aplomb.SiteName][]aplomb.Host {
	out := map[aplomb.SiteName][]aplomb.Host{}
	add := func(s aplomb.Site) {
		out[s.Name] = append(out[s.Name], rollout.Claimed(s)...)
		if s.PreviewHost != "" {
			out[s.Name] = append(out[s.Name], s.PreviewHost)
		}
	}
	for _, d := range m.all() {
		if v := d.view.Load(); !v.state.Removed && v.degraded == nil {
			add(v.state.Site)
		}
	}
	for _, r := range m.cfg.Served() {
		add(r.Site)
	}
	return out
}

// SetSite changes a site's own rules. It returns when the edge follows them.
func (m *Manager) SetSite(ctx context.Context, ask Ask, name aplomb.SiteName, change SiteChange) (SiteRules, error) {
	d, err := m.driver(name)
	if err != nil {
		return SiteRules{}, err
	}
	m.creating.Lock()
	defer m.creating.Unlock()
	var out SiteRules
	err = d.do(ctx, func(ctx context.Context) error {
		if err := d.catchUp(ctx); err != nil {
			return err
		}
		before := d.state.Site
		next, err := change.apply(before)
		if err != nil {
			return err
		}
		if err := m.checkClaims("changed", next); err != nil {
			return err
		}
		o, err := d.apply(ctx, aplomb.Event{Kind: aplomb.EventSiteSet, At: m.cfg.Now(), Actor: ask.Actor, Why: ask.Why, Site: next})
		if err != nil {
			return err
		}
		if err := d.refresh(ctx, false); err != nil {
			return fmt.Errorf("the rules are recorded: %w", err)
		}
		out = d.rules()
		out.N, out.Changes = o.Fact.N, rollout.Changes(before, d.state.Site)
		return nil
	})
	return out, d.tell(err)
}

// apply returns the site as it is to be.
func (c SiteChange) apply(s aplomb.Site) (aplomb.Site, error) {
	var err error
	if c.Hosts != nil {
		if s.Hosts, err = parseSiteHosts(s.Name, *c.Hosts); err != nil {
			return s, err
		}
	}
	if c.RedirectTo != nil {
		s.RedirectTo = nil
		for _, from := range slices.Sorted(maps.Keys(*c.RedirectTo)) {
			pair, err := parseSiteHosts(s.Name, []string{from, (*c.RedirectTo)[from]})
			if err != nil {
				return s, err
			}
			if len(pair) < 2 {
				return s, siteRule(s.Name, fmt.Sprintf("redirect_to: %s would lead to itself", from))
			}
			if s.RedirectTo == nil {
				s.RedirectTo = map[aplomb.Host]aplomb.Host{}
			}
			s.RedirectTo[pair[0]] = pair[1]
		}
	}
	if c.Upstreams != nil {
		s.Upstreams = nil
		if len(*c.Upstreams) > 0 && !slices.Equal(*c.Upstreams, aplomb.DefaultUpstreams()) {
			s.Upstreams = *c.Upstreams
		}
	}
	if c.RevokePreviews {
		s.PreviewSerial++
	}
	if c.PreviewHost != nil {
		s.PreviewHost = ""
		if *c.PreviewHost != "" {
			host, err := parseSiteHosts(s.Name, []string{*c.PreviewHost})
			if err != nil {
				return s, err
			}
			s.PreviewHost = host[0]
		}
	}
	return s, nil
}

func parseSiteHosts(site aplomb.SiteName, in []string) ([]aplomb.Host, error) {
	var out []aplomb.Host
	for _, s := range in {
		h, err := aplomb.ParseHost(s)
		if err != nil {
			return nil, siteRule(site, err.Error())
		}
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out, nil
}

func siteRule(site aplomb.SiteName, why string) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeSiteRule, "nothing set", why, fmt.Sprintf("aplomb site show %s", site))
}

// RemoveSite ends a site whose name was typed once more: none of its hosts is answered for, its timeline is kept aside,
// its name and hosts are free. Its bytes are collected later.
func (m *Manager) RemoveSite(ctx context.Context, ask Ask, name aplomb.SiteName, confirm string) (SiteRemoved, error) {
	d, err := m.driver(name)
	if err != nil {
		return SiteRemoved{}, err
	}
	if confirm != string(name) {
		return SiteRemoved{}, d.tell(aplomb.NewError(aplomb.CodeReason, fmt.Sprintf("site %s not removed", name), "removing cannot be undone, so the site's name has to be given once more", fmt.Sprintf("aplomb site remove %s --confirm %s", name, name)))
	}
	m.creating.Lock()
	defer m.creating.Unlock()
	var out SiteRemoved
	err = d.do(ctx, func(ctx context.Context) error {
		if err := d.catchUp(ctx); err != nil {
			return err
		}
		out = SiteRemoved{Site: name, Live: d.state.Live, Hosts: d.state.Site.Hosts}
		if _, err := d.apply(ctx, aplomb.Event{Kind: aplomb.EventSiteRemove, At: m.cfg.Now(), Actor: ask.Actor, Why: ask.Why}); err != nil {
			return err
		}
		out.Aside, err = d.vanish(ctx)
		return err
	})
	if err != nil && d.view.Load().state.Removed {
		return out, explain(err).With(fmt.Sprintf("Production: site %s is removed; what is left of that is done within a minute, or at the next start.", name))
	}
	return out, d.tell(err)
}

// vanish brings a removal that is recorded to its end, and ends the driver. It runs as a task; it may run again.
func (d *driver) vanish(ctx context.Context) (string, error) {
	if do, ok := d.m.cfg.Performers[aplomb.IntentRemove]; ok {
		in := aplomb.Intent{ID: fmt.Sprintf("%s.%d.remove", d.name, d.head.N), Kind: aplomb.IntentRemove, Site: d.name}
		if _, err := do(ctx, in); err != nil {
			return "", fmt.Errorf("end the serving of %s: %w", d.name, err)
		}
	}
	aside, err := d.m.cfg.Ledger.SetAside(ctx, d.name)
	if err != nil && !errors.Is(err, aplomb.ErrNotFound) {
		return "", fmt.Errorf("keep the timeline of %s aside: %w", d.name, err)
	}
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if d.m.drivers[d.name] == d {
		delete(d.m.drivers, d.name)
		close(d.gone)
		d.end()
	}
	d.m.lg.Warn("site removed", "site", d.name, "aside", aside)
	return aside, nil
}

// errGone says that a site was removed while somebody waited for it.
func (d *driver) errGone() error {
	return aplomb.NewError(aplomb.CodeNoSite, fmt.Sprintf("no site %q", d.name), "it was removed", "aplomb sites").
		With(fmt.Sprintf("Production: site %s is removed.", d.name))
}
