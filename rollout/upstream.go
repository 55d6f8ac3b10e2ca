package rollout

import (
	"fmt"
	"slices"
	"strings"

	"aplomb"
)

// noUpstream as the only pattern of a site allows no app at all.
const noUpstream = "none"

// Upstreams returns the patterns of addresses that a site's releases may name.
func Upstreams(s aplomb.Site) []string {
	if s.Upstreams == nil {
		return aplomb.DefaultUpstreams()
	}
	return s.Upstreams
}

// CheckUpstreamPattern accepts what Site.Upstreams may hold: an address, or one whose port or whose end of a socket's
// path is "*"; and "none", which allows nothing.
func CheckUpstreamPattern(p string) error {
	if p == noUpstream || p == "unix:*" {
		return nil
	}
	if base, ok := strings.CutSuffix(p, ":*"); ok {
		return aplomb.CheckUpstream(base + ":1")
	}
	if base, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(p, "unix:/") {
		return aplomb.CheckUpstream(base + "x")
	}
	return aplomb.CheckUpstream(p)
}

// Allows reports whether a site's releases may name the address of an app. A socket's path is taken as it stands: one
// that climbs with ".." is outside of every folder.
func Allows(s aplomb.Site, addr string) bool {
	return slices.ContainsFunc(Upstreams(s), func(p string) bool {
		base, open := strings.CutSuffix(p, "*")
		switch {
		case strings.HasPrefix(addr, "unix:") != strings.HasPrefix(p, "unix:"):
			return false
		case open && strings.HasPrefix(addr, "unix:"):
			return strings.HasPrefix(addr, base) && !strings.Contains(addr+"/", "/../")
		case open:
			i := strings.LastIndexByte(addr, ':')
			return strings.EqualFold(addr[:i+1], base)
		}
		return strings.EqualFold(addr, p)
	})
}

// CheckApp refuses a release that names an address its site does not allow: what binds a deployer is not set by a deploy.
// What begins the error: "nothing uploaded".
func CheckApp(what string, s aplomb.Site, app []aplomb.AppRoute) error {
	for _, r := range app {
		for _, addr := range r.To {
			if Allows(s, addr) {
				continue
			}
			allowed := slices.DeleteFunc(slices.Clone(Upstreams(s)), func(p string) bool { return p == noUpstream })
			return aplomb.NewError(aplomb.CodeUpstream, what,
				fmt.Sprintf("the route %s leads to %s, which site %s does not allow (%s)", r.Path, addr, s.Name, strings.Join(Upstreams(s), ", ")),
				fmt.Sprintf("aplomb site set %s upstreams=%s", s.Name, strings.Join(append(allowed, addr), ",")))
		}
	}
	return nil
}

// SeedUpstreams are the patterns with which a site begins whose first release names these routes: the default, and every
// port of the other hosts it names. Nil where the default is enough.
func SeedUpstreams(app []aplomb.AppRoute) []string {
	site := aplomb.Site{}
	for _, r := range app {
		for _, addr := range r.To {
			if Allows(site, addr) {
				continue
			}
			pattern := addr
			if i := strings.LastIndexByte(addr, ':'); !strings.HasPrefix(addr, "unix:") && i >= 0 {
				pattern = addr[:i] + ":*"
			}
			site.Upstreams = append(slices.Clone(Upstreams(site)), pattern)
		}
	}
	return site.Upstreams
}
