package aplomb_test

import (
	"strings"
	"testing"

	"aplomb"
)

func TestAppRoutesThatCannotBeFollowedAreRefused(t *testing.T) {
	t.Parallel()
	good := aplomb.AppRoute{Path: "/api", To: []string{"127.0.0.1:3000", "app.internal:80", "[::1]:3000", "unix:/run/shop.sock"}, Health: "/up", Timeout: 5}
	if err := aplomb.CheckApp([]aplomb.AppRoute{good, {Path: "/", To: []string{"localhost:1"}}}); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(r *aplomb.AppRoute){
		"begin with /":        func(r *aplomb.AppRoute) { r.Path = "api" },
		"belong to Aplomb":    func(r *aplomb.AppRoute) { r.Path = "/.aplomb" },
		"segments":            func(r *aplomb.AppRoute) { r.Path = "/a/../b" },
		"is not allowed":      func(r *aplomb.AppRoute) { r.Path = "/a b" },
		"at least one":        func(r *aplomb.AppRoute) { r.To = nil },
		"host:port":           func(r *aplomb.AppRoute) { r.To = []string{"localhost"} },
		"a port of":           func(r *aplomb.AppRoute) { r.To = []string{"localhost:70000"} },
		"want the name":       func(r *aplomb.AppRoute) { r.To = []string{"http://a:1"} },
		"IPv6 in brackets":    func(r *aplomb.AppRoute) { r.To = []string{"::1:3000"} },
		"absolute path":       func(r *aplomb.AppRoute) { r.To = []string{"unix:run"} },
		"twice":               func(r *aplomb.AppRoute) { r.To = []string{"a:1", "a:1"} },
		"health":              func(r *aplomb.AppRoute) { r.Health = "up" },
		"1 to 3600 seconds":   func(r *aplomb.AppRoute) { r.Timeout = 3601 },
		"it stands there twi": func(r *aplomb.AppRoute) { r.Path = "/" },
	} {
		bad := good
		change(&bad)
		err := aplomb.CheckApp([]aplomb.AppRoute{{Path: "/", To: []string{"a:1"}}, bad})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", bad, err, want)
		}
	}
}

func TestAppRouteTakesItsPrefixAndWhatIsBelow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		route, path string
		takes       bool
	}{
		{"/api", "/api", true}, {"/api", "/api/", true}, {"/api", "/api/x", true}, {"/api", "/apis", false},
		{"/api", "/", false}, {"/api/", "/api", true}, {"/", "/", true}, {"/", "/x", true}, {"/a/b", "/a", false},
	} {
		if got := (aplomb.AppRoute{Path: c.route}).Takes(c.path); got != c.takes {
			t.Errorf("%s takes %s: %v", c.route, c.path, got)
		}
	}
}
