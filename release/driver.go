package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"aplomb"
	"aplomb/ledger"
	"aplomb/rollout"
)

// Keys of a site's records.
const (
	stateKey  = "state"
	relPrefix = "rel/"
)

// driver is the one writer of one site: its tasks run one after the other, so the site's history is linear.
type driver struct {
	m     *Manager
	name  aplomb.SiteName
	tasks chan task
	// gone is closed, and life ended, when the site has been removed: no task runs any more.
	gone chan struct{}
	life context.Context
	end  context.CancelFunc

	// owned by the task that runs
	state      rollout.State
	head       aplomb.Head
	degraded   error           // why nothing can be written
	unrecorded []aplomb.Event  // rollbacks that the edge did and the ledger could not take, oldest first
	acts       map[int64]int64 // rollout → act that brought it live
	failures   map[int64]error // rollout → why it could not be performed
	took       []phases        // of the newest deploys
	done       []aplomb.Done   // parts of the act performed last
	unsaved    bool            // the edge could not write its state then: a restart would serve the route before
	cold       bool            // a release whose app does not answer is taken too: no other is left
	urgent     bool            // the task that runs takes visitors back: what it records may use the space kept for that
	sent       sentURLs

	// view is replaced as a whole after every change; readers never wait for a task.
	view atomic.Pointer[view]
}

// view is what readers see of a site.
type view struct {
	state    rollout.State
	head     aplomb.Head
	degraded error
	took     []phases
	// served is what the edge serves while that may differ from the state; nil otherwise.
	served *aplomb.Route
}

type task struct {
	ctx  context.Context
	run  func(ctx context.Context) error
	done chan error
}

func (m *Manager) newDriver(name aplomb.SiteName) *driver {
	d := &driver{m: m, name: name, tasks: make(chan task), gone: make(chan struct{}), acts: map[int64]int64{}, failures: map[int64]error{}}
	d.life, d.end = context.WithCancel(context.Background()) // ends with the site, not with whoever asked for it
	d.view.Store(&view{})
	return d
}

// start runs the driver's tasks until its channel is closed, or its site is gone.
func (d *driver) start() {
	d.m.running.Go(func() {
		defer d.end()
		for {
			select {
			case t, ok := <-d.tasks:
				if !ok {
					return
				}
				t.done <- t.run(t.ctx)
			case <-d.gone:
				return
			}
		}
	})
}

