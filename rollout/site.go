package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"aplomb"
)

// CheckSite refuses rules of a site that contradict each other or cannot be followed. Whether its hosts belong to
// another site is for whoever knows all sites.
func CheckSite(s aplomb.Site) error {
	for i, h := range s.Hosts {
		if slices.Contains(s.Hosts[:i], h) {
			return badRule(s.Name, fmt.Sprintf("host %s stands there twice", h))
		}
	}
	for _, from := range slices.Sorted(maps.Keys(s.RedirectTo)) {
		to := s.RedirectTo[from]
		switch _, chained := s.RedirectTo[to]; {
		case from == to:
			return badRule(s.Name, fmt.Sprintf("redirect_to: %s would lead to itself", from))
		case chained:
			return badRule(s.Name, fmt.Sprintf("redirect_to: %s leads to %s, which leads elsewhere", from, to))
		case !slices.Contains(s.Hosts, to):
			return badRule(s.Name, fmt.Sprintf("redirect_to: %s leads to %s, which is not one of the site's hosts", from, to))
		}
	}
	for _, p := range s.Upstreams {
		if err := CheckUpstreamPattern(p); err != nil {
			return badRule(s.Name, fmt.Sprintf("upstreams: %v", err))
		}
	}
	if h := s.PreviewHost; h != "" && slices.Contains(s.Hosts, h) {
		return badRule(s.Name, fmt.Sprintf("preview_host: %s is one of the site's hosts", h))
	}
	return nil
}

func badRule(site aplomb.SiteName, why string) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeSiteRule, "nothing set", why, fmt.Sprintf("aplomb site show %s", site))
}

// Claimed lists the hosts that only this site may have: its own, and those that lead to them.
func Claimed(s aplomb.Site) []aplomb.Host {
	out := slices.Clone(s.Hosts)
	for _, from := range slices.Sorted(maps.Keys(s.RedirectTo)) {
		if !slices.Contains(out, from) {
			out = append(out, from)
		}
	}
	return out
}

// setSite changes the rules of the site. What only other events change stays as it is.
func (t *turn) setSite() error {
	next := t.e.Site
	next.Name, next.Created, next.Offline, next.Gone = t.Site.Name, t.Site.Created, t.Site.Offline, t.Site.Gone
	if len(next.Hosts) == 0 {
		return badRule(next.Name, "a site needs at least one host")
	}
	if err := CheckSite(next); err != nil {
		return err
	}
	changes := Changes(t.Site, next)
	if len(changes) == 0 {
		return ErrNothing
	}
	t.Site = next
	t.fact.Kind, t.fact.More = aplomb.FactSiteSet, more(map[string]any{"changes": changes})
	var words []string
	for _, c := range changes {
		words = append(words, c.String())
	}
	t.why(strings.Join(words, "; "))
	return nil
}

