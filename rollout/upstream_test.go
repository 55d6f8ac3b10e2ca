package rollout

import (
	"errors"
	"slices"
	"testing"

	"aplomb"
)

func TestASiteAllowsOnlyTheAddressesItNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		allowed []string
		addr    string
		want    bool
	}{
		{nil, "127.0.0.1:3000", true},
		{nil, "[::1]:3000", true},
		{nil, "localhost:1", true},
		{nil, "LocalHost:1", true},
		{nil, "unix:/run/shop.sock", true},
		{nil, "127.0.0.11:3000", false},
		{nil, "10.0.0.1:3000", false},
		{nil, "169.254.169.254:80", false},
		{[]string{"app.internal:3000"}, "app.internal:3000", true},
		{[]string{"app.internal:3000"}, "app.internal:3001", false},
		{[]string{"app.internal:*"}, "evil.app.internal:3000", false},
		{[]string{"app.internal:*"}, "127.0.0.1:3000", false},
		{[]string{"unix:/run/*"}, "unix:/run/shop.sock", true},
		{[]string{"unix:/run/*"}, "unix:/run/../tmp/x", false},
		{[]string{"unix:/run/*"}, "unix:/tmp/x", false},
		{[]string{"127.0.0.1:*"}, "unix:/run/x", false},
		{[]string{"none"}, "127.0.0.1:3000", false},
	} {
		if got := Allows(aplomb.Site{Upstreams: c.allowed}, c.addr); got != c.want {
			t.Errorf("Allows(%q, %q) = %v, want %v", c.allowed, c.addr, got, c.want)
		}
	}
}

func TestUpstreamPatternsThatMatchMoreThanTheySayAreRefused(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"127.0.0.1:*", "app.internal:3000", "[::1]:*", "unix:*", "unix:/run/*", "none"} {
		if err := CheckUpstreamPattern(p); err != nil {
			t.Errorf("CheckUpstreamPattern(%q): %v", p, err)
		}
	}
	for _, p := range []string{"", "*", "*:*", "*:3000", "*.internal:3000", "10.0.0.*:80", "unix:", "unix:run/*", "app.internal", "app.internal:0", ":*"} {
		if err := CheckUpstreamPattern(p); err == nil {
			t.Errorf("CheckUpstreamPattern(%q) accepts it", p)
		}
	}
}

func TestTheFirstReleaseSeedsWhatItsSiteAllows(t *testing.T) {
	t.Parallel()
	if got := SeedUpstreams([]aplomb.AppRoute{{Path: "/", To: []string{"127.0.0.1:3000"}}}); got != nil {
		t.Errorf("a site with an app on this machine begins with %q, want the default", got)
	}
	app := []aplomb.AppRoute{{Path: "/api", To: []string{"app.internal:3000", "app.internal:3001"}}, {Path: "/b", To: []string{"127.0.0.1:1"}}}
	got := SeedUpstreams(app)
	if want := append(aplomb.DefaultUpstreams(), "app.internal:*"); !slices.Equal(got, want) {
		t.Errorf("seeded %q, want %q", got, want)
	}
	if err := CheckApp("x", aplomb.Site{Upstreams: got}, app); err != nil {
		t.Errorf("what was seeded does not allow the release it was seeded from: %v", err)
	}
	err := CheckApp("nothing uploaded", aplomb.Site{Name: "shop"}, app)
	if !errors.Is(err, aplomb.ErrRefused) {
		t.Errorf("CheckApp = %v, want a refusal", err)
	}
}
