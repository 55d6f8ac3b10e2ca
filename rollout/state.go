// Package rollout is the state machine of a site's releases: Step(State, Event) → Outcome. It decides and never acts: no
// I/O, no clock, no goroutine; what has to be done comes out as intents, what happened goes in as events.
package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"aplomb"
)

// UndoFor is how long after an act undo still reverses it.
const UndoFor = 24 * time.Hour

// Releases are kept while they are among the newest KeepLast or were sealed or seen by visitors within KeepFor.
const (
	KeepLast = 10
	KeepFor  = 30 * 24 * time.Hour
)

// Stage is a step of a rollout.
type Stage string

// The stages there are.
const (
	StageUpload Stage = "upload" // its files are on their way
	StageSwitch Stage = "switch" // it is sealed and goes in front of the visitors next
)

// Rollout is one unfinished way of a release to the visitors.
type Rollout struct {
	N       int64            `json:"rollout"` // n of the fact that requested it
	Stage   Stage            `json:"stage"`
	Release aplomb.ReleaseID `json:"release,omitempty"` // "" until it is sealed
	Actor   string           `json:"actor"`
	Why     string           `json:"why"`
	At      time.Time        `json:"at"`
}

// Over is a rollout that was ended by another act while its upload was still open: what becomes of the release when
// it is sealed all the same.
type Over struct {
	N     int64               `json:"rollout"`
	State aplomb.ReleaseState `json:"state"`
	Why   string              `json:"why"`
}

// Pending is a recorded intent whose result is not recorded yet, with what its result will mean.
type Pending struct {
	Intent  aplomb.Intent       `json:"intent"`
	Kind    aplomb.FactKind     `json:"kind"` // live, rolled-back or undone
	Left    aplomb.ReleaseState `json:"left"` // the state that the release it leaves gets
	Rollout int64               `json:"rollout,omitempty"`
	Undid   int64               `json:"undid,omitempty"`
	Ended   []int64             `json:"ended,omitempty"`
	Actor   string              `json:"actor"`
	Why     string              `json:"why"`
	At      time.Time           `json:"at"`
}

// Act is the last thing visitors saw happen, with what undo needs.
type Act struct {
	N     int64               `json:"n"`
	At    time.Time           `json:"at"`
	Kind  aplomb.FactKind     `json:"kind"`
	Actor string              `json:"actor,omitempty"`
	Why   string              `json:"why,omitempty"`
	From  aplomb.ReleaseID    `json:"from,omitempty"`
	To    aplomb.ReleaseID    `json:"to"`
	ToWas aplomb.ReleaseState `json:"to_was"` // the state of To before this act
}

// State is all that decides about one site. Its JSON leaves the releases out: they are records of their own.
type State struct {
	Site     aplomb.Site      `json:"site"`
	N        int64            `json:"n"` // n of the last fact in it
	Live     aplomb.ReleaseID `json:"live,omitempty"`
	Last     int              `json:"last"` // number of the newest release
	Rollouts []Rollout        `json:"rollouts,omitempty"`
	Over     []Over           `json:"over,omitempty"`
	Pending  *Pending         `json:"pending,omitempty"`
	LastAct  *Act             `json:"last_act,omitempty"`
	// Removed is set when the site has ended. Nothing comes after that.
	Removed bool `json:"removed,omitempty"`

	Releases map[aplomb.ReleaseID]aplomb.Release `json:"-"`
}

// clone returns a copy that shares nothing Step changes.
func (s State) clone() State {
	s.Rollouts = slices.Clone(s.Rollouts)
	s.Over = slices.Clone(s.Over)
	s.Releases = maps.Clone(s.Releases)
	if s.Releases == nil {
		s.Releases = map[aplomb.ReleaseID]aplomb.Release{}
	}
	return s
}

// Find returns the unfinished rollout that was requested by fact n.
func (s State) Find(n int64) (Rollout, bool) {
	for _, r := range s.Rollouts {
		if r.N == n {
			return r, true
		}
	}
	return Rollout{}, false
}

// BySeal returns the release with that seal whose bytes are kept.
func (s State) BySeal(seal aplomb.Digest) (aplomb.Release, bool) {
	for _, r := range s.Releases {
		if r.Seal == seal && !r.Collected {
			return r, true
		}
	}
	return aplomb.Release{}, false
}

// Targets lists the releases a rollback may choose, in its order: replaced, the one left last first, by the number of the act
// that took its place; the clock may have been set back since.
// Releases in broken are left out.
func (s State) Targets(broken []aplomb.ReleaseID) []aplomb.Release {
	var out []aplomb.Release
	for _, r := range s.Releases {
		if r.State == aplomb.Replaced && !r.Collected && !slices.Contains(broken, r.ID) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b aplomb.Release) int {
		return cmp.Or(cmp.Compare(b.LastN, a.LastN), b.LastLive.Compare(a.LastLive), cmp.Compare(b.ID.Number(), a.ID.Number()))
	})
	return out
}

