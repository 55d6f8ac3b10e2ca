package rollout

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"aplomb"

	"pgregory.net/rapid"
)

// world drives Step with random events, crashes included, and holds every step against one oracle.
type world struct {
	state  State
	now    time.Time
	open   []int64 // rollouts whose upload is open
	facts  []aplomb.Fact
	served aplomb.ReleaseID // what the edge serves: changed by performing an intent only
}

// TestHistoryIsLinearAndRollbackNeverChoosesABadRelease: whatever happens in whatever order, with a crash and a
// repeated performance at every intent, the state is sound after every step.
func TestHistoryIsLinearAndRollbackNeverChoosesABadRelease(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)}
		w.step(t, aplomb.Event{Kind: aplomb.EventCreate, Site: aplomb.Site{Name: "shop"}})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 3*3600).Draw(t, "seconds")) * time.Second)
			w.step(t, w.draw(t))
			if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
				w.crash(t)
			}
		}
	})
}

func (w *world) draw(t *rapid.T) aplomb.Event {
	kind := rapid.SampledFrom([]aplomb.EventKind{
		aplomb.EventRequest, aplomb.EventSealed, aplomb.EventSealed, aplomb.EventAbandoned, aplomb.EventPromote, aplomb.EventRollback,
		aplomb.EventUndo, aplomb.EventRetire, aplomb.EventProceed, aplomb.EventProceed, aplomb.EventRouted, aplomb.EventRouted, aplomb.EventRouted,
		aplomb.EventFailed, aplomb.EventCollected, aplomb.EventNote,
		aplomb.EventSiteSet, aplomb.EventOffline, aplomb.EventOnline, aplomb.EventForget, aplomb.EventSiteRemove,
	}).Draw(t, "kind")
	ev := aplomb.Event{Kind: kind, Why: rapid.SampledFrom([]string{"", "because"}).Draw(t, "why")}
	any := func() aplomb.ReleaseID {
		return aplomb.NewReleaseID(rapid.IntRange(1, max(1, w.state.Last)).Draw(t, "release"))
	}
	switch kind {
	case aplomb.EventSealed, aplomb.EventAbandoned:
		if len(w.open) > 0 {
			ev.Rollout = rapid.SampledFrom(w.open).Draw(t, "rollout")
		}
		key := rapid.IntRange(0, 5).Draw(t, "key") // a few seals come again
		ev.NoLive = rapid.Bool().Draw(t, "no live") && rapid.Bool().Draw(t, "really")
		ev.Sealed = aplomb.Release{Seal: aplomb.Sum(fmt.Append(nil, key)), Manifest: aplomb.Sum(fmt.Append(nil, "m", key))}
	case aplomb.EventPromote, aplomb.EventRetire, aplomb.EventNote:
		ev.Release = any()
	case aplomb.EventRollback, aplomb.EventUndo:
		if rapid.IntRange(0, 4).Draw(t, "broken") == 0 {
			ev.Releases = []aplomb.ReleaseID{any()}
		}
	case aplomb.EventSiteSet:
		ev.Site = w.state.Site
		ev.Site.Hosts = []aplomb.Host{aplomb.Host(rapid.SampledFrom([]string{"a.localhost", "b.localhost"}).Draw(t, "host"))}
		ev.Site.Offline, ev.Site.Gone = nil, nil // are not set by it
	case aplomb.EventForget:
		if rapid.Bool().Draw(t, "whole release") {
			ev.Release = any()
		}
		ev.Gone = []string{"/" + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "gone")}
	case aplomb.EventSiteRemove:
		if rapid.IntRange(0, 9).Draw(t, "really") > 0 {
			ev.Kind = aplomb.EventOnline
		}
	case aplomb.EventCollected:
		ev.Releases = w.state.Collectable(w.now.Add(40 * 24 * time.Hour))
	case aplomb.EventRouted, aplomb.EventFailed:
		if p := w.state.Pending; p != nil {
			ev.Intent = p.Intent.ID
			if kind == aplomb.EventRouted {
				w.served = p.Intent.Release // performed, now recorded
			} else if w.served == p.Intent.Release {
				ev.Kind = aplomb.EventRouted // it was performed before a crash: the edge says so again
			}
		}
	}
	return ev
}

// crash loses everything but what was written, performs what is pending once more, and may crash again before the
// result is written.
func (w *world) crash(t *rapid.T) {
	w.state = reload(t, w.state)
	if p := w.state.Pending; p != nil {
		if route := w.state.Route(aplomb.Head{N: w.state.N}); route.Live != p.Intent.Release {
			t.Fatalf("route of pending %s goes to %s", p.Intent.ID, route.Live)
		}
		w.served = p.Intent.Release
		if rapid.Bool().Draw(t, "recorded") {
			w.step(t, aplomb.Event{Kind: aplomb.EventRouted, Intent: p.Intent.ID})
		}
	}
}

