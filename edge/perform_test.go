package edge

import (
	"context"
	"errors"
	"strings"
	"testing"

	"aplomb"
)

func TestSwitchNeverGoesBackOnTheChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
	fork := route(5, r1, r2)
	fork.Head.SHA = aplomb.Sum([]byte("another line 5"))
	epoch := route(1, r1, r2)
	epoch.Head.Epoch = 2
	unrecorded := route(5, r1, r2)
	unrecorded.Unrecorded = true
	for _, c := range []struct {
		name string
		next aplomb.Route
		kind error
		says string
		live aplomb.ReleaseID
	}{
		{"older", route(4, r1, r2), aplomb.ErrDegraded, "rewound", "r2"},
		{"fork", fork, aplomb.ErrDegraded, "fork", "r2"},
		{"same position, other release", route(5, r1, r2), aplomb.ErrConflict, "same position", "r2"},
		{"same", route(5, r2, r1), nil, "", "r2"},
		{"newer", route(6, r1, r2), nil, "", "r1"},
		{"newer epoch", epoch, nil, "", "r1"},
		{"rollback that was not recorded", unrecorded, nil, "", "r1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := w.edge(t.TempDir())
			w.perform(e, intent(route(5, r2, r1)))
			_, err := e.Perform(t.Context(), intent(c.next))
			if !errors.Is(err, c.kind) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("Perform: %v, want %v saying %q", err, c.kind, c.says)
			}
			if got := e.Routes()[0].Live; got != c.live {
				t.Errorf("live %s, want %s", got, c.live)
			}
		})
	}
}

func TestUnrecordedRollbackIsNotUndoneByTheSamePosition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
	e := w.edge(t.TempDir())
	w.perform(e, intent(route(5, r2, r1)))
	back := route(5, r1, r2)
	back.Unrecorded = true
	w.perform(e, urgent(back))
	if _, err := e.Perform(t.Context(), intent(route(5, r2, r1))); !errors.Is(err, aplomb.ErrConflict) {
		t.Errorf("the route before it: %v, want a conflict", err)
	}
	if got := e.Routes()[0]; got.Live != "r1" || !got.Unrecorded {
		t.Errorf("live %s, unrecorded %v", got.Live, got.Unrecorded)
	}
}

func TestPerformingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.edge(t.TempDir())
	in := intent(route(1, w.release(1, content{"/index.html": "one"})))
	first := w.perform(e, in)
	table := e.table.Load()
	again := w.perform(e, in)
	if e.table.Load() != table {
		t.Error("the table was replaced")
	}
	if first.Kind != aplomb.EventRouted || again.Kind != aplomb.EventRouted || again.Release != "r1" || again.Intent != in.ID {
		t.Errorf("events %+v and %+v", first, again)
	}
}

func TestReleaseThatIsNotWholeGetsNoVisitor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r1 := w.release(1, content{"/index.html": "one"})
	gone := w.release(2, content{"/index.html": "two"})
	w.blobs.damage(gone.Manifest, aplomb.ErrNotFound)
	broken := w.release(3, content{"/index.html": "three", "/about.html": "three about"})
	w.blobs.damage(aplomb.Sum([]byte("three about")), aplomb.ErrDamaged)
	garbage := aplomb.KeptRelease{ID: "r4", State: aplomb.Replaced, Manifest: w.blobs.put([]byte("{"))}
	e := w.edge(t.TempDir())
	w.perform(e, intent(route(1, r1)))
	for _, c := range []struct {
		to   aplomb.KeptRelease
		kind error
	}{{gone, aplomb.ErrNotFound}, {broken, aplomb.ErrDamaged}, {garbage, aplomb.ErrDamaged}} {
		if _, err := e.Perform(t.Context(), urgent(route(2, c.to, r1))); !errors.Is(err, c.kind) {
			t.Errorf("to %s: %v, want %v", c.to.ID, err, c.kind)
		}
		if got := bodyOf(t, get(e, "/")); got != "one" {
			t.Errorf("after %s was refused: serves %q, want one", c.to.ID, got)
		}
	}
	w.blobs.damage(aplomb.Sum([]byte("three about")), nil)
	w.perform(e, intent(route(2, broken, r1)))
	if got := bodyOf(t, get(e, "/")); got != "three" {
		t.Errorf("when it is whole again: serves %q, want three", got)
	}
}

func TestBadIntentsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.edge(t.TempDir())
	r := route(1, w.release(1, content{"/index.html": "one"}))
	kind, site, release := intent(r), intent(r), intent(r)
	kind.Kind, site.Site, release.Release = "watch", "other", "r9"
	for _, in := range []aplomb.Intent{kind, site, release} {
		if _, err := e.Perform(t.Context(), in); !errors.Is(err, aplomb.ErrInternal) {
			t.Errorf("%+v: %v, want refused", in, err)
		}
	}
	w.perform(e, intent(r))
	taken := route(1, w.release(1, content{"/index.html": "one"}))
	taken.Site = aplomb.Site{Name: "thief", Hosts: []aplomb.Host{shopHost}}
	if _, err := e.Perform(t.Context(), intent(taken)); !errors.Is(err, aplomb.ErrConflict) {
		t.Errorf("host of another site: %v, want a conflict", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	next := route(2, w.release(2, content{"/index.html": "two"}))
	if _, err := e.Perform(ctx, intent(next)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, want cancelled", err)
	}
	if _, err := e.Perform(ctx, urgent(next)); err != nil {
		t.Errorf("cancelled but urgent: %v, want moved", err)
	}
}

func TestSiteMovesToOtherHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.edge(t.TempDir())
	r1 := w.release(1, content{"/index.html": "one"})
	w.perform(e, intent(route(1, r1)))
	moved := route(2, r1)
	moved.Site.Hosts = []aplomb.Host{"new.test"}
	w.perform(e, intent(moved))
	for host, want := range map[string]int{"new.test": 200, shopHost: 421} {
		r := request("GET", "/")
		r.Host = host
		if got := do(e, r).StatusCode; got != want {
			t.Errorf("%s: status %d, want %d", host, got, want)
		}
	}
}