// do runs one task. The task gets a context that outlives the caller's: an act that has begun is finished. What it
// recorded is acknowledged when the edge's own disk knows of it too: the edge is the anchor that tells an
// acknowledged fact from a torn write.
func (d *driver) do(ctx context.Context, run func(ctx context.Context) error) error {
	anchored := func(ctx context.Context) error {
		err := run(ctx)
		if d.degraded == nil && len(d.unrecorded) == 0 && !d.state.Removed {
			if anchor := d.refresh(ctx, false); anchor != nil {
				d.m.lg.Warn("the edge does not know the newest fact", "site", d.name, "n", d.head.N, "err", anchor)
			}
		}
		return err
	}
	t := task{ctx: context.WithoutCancel(ctx), run: anchored, done: make(chan error, 1)}
	select {
	case <-d.gone:
		return d.errGone()
	default:
	}
	select {
	case d.tasks <- t:
	case <-d.gone:
		return d.errGone()
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-t.done
}

// doUrgent runs a task that takes visitors back. All that it records, what was left to record before it included, may
// use the disk space kept for rollbacks.
func (d *driver) doUrgent(ctx context.Context, run func(ctx context.Context) error) error {
	return d.do(ctx, func(ctx context.Context) error {
		d.urgent = true
		defer func() { d.urgent = false }()
		return run(ctx)
	})
}

// publish shows readers what stands now.
func (d *driver) publish() {
	v := &view{state: d.state, head: d.head, degraded: d.degraded, took: slices.Clone(d.took)}
	if len(d.unrecorded) > 0 || d.degraded != nil || d.state.Pending != nil {
		if r, ok := d.served(); ok {
			v.served = &r
		}
	}
	d.view.Store(v)
}

// served returns what the edge serves of this site.
func (d *driver) served() (aplomb.Route, bool) {
	for _, r := range d.m.cfg.Served() {
		if r.Site.Name == d.name {
			return r, true
		}
	}
	return aplomb.Route{}, false
}

// apply takes one event through Step, records the outcome in one compare-and-swap, and performs its commands. What was
// pending is finished first.
func (d *driver) apply(ctx context.Context, ev aplomb.Event) (rollout.Outcome, error) {
	if err := d.catchUp(ctx); err != nil {
		return rollout.Outcome{}, err
	}
	return d.step(ctx, ev)
}

// catchUp records what the edge has done already, so that the state says what visitors see. While that cannot be, nothing
// is decided.
func (d *driver) catchUp(ctx context.Context) error {
	if d.degraded != nil {
		return d.degraded
	}
	if err := d.finishPending(ctx); err != nil {
		return err
	}
	return d.recordLate(ctx)
}

// finishPending brings the recorded intent to its end, if there is one. Where the edge has moved on from it unrecorded, it
// was performed: only its result is missing.
func (d *driver) finishPending(ctx context.Context) error {
	p := d.state.Pending
	if p == nil {
		return nil
	}
	if isRollback(d.unrecorded) {
		_, err := d.step(ctx, aplomb.Event{Kind: aplomb.EventRouted, At: d.m.cfg.Now(), Actor: "aplomb", Intent: p.Intent.ID})
		return err
	}
	if err := d.perform(ctx, p.Intent); err != nil && !errors.Is(err, errFailed) {
		return err
	}
	return nil
}

func (d *driver) step(ctx context.Context, ev aplomb.Event) (rollout.Outcome, error) {
	out, err := rollout.Step(d.state, ev)
	if err != nil {
		return rollout.Outcome{}, err
	}
	if err := d.record(ctx, out, d.urgent || urgent(ev, out)); err != nil {
		return rollout.Outcome{}, err
	}
	for _, in := range out.Commands {
		if err := d.perform(ctx, in); err != nil {
			return out, err
		}
	}
	return out, nil
}

// urgent reports whether reserved disk space may be used to record an outcome.
func urgent(ev aplomb.Event, out rollout.Outcome) bool {
	return ev.Kind == aplomb.EventRollback || ev.Kind == aplomb.EventUndo || out.Fact.Kind == aplomb.FactRolledBack || out.Fact.Kind == aplomb.FactUndone
}

// record appends the outcome's fact with the records it moves. After an uncertain write the ledger is asked what
// became of it, before anything else is decided.
func (d *driver) record(ctx context.Context, out rollout.Outcome, urgent bool) error {
	writes, err := diff(d.state, out.State)
	if err != nil {
		return err
	}
	head, err := d.m.cfg.Ledger.Append(ctx, d.name, d.head, out.Fact, writes)
	if errors.Is(err, aplomb.ErrNoSpace) && urgent && d.m.cfg.FreeReserve != nil {
		if free := d.m.cfg.FreeReserve(); free != nil {
			d.m.lg.Error("reserve not freed", "site", d.name, "err", free)
		}
		head, err = d.m.cfg.Ledger.Append(ctx, d.name, d.head, out.Fact, writes)
	}
	if err != nil {
		head, err = d.settleUncertain(ctx, out.Fact, err)
	}
	if err != nil {
		if errors.Is(err, aplomb.ErrConflict) {
			d.reload(ctx)
		}
		return fmt.Errorf("record %s of %s: %w", out.Fact.Kind, d.name, err)
	}
	if head.N != out.State.N {
		return fmt.Errorf("record %s of %s: the ledger gave n %d, the state expects %d: %w", out.Fact.Kind, d.name, head.N, out.State.N, aplomb.ErrInternal)
	}
	d.state, d.head = out.State, head
	if out.Fact.Kind.IsAct() && out.Fact.Rollout != 0 {
		d.acts[out.Fact.Rollout] = out.Fact.N
	}
	d.publish()
	d.m.lg.Info("fact", "site", d.name, "n", head.N, "kind", out.Fact.Kind, "release", out.Fact.Release, "from", out.Fact.From, "actor", out.Fact.Actor, "why", out.Fact.Why)
	return nil
}

// settleUncertain finds out whether a fact whose write failed is there all the same.
func (d *driver) settleUncertain(ctx context.Context, fact aplomb.Fact, cause error) (aplomb.Head, error) {
	if errors.Is(cause, aplomb.ErrDegraded) {
		d.degraded = cause
		d.publish()
		return aplomb.Head{}, cause
	}
	snap, err := d.m.cfg.Ledger.Load(ctx, d.name)
	switch {
	case errors.Is(err, aplomb.ErrNotFound) && d.head.N == 0:
		return aplomb.Head{}, cause
	case err != nil:
		return aplomb.Head{}, errors.Join(cause, err)
	case snap.Head == d.head:
		return aplomb.Head{}, cause
	}
	for e, err := range d.m.cfg.Ledger.Entries(ctx, d.name, d.head.N) {
		if err == nil && e.Prev == d.head.SHA && e.Fact.Kind == fact.Kind && e.Fact.At.Equal(fact.At) && e.Fact.Actor == fact.Actor && e.Head == snap.Head {
			return e.Head, nil
		}
		break
	}
	return aplomb.Head{}, fmt.Errorf("the chain has moved to n %d: %w", snap.Head.N, errors.Join(aplomb.ErrConflict, cause))
}

// reload takes up what the ledger holds, after it turned out to hold more than this driver knew.
func (d *driver) reload(ctx context.Context) {
	snap, err := d.m.cfg.Ledger.Load(ctx, d.name)
	if err != nil {
		d.m.lg.Error("state not reloaded", "site", d.name, "err", err)
		return
	}
	state, err := stateOf(snap)
	if err != nil {
		d.m.lg.Error("state not usable", "site", d.name, "err", err)
		return
	}
	d.state, d.head = state, snap.Head
	d.publish()
}

// perform carries out a recorded intent and records its result.
func (d *driver) perform(ctx context.Context, in aplomb.Intent) error {
	do, ok := d.m.cfg.Performers[in.Kind]
	if !ok {
		return fmt.Errorf("no performer for %s: %w", in.Kind, aplomb.ErrInternal)
	}
	in.Route, in.Cold = d.state.Route(d.head), d.cold
	ev, err := do(ctx, in)
	if err != nil {
		d.m.lg.Error("intent failed", "site", d.name, "intent", in.ID, "err", err)
		ev = aplomb.Event{Kind: aplomb.EventFailed, Why: err.Error()}
		err = fmt.Errorf("%s of %s: %w: %w", in.Kind, d.name, errFailed, err)
		if p := d.state.Pending; p != nil && p.Rollout != 0 {
			d.failures[p.Rollout] = err
		}
	}
	ev.At, ev.Intent, ev.Actor = d.m.cfg.Now(), in.ID, "aplomb"
	d.done, d.unsaved = ev.Done, ev.Unsaved
	if _, rec := d.step(ctx, ev); rec != nil {
		d.publish() // what the edge serves now is not what the state says
		return errors.Join(rec, err)
	}
	if err != nil {
		return err
	}
	if d.state.Live == in.Release {
		d.sent.add(d.manifest(d.state.Releases[in.Release]))
		select {
		case d.m.encode <- d.name:
		default:
		}
	}
	return nil
}

// errFailed marks an intent that could not be performed and is recorded as such.
var errFailed = errors.New("not performed")

// settle goes on with whatever the state leaves to do, until nothing is left. A rollout whose intent could not be
// performed has ended; whoever waits for it learns why from outcome.
func (d *driver) settle(ctx context.Context) error {
	if d.degraded != nil {
		return nil
	}
	for {
		_, err := d.apply(ctx, aplomb.Event{Kind: aplomb.EventProceed, At: d.m.cfg.Now(), Actor: "aplomb"})
		switch {
		case errors.Is(err, rollout.ErrNothing):
			return nil
		case err != nil && !errors.Is(err, errFailed):
			return err
		}
	}
}

// diff lists the records that differ between two states.
func diff(old, next rollout.State) ([]ledger.Write, error) {
	state, err := json.Marshal(next)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	writes := []ledger.Write{{Key: stateKey, Value: state}}
	for _, id := range slices.Sorted(maps.Keys(next.Releases)) {
		if before, ok := old.Releases[id]; ok && before == next.Releases[id] {
			continue
		}
		b, err := json.Marshal(next.Releases[id])
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", id, err)
		}
		writes = append(writes, ledger.Write{Key: relPrefix + string(id), Value: b})
	}
	return writes, nil
}