// Changed is one rule of a site, before and after, as people write it.
type Changed struct {
	Key    string `json:"key"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// String returns the change in one line.
func (c Changed) String() string {
	or := func(s string) string {
		if s == "" {
			return "none"
		}
		return s
	}
	return fmt.Sprintf("%s: %s → %s", c.Key, or(c.Before), or(c.After))
}

// Changes lists the rules in which two sites differ.
func Changes(before, after aplomb.Site) []Changed {
	was, is := Rules(before), Rules(after)
	out := []Changed{}
	for i := range was {
		if was[i].Value != is[i].Value {
			out = append(out, Changed{Key: was[i].Key, Before: was[i].Value, After: is[i].Value})
		}
	}
	return out
}

// Rule is one rule of a site as people write it: hosts=shop.example.com,www.example.com.
type Rule struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Rules lists what a site's owner sets, in a fixed order.
func Rules(s aplomb.Site) []Rule {
	var redirects []string
	for _, from := range slices.Sorted(maps.Keys(s.RedirectTo)) {
		redirects = append(redirects, fmt.Sprintf("%s=%s", from, s.RedirectTo[from]))
	}
	hosts := make([]string, len(s.Hosts))
	for i, h := range s.Hosts {
		hosts[i] = string(h)
	}
	rules := []Rule{
		{"hosts", strings.Join(hosts, ",")},
		{"redirect_to", strings.Join(redirects, ",")},
		{"upstreams", strings.Join(Upstreams(s), ",")},
		{"preview_host", string(s.PreviewHost)},
	}
	serial := ""
	if s.PreviewSerial > 0 {
		serial = strconv.Itoa(s.PreviewSerial)
	}
	return append(rules, Rule{"preview_serial", serial})
}

// removeSite ends the site. It waits for nothing: a deploy that is under way is named, and ended by whoever began it.
func (t *turn) removeSite() error {
	if t.Pending != nil {
		return ErrPending
	}
	if len(t.Rollouts) > 0 {
		r := t.Rollouts[0]
		return aplomb.NewError(aplomb.CodeSiteBusy, fmt.Sprintf("site %s not removed", t.Site.Name),
			fmt.Sprintf("rollout %d by %s is under way (%s)", r.N, r.Actor, r.Stage), "wait until it is over (aplomb status), then again")
	}
	t.Removed = true
	t.fact.Kind, t.fact.Release = aplomb.FactSiteRemoved, t.Live
	t.why("site removed")
	return nil
}

// offline shows visitors the maintenance page, whatever is live and becomes live meanwhile.
func (t *turn) offline() error {
	if t.e.Why == "" {
		return aplomb.NewError(aplomb.CodeReason, fmt.Sprintf("%s not taken offline", t.Site.Name), "visitors will get no page of the site, so a reason is needed", "aplomb offline --reason \"…\"")
	}
	next := &aplomb.Offline{Since: t.e.At, By: t.e.Actor, Why: t.e.Why, RetryAfter: t.e.RetryAfter}
	if was := t.Site.Offline; was != nil {
		next.Since = was.Since
		if next.Why == was.Why && next.RetryAfter == was.RetryAfter {
			return ErrNothing
		}
	}
	t.Site.Offline = next
	t.fact.Kind, t.fact.Release = aplomb.FactOffline, t.Live
	t.fact.More = more(map[string]any{"retry_after": next.RetryAfter})
	return nil
}

func (t *turn) online() error {
	if t.Site.Offline == nil {
		return ErrNothing
	}
	was := t.Site.Offline
	t.Site.Offline = nil
	t.fact.Kind, t.fact.Release = aplomb.FactOnline, t.Live
	t.fact.More = more(map[string]any{"offline_since": was.Since})
	t.why("online again")
	return nil
}

// forget makes URL paths answer 410 from now on. A release that is named goes no further, and loses its bytes.
func (t *turn) forget() error {
	if t.e.Why == "" {
		return aplomb.NewError(aplomb.CodeReason, "nothing forgotten", "forgetting breaks what was promised to browsers and cannot be undone, so a reason is needed", "aplomb forget … --reason \"…\"")
	}
	if err := t.forgetRelease(); err != nil {
		return err
	}
	fresh := []string{}
	for _, p := range t.e.Gone {
		if !slices.Contains(t.Site.Gone, p) && !slices.Contains(fresh, p) {
			fresh = append(fresh, p)
		}
	}
	if len(fresh) == 0 && t.e.Release == "" {
		return ErrNothing
	}
	if len(fresh) > 0 {
		t.Site.Gone = slices.Sorted(slices.Values(slices.Concat(t.Site.Gone, fresh)))
	}
	t.fact.Kind, t.fact.Release = aplomb.FactForgotten, t.e.Release
	t.fact.More = more(map[string]any{"gone": fresh})
	return nil
}

func (t *turn) forgetRelease() error {
	if t.e.Release == "" {
		return nil
	}
	rel, err := t.release(t.e.Release)
	switch {
	case err != nil:
		return err
	case t.Pending != nil:
		return ErrPending
	case rel.ID == t.Live:
		return aplomb.NewError(aplomb.CodeIsLive, fmt.Sprintf("%s not forgotten", rel.ID), "it is live", "aplomb rollback, then again")
	case t.inUse(rel.ID):
		return aplomb.NewError(aplomb.CodeSiteBusy, fmt.Sprintf("%s not forgotten", rel.ID), "it is on its way to the visitors", "aplomb status, then again")
	case rel.Collected && rel.State == aplomb.Retired:
		return ErrNothing
	}
	rel.State, rel.Collected, rel.Why = aplomb.Retired, true, fmt.Sprintf("forgotten by %s: %s", t.e.Actor, t.e.Why)
	t.Releases[rel.ID] = rel
	return nil
}
