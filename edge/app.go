package edge

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"aplomb"
)

// appRoute is one way to an app, made ready for a site.
type appRoute struct {
	prefix  string // without a slash at its end: "" takes what no file answers
	strip   bool
	timeout time.Duration
	to      []*target
	turn    atomic.Uint32
}

// routes makes the ways of a release ready, the longest prefix first.
func (ts *targets) routes(site aplomb.Site, routes []aplomb.AppRoute) []*appRoute {
	if ts == nil || len(routes) == 0 {
		return nil
	}
	out := make([]*appRoute, len(routes))
	for i, r := range routes {
		out[i] = &appRoute{prefix: strings.TrimSuffix(r.Path, "/"), strip: r.StripPrefix, timeout: aplomb.AppTimeout, to: ts.lookup(site, r)}
		if r.Timeout > 0 {
			out[i].timeout = time.Duration(r.Timeout) * time.Second
		}
	}
	slices.SortFunc(out, func(a, b *appRoute) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	return out
}

// inTurn calls try with one target after the other until it says true: those that are well first, beginning with whose
// turn it is. Those that are down come last: the last target is never dropped because a check fails.
func (a *appRoute) inTurn(try func(*target) bool) {
	n := len(a.to)
	if n == 1 {
		try(a.to[0])
		return
	}
	first := int(a.turn.Add(1) % uint32(n))
	for _, down := range [2]bool{false, true} {
		for i := range n {
			if t := a.to[(first+i)%n]; t.down.Load() == down && try(t) {
				return
			}
		}
	}
}

// takes reports whether the route is for a path in which only slashes that stood there as such separate.
func (a *appRoute) takes(path string) bool {
	rest, ok := strings.CutPrefix(path, a.prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// appFor returns the way of a request that is not for a file: its path is below a route's prefix, or it is one that no
// file can answer. A path that was ever sent as immutable stays that file.
func (s *site) appFor(r *http.Request) *appRoute {
	if len(s.apps) == 0 || strings.HasPrefix(r.URL.Path, aplomb.ReservedPrefix) {
		return nil
	}
	path, fileCanAnswer := segments(r.URL), mayBeFile(r)
	for _, app := range s.apps {
		switch {
		case !app.takes(path):
		case app.prefix == "" && fileCanAnswer && mayNameFile(r.URL):
			return nil // when no file answers: site.find
		case fileCanAnswer && s.union.hashed(r.URL.Path):
			return nil
		default:
			return app
		}
	}
	return nil
}

// lastApp returns the way of what no file answers, nil where there is none.
func (s *site) lastApp() *appRoute {
	if n := len(s.apps); n > 0 && s.apps[n-1].prefix == "" {
		return s.apps[n-1]
	}
	return nil
}

// mayBeFile reports whether a file can be the answer.
func mayBeFile(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !asksForWebSocket(r)
}

// mayNameFile reports whether some file can have a path: none has an empty segment, or a slash inside of one.
func mayNameFile(u *url.URL) bool {
	return !strings.Contains(u.Path, "//") && !hasEscapedSlash(u.RawPath)
}

// segments returns the path decoded, but for escaped slashes: those are part of a segment.
func segments(u *url.URL) string {
	if u.RawPath == "" || !hasEscapedSlash(u.RawPath) {
		return u.Path
	}
	kept := strings.NewReplacer("%2f", "%252f", "%2F", "%252F").Replace(u.RawPath)
	if path, err := url.PathUnescape(kept); err == nil {
		return path
	}
	return u.Path
}

// climbs reports whether a path has segments that lead up or nowhere: an app could resolve them to another than the path
// that was routed.
func climbs(path string) bool {
	for rest := path; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			return false
		}
		end := strings.TrimLeft(rest[i:], ".")
		dots := len(rest) - i - len(end)
		starts := i == 0 && len(rest) == len(path) || i > 0 && isSlash(rest[i-1])
		if starts && dots <= 2 && (end == "" || isSlash(end[0]) || end[0] == ';') {
			return true
		}
		rest = end
	}
}

func isSlash(c byte) bool { return c == '/' || c == '\\' }

// checkApp refuses what no app gets.
func checkApp(r *http.Request) refusal {
	switch {
	case len(r.RequestURI) > maxTarget:
		return tooLong
	case strings.IndexByte(r.RequestURI, '#') >= 0 || r.URL.Scheme != "" && r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return badRequest
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return badMethod
	case r.URL.Path == "" || r.URL.Path[0] != '/' || climbs(r.URL.Path):
		return badRequest
	}
	return refusal{}
}

// warmApps makes sure, before an intent moves visitors to another release, that its app answers. It is done before the edge
// is locked: other sites are not kept waiting.
func (e *Edge) warmApps(ctx context.Context, in aplomb.Intent) error {
	live, ok := in.Route.Find(in.Route.Live)
	before := e.table.Load().sites[in.Site]
	if !ok || before != nil && before.route.Live == in.Route.Live {
		return nil
	}
	_, t, err := e.shelf.load(live.Manifest, true, nil)
	if err != nil {
		return nil // prepare says it better
	}
	ts, limit := e.shelf.apps, e.shelf.apps.checks.warm
	apps := ts.routes(in.Route.Site, t.app)
	if in.Urgent {
		// Where visitors are taken back, what they get already is not asked again: they are not better off where they are.
		ctx, limit = context.WithoutCancel(ctx), ts.checks.warmUrgent
		apps = slices.DeleteFunc(apps, func(a *appRoute) bool { return before != nil && before.getsAll(a) })
	}
	why := ts.warm(ctx, apps, limit)
	if why != nil && in.Cold {
		e.lg.Error("moving to a release whose app does not answer: no other is left", "site", in.Site, "release", in.Release, "err", why)
		return nil
	}
	return coldError(in, why, limit)
}

// coldError says that a release gets no visitor because its app does not answer.
func coldError(in aplomb.Intent, why error, limit time.Duration) error {
	if why == nil {
		return nil
	}
	return aplomb.NewError(aplomb.CodeAppCold, fmt.Sprintf("%s gets no visitor", in.Release), fmt.Sprintf("its app did not answer its check within %v: %v", limit, why),
		fmt.Sprintf("start the app, then: aplomb promote %s --site %s", in.Release, in.Site)).Because(why)
}

// getsAll reports whether visitors of s get all targets of a route already.
func (s *site) getsAll(a *appRoute) bool {
	return !slices.ContainsFunc(a.to, func(t *target) bool {
		return !slices.ContainsFunc(s.apps, func(b *appRoute) bool { return slices.Contains(b.to, t) })
	})
}