// stateOf reads a site's state from its records.
func stateOf(snap ledger.Snapshot) (rollout.State, error) {
	s := rollout.State{Releases: map[aplomb.ReleaseID]aplomb.Release{}}
	for key, value := range snap.Records {
		if key == stateKey {
			if err := json.Unmarshal(value, &s); err != nil {
				return s, fmt.Errorf("record %s: %w", key, err)
			}
			continue
		}
		id, ok := bytes.CutPrefix([]byte(key), []byte(relPrefix))
		if !ok {
			continue
		}
		var r aplomb.Release
		if err := json.Unmarshal(value, &r); err != nil {
			return s, fmt.Errorf("record %s: %w", key, err)
		}
		s.Releases[aplomb.ReleaseID(id)] = r
	}
	if s.N == 0 {
		s.N = snap.Head.N // as a recovery wrote it
	}
	if s.N != snap.Head.N {
		return s, fmt.Errorf("the state is of n %d, the head is %d", s.N, snap.Head.N)
	}
	return s, s.Check()
}

// deployed describes a release as a deploy's result.
func (d *driver) deployed(id, from aplomb.ReleaseID, begun time.Time) Deployed {
	rel := d.state.Releases[id]
	out := Deployed{Release: id, State: rel.State, From: from, Site: d.name, URL: d.m.cfg.URL(d.state.Site), Why: rel.Why, TookMS: ms(d.m.cfg.Now().Sub(begun)), Offline: d.state.Site.Offline}
	if rel.State == aplomb.Live {
		out.Share, out.Why = 1, ""
		if d.state.LastAct != nil {
			out.Act = d.state.LastAct.N
		}
	}
	return out
}