// reload is what a restart reads: the state's JSON, and each release's.
func reload(t *rapid.T, s State) State {
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var out State
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	out.Releases = map[aplomb.ReleaseID]aplomb.Release{}
	for id, r := range s.Releases {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back aplomb.Release
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		out.Releases[id] = back
	}
	return out
}

func dump(s State) string {
	b, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	r, err := json.Marshal(s.Releases)
	if err != nil {
		return err.Error()
	}
	return string(b) + string(r)
}

func (w *world) step(t *rapid.T, ev aplomb.Event) {
	ev.At, ev.Actor = w.now, "mia"
	before, was := w.state, dump(w.state)
	out, err := Step(before, ev)
	if now := dump(before); now != was {
		t.Fatalf("Step(%s) changed its input:\n%s\n%s", ev.Kind, was, now)
	}
	if err != nil {
		var e *aplomb.Error
		if !errors.As(err, &e) && !errors.Is(err, ErrPending) && !errors.Is(err, ErrNothing) && !errors.Is(err, aplomb.ErrConflict) && !(before.Removed && errors.Is(err, aplomb.ErrNotFound)) {
			t.Fatalf("Step(%s): %v", ev.Kind, err)
		}
		return
	}
	again, err := Step(reload(t, before), ev)
	if err != nil || dump(again.State) != dump(out.State) {
		t.Fatalf("Step(%s) decides otherwise after a restart: %v\n%s\n%s", ev.Kind, err, dump(out.State), dump(again.State))
	}
	w.state = out.State
	w.facts = append(w.facts, out.Fact)
	w.oracle(t, before, ev, out)
	if ev.Kind == aplomb.EventRequest {
		w.open = append(w.open, out.Fact.N)
	}
	if ev.Kind == aplomb.EventSealed || ev.Kind == aplomb.EventAbandoned {
		w.open = slices.DeleteFunc(w.open, func(n int64) bool { return n == ev.Rollout })
	}
}

// oracle checks the whole state after a step.
func (w *world) oracle(t *rapid.T, before State, ev aplomb.Event, out Outcome) {
	s, f := out.State, out.Fact
	if err := s.Check(); err != nil {
		t.Fatalf("after %s: %v", ev.Kind, err)
	}
	if f.N != int64(len(w.facts)) || s.N != f.N || f.Actor == "" || f.Why == "" || f.Kind == "" || f.Site != "shop" {
		t.Fatalf("fact %+v is incomplete, or not number %d", f, len(w.facts))
	}
	if (len(out.Commands) > 0) != (f.Kind == aplomb.FactSwitching) || len(out.Commands) > 0 && before.Pending != nil {
		t.Fatalf("%s with %d commands while pending is %v", f.Kind, len(out.Commands), before.Pending)
	}
	if f.Kind.IsAct() {
		if f.From != before.Live || s.Live != f.Release || w.served != s.Live || before.Pending == nil {
			t.Fatalf("act %d moves from %q to %q; live was %q, the edge serves %q", f.N, f.From, f.Release, before.Live, w.served)
		}
	} else if s.Live != before.Live {
		t.Fatalf("%s moved the visitors from %q to %q", f.Kind, before.Live, s.Live)
	}
	if s.Pending == nil && w.served != s.Live {
		t.Fatalf("nothing is pending; live is %q, the edge serves %q", s.Live, w.served)
	}
	w.oracleTargets(t, before, ev, out)
	w.oracleSite(t, before, ev, out)
	route := s.Route(aplomb.Head{N: s.N})
	kept := map[aplomb.ReleaseID]bool{}
	for _, k := range route.Kept {
		kept[k.ID] = true
	}
	for id, r := range maps.All(s.Releases) {
		if kept[id] == r.Collected {
			t.Fatalf("release %s: collected %v, kept by the edge %v", id, r.Collected, kept[id])
		}
	}
}