// Route returns what an edge serves in this state; while a switch is pending, what it serves once that is performed.
func (s State) Route(head aplomb.Head) aplomb.Route {
	if s.Pending != nil {
		s = s.clone()
		s.land(*s.Pending, s.Pending.At, s.N)
	}
	route := aplomb.Route{Site: s.Site, Head: head, Live: s.Live, Kept: []aplomb.KeptRelease{}}
	add := func(r aplomb.Release) {
		route.Kept = append(route.Kept, aplomb.KeptRelease{ID: r.ID, State: r.State, Seal: r.Seal, Manifest: r.Manifest, LastLive: r.LastLive})
	}
	if live, ok := s.Releases[s.Live]; ok {
		route.Since = live.LiveSince
		add(live)
	}
	for _, r := range s.Targets(nil) {
		add(r)
	}
	rest := slices.SortedFunc(maps.Values(s.Releases), func(a, b aplomb.Release) int { return cmp.Compare(b.ID.Number(), a.ID.Number()) })
	for _, r := range rest {
		if !r.Collected && r.ID != s.Live && r.State != aplomb.Replaced {
			add(r)
		}
	}
	return route
}

// Collectable lists the releases whose bytes are kept for nobody any more at that time: not live, not on their way, not
// among the newest KeepLast, neither sealed nor seen by visitors within KeepFor.
func (s State) Collectable(at time.Time) []aplomb.ReleaseID {
	var out []aplomb.ReleaseID
	for _, r := range s.Releases {
		if !r.Collected && r.ID.Number() <= s.Last-KeepLast && at.Sub(r.Sealed) > KeepFor && at.Sub(r.LastLive) > KeepFor && !s.inUse(r.ID) {
			out = append(out, r.ID)
		}
	}
	slices.SortFunc(out, func(a, b aplomb.ReleaseID) int { return cmp.Compare(a.Number(), b.Number()) })
	return out
}

// inUse reports whether a release is live or on its way to the visitors.
func (s State) inUse(id aplomb.ReleaseID) bool {
	if id == s.Live || s.Pending != nil && (s.Pending.Intent.Release == id || s.Pending.Intent.From == id) {
		return true
	}
	return slices.ContainsFunc(s.Rollouts, func(r Rollout) bool { return r.Release == id })
}

// land changes the state to what it is when the pending switch has reached the visitors: at, as fact n.
func (s *State) land(p Pending, at time.Time, n int64) {
	from, to := p.Intent.From, p.Intent.Release
	if r, ok := s.Releases[from]; ok {
		r.State, r.LastLive, r.LastN, r.Why = p.Left, at, n, p.whyLeft()
		s.Releases[from] = r
	}
	r := s.Releases[to]
	s.LastAct = &Act{N: n, At: at, Kind: p.Kind, Actor: p.Actor, Why: p.Why, From: from, To: to, ToWas: r.State}
	r.State, r.LiveSince, r.LastLive, r.Why = aplomb.Live, at, time.Time{}, ""
	s.Releases[to] = r
	s.Live, s.Pending = to, nil
}

// whyLeft says why the release that is left is in the state it gets.
func (p Pending) whyLeft() string {
	switch {
	case p.Left == aplomb.Bad:
		return fmt.Sprintf("withdrawn by %s: %s", p.Actor, p.Why)
	case p.Left == aplomb.Waiting:
		return fmt.Sprintf("undone by %s: %s", p.Actor, p.Why)
	default:
		return ""
	}
}

// Check reports the first thing that must not be in any state. A state that fails it was damaged, or Step has a bug.
func (s State) Check() error {
	live := 0
	for id, r := range s.Releases {
		switch {
		case id != r.ID || id.Number() < 1 || id.Number() > s.Last:
			return fmt.Errorf("release %q is recorded as %q, newest is r%d", r.ID, id, s.Last)
		case r.State == aplomb.Live:
			live++
			if id != s.Live || r.Collected {
				return fmt.Errorf("release %s says live; live is %q", id, s.Live)
			}
		}
		if r.State == aplomb.Replaced && r.LastLive.IsZero() {
			return fmt.Errorf("release %s is replaced and was never live", id)
		}
	}
	if s.Removed && (s.Pending != nil || len(s.Rollouts) > 0) {
		return fmt.Errorf("the site is removed while something is on its way")
	}
	if s.LastAct != nil && s.LastAct.To != s.Live {
		return fmt.Errorf("live is %q, the last act brought %q", s.Live, s.LastAct.To)
	}
	if (s.Live != "") != (live == 1) || live > 1 {
		return fmt.Errorf("live is %q and %d releases say so", s.Live, live)
	}
	return s.checkUnfinished()
}

func (s State) checkUnfinished() error {
	last := int64(0)
	for _, r := range s.Rollouts {
		if r.N <= last || r.N > s.N {
			return fmt.Errorf("rollout %d is out of order", r.N)
		}
		last = r.N
		if _, ok := s.Releases[r.Release]; ok != (r.Stage == StageSwitch) {
			return fmt.Errorf("rollout %d in stage %s has release %q", r.N, r.Stage, r.Release)
		}
	}
	if s.Pending == nil {
		return nil
	}
	target, ok := s.Releases[s.Pending.Intent.Release]
	if !ok || target.Collected || target.State == aplomb.Retired || s.Pending.Intent.From != s.Live || target.ID == s.Live {
		return fmt.Errorf("intent %s moves from %q to %q while %q is live", s.Pending.Intent.ID, s.Pending.Intent.From, s.Pending.Intent.Release, s.Live)
	}
	return nil
}