// settleFor settles, and then answers whoever asked for rollout n what became of it.
func (d *driver) settleFor(ctx context.Context, n int64, id, from aplomb.ReleaseID, begun time.Time) (Deployed, error) {
	err := d.settle(ctx)
	out := d.deployed(id, from, begun)
	if err == nil {
		return d.outcome(out, n)
	}
	served, ok := d.served()
	if p := d.state.Pending; p == nil || p.Rollout != n || !ok || served.Live != id {
		return out, err
	}
	d.m.lg.Error("release live, its result is not recorded yet", "site", d.name, "release", id, "err", err)
	out.State, out.Share, out.Act, out.FirstShareMS, out.Unrecorded = aplomb.Live, 1, 0, out.TookMS, true
	return out, nil
}

// outcome says what became of rollout n.
func (d *driver) outcome(out Deployed, n int64) (Deployed, error) {
	act, went := d.acts[n]
	if err, failed := d.failures[n]; failed && !went {
		return out, err
	}
	switch rel := d.state.Releases[out.Release]; {
	case went:
		out.Act, out.FirstShareMS = act, out.TookMS
		return out, nil
	case rel.State == aplomb.Waiting, rel.State == aplomb.Live:
		return out, nil
	default:
		return out, rollout.Overtaken(out.Release, "ended by another act")
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