// oracleSite checks that the site's own rules change by their own events only, whatever is rolled back meanwhile.
func (w *world) oracleSite(t *rapid.T, before State, ev aplomb.Event, out Outcome) {
	s, f := out.State, out.Fact
	if before.Removed {
		t.Fatalf("%s on a site that is removed", ev.Kind)
	}
	if s.Removed && (f.Kind != aplomb.FactSiteRemoved || before.Pending != nil || len(before.Rollouts) > 0) {
		t.Fatalf("%s removed the site while %v is on its way", f.Kind, before.Rollouts)
	}
	if f.Kind != aplomb.FactSiteSet && f.Kind != aplomb.FactSiteCreated && !slices.Equal(s.Site.Hosts, before.Site.Hosts) {
		t.Fatalf("%s changed the hosts", f.Kind)
	}
	if changed := (s.Site.Offline == nil) != (before.Site.Offline == nil); changed && f.Kind != aplomb.FactOffline && f.Kind != aplomb.FactOnline {
		t.Fatalf("%s took the site off or on", f.Kind)
	}
	for _, p := range before.Site.Gone {
		if !slices.Contains(s.Site.Gone, p) {
			t.Fatalf("%s brought %s back", f.Kind, p)
		}
	}
	if len(s.Site.Gone) != len(before.Site.Gone) && f.Kind != aplomb.FactForgotten {
		t.Fatalf("%s made something forgotten", f.Kind)
	}
	if f.Kind == aplomb.FactForgotten && f.Release != "" && (f.Release == before.Live || !s.Releases[f.Release].Collected || s.Releases[f.Release].State != aplomb.Retired) {
		t.Fatalf("forgotten %s is %+v", f.Release, s.Releases[f.Release])
	}
	if got := s.Route(aplomb.Head{N: s.N}).Site; !slices.Equal(got.Gone, s.Site.Gone) || (got.Offline == nil) != (s.Site.Offline == nil) {
		t.Fatalf("the route's site is %+v, the state's %+v", got, s.Site)
	}
}

// oracleTargets checks where an act may go, and what it does to the rollouts on their way.
func (w *world) oracleTargets(t *rapid.T, before State, ev aplomb.Event, out Outcome) {
	s, f := out.State, out.Fact
	if f.Kind == aplomb.FactSwitching {
		to := before.Releases[f.Release]
		if to.State == aplomb.Retired || to.Collected || slices.Contains(ev.Releases, to.ID) {
			t.Fatalf("%s chose %s, which is %s, collected %v", ev.Kind, to.ID, to.State, to.Collected)
		}
		if ev.Kind == aplomb.EventRollback {
			for _, r := range before.Releases {
				if r.State == aplomb.Replaced && !r.Collected && !slices.Contains(ev.Releases, r.ID) && r.LastLive.After(to.LastLive) {
					t.Fatalf("rollback chose %s, last live %s; %s was live until %s", to.ID, to.LastLive, r.ID, r.LastLive)
				}
			}
			if to.State != aplomb.Replaced || len(s.Rollouts) != 0 {
				t.Fatalf("rollback chose %s, which is %s, and left %d rollouts on their way", to.ID, to.State, len(s.Rollouts))
			}
		}
	}
	left := s.Releases[f.From].State
	switch {
	case f.Kind == aplomb.FactRolledBack && left != aplomb.Bad:
		t.Fatalf("rolled back from %s, which is %s", f.From, left)
	case f.Kind == aplomb.FactUndone && before.LastAct.Kind == aplomb.FactLive && left != aplomb.Waiting:
		t.Fatalf("an undone deploy leaves %s %s", f.From, left)
	case f.Kind == aplomb.FactLive && f.From != "" && left != aplomb.Replaced:
		t.Fatalf("%s took the place of %s, which is %s", f.Release, f.From, left)
	case f.Kind == aplomb.FactLive && slices.ContainsFunc(s.Rollouts, func(r Rollout) bool { return r.N <= f.Rollout }):
		t.Fatalf("rollout %d is live, an earlier one goes on: %+v", f.Rollout, s.Rollouts)
	}
}

// FuzzStep: no event, however odd, makes Step panic or leave an unsound state.
func FuzzStep(f *testing.F) {
	f.Add([]byte(`[{"kind":"create","site":{"name":"shop"}},{"kind":"request"},{"kind":"sealed","rollout":2},{"kind":"proceed"},{"kind":"routed","intent":"shop.4"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var events []aplomb.Event
		if json.Unmarshal(b, &events) != nil || len(events) > 200 {
			return
		}
		var s State
		at := time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
		for _, ev := range events {
			at = at.Add(time.Minute)
			ev.At = at
			if ev.Kind == aplomb.EventCreate {
				ev.Site = aplomb.Site{Name: "shop"}
			}
			out, err := Step(s, ev)
			if err != nil {
				continue
			}
			if err := out.State.Check(); err != nil {
				t.Fatalf("after %+v: %v", ev, err)
			}
			s = out.State
		}
	})
}
