package rollout

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"aplomb"
)

// ErrPending says that an intent is recorded and not performed yet. Perform it, feed its result, and try again.
var ErrPending = errors.New("an intent is pending")

// ErrNothing says that the event leaves nothing to do: no fact, the state as it is.
var ErrNothing = errors.New("nothing to do")

// Outcome is what one event leads to: the next state, the fact that says so, and the commands to perform once both
// are durable. Refused, when set, is the answer to whoever asked: the fact then says how their rollout ended.
type Outcome struct {
	State    State
	Fact     aplomb.Fact
	Commands []aplomb.Intent
	Refused  *aplomb.Error
}

// Step decides what an event leads to. It changes nothing it is given. An error means that nothing happened: ErrPending, ErrNothing, an
// *aplomb.Error for whoever asked, or a stale result (aplomb.ErrConflict).
func Step(s State, e aplomb.Event) (Outcome, error) {
	if s.Removed || s.Site.Name == "" && e.Kind != aplomb.EventCreate {
		return Outcome{}, fmt.Errorf("%s on a site that does not exist: %w", e.Kind, aplomb.ErrNotFound)
	}
	t := turn{State: s.clone(), e: e}
	t.N++
	t.fact = aplomb.Fact{N: t.N, At: e.At, Actor: e.Actor, Site: s.Site.Name, Why: e.Why}
	err := t.take()
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{State: t.State, Fact: t.fact, Commands: t.commands, Refused: t.refused}, nil
}

// turn is one Step at work: the next state as it grows, and what comes out beside it.
type turn struct {
	State
	e        aplomb.Event
	fact     aplomb.Fact
	commands []aplomb.Intent
	refused  *aplomb.Error
}

func (t *turn) take() error {
	switch t.e.Kind {
	case aplomb.EventCreate:
		return t.create()
	case aplomb.EventRequest:
		return t.request()
	case aplomb.EventSealed:
		return t.sealed()
	case aplomb.EventAbandoned:
		return t.abandoned()
	case aplomb.EventPromote:
		return t.promote()
	case aplomb.EventRollback:
		return t.rollback()
	case aplomb.EventUndo:
		return t.undo()
	case aplomb.EventRetire:
		return t.retire()
	case aplomb.EventProceed:
		return t.proceed()
	case aplomb.EventRouted:
		return t.routed()
	case aplomb.EventFailed:
		return t.failed()
	case aplomb.EventCollected:
		return t.collected()
	case aplomb.EventSiteSet:
		return t.setSite()
	case aplomb.EventSiteRemove:
		return t.removeSite()
	case aplomb.EventOffline:
		return t.offline()
	case aplomb.EventOnline:
		return t.online()
	case aplomb.EventForget:
		return t.forget()
	case aplomb.EventNote:
		return t.say(aplomb.FactNote, "a note without words")
	case aplomb.EventDamaged:
		return t.say(aplomb.FactDamaged, "stored bytes are damaged")
	}
	return fmt.Errorf("event %q: %w", t.e.Kind, aplomb.ErrInternal)
}

func (t *turn) create() error {
	if t.Site.Name != "" {
		return fmt.Errorf("site %s exists: %w", t.Site.Name, aplomb.ErrConflict)
	}
	if err := CheckSite(t.e.Site); err != nil {
		return err
	}
	t.Site = t.e.Site
	t.fact.Kind, t.fact.Site = aplomb.FactSiteCreated, t.Site.Name
	t.why("site created")
	return nil
}

func (t *turn) request() error {
	t.Rollouts = append(t.Rollouts, Rollout{N: t.N, Stage: StageUpload, Actor: t.e.Actor, Why: t.e.Why, At: t.e.At})
	t.fact.Kind, t.fact.Rollout = aplomb.FactRequested, t.N
	t.why("deploy")
	return nil
}

// sealed records the release of an upload. A rollout that another act ended meanwhile keeps its release, and goes no
// further; a seal that is known makes no new release.
func (t *turn) sealed() error {
	r, open := t.Find(t.e.Rollout)
	over, ended := t.over(t.e.Rollout)
	if !open && !ended || open && r.Stage != StageUpload {
		return fmt.Errorf("rollout %d has no open upload: %w", t.e.Rollout, aplomb.ErrConflict)
	}
	t.fact.Rollout = t.e.Rollout
	if known, ok := t.BySeal(t.e.Sealed.Seal); ok {
		return t.sealedKnown(known, over, ended)
	}
	t.Last++
	rel := t.e.Sealed
	rel.ID, rel.Site, rel.State, rel.Sealed = aplomb.NewReleaseID(t.Last), t.Site.Name, aplomb.Uploaded, t.e.At
	t.fact.Kind, t.fact.Release = aplomb.FactUploaded, rel.ID
	t.fact.More = more(map[string]any{"files": rel.Files, "bytes": rel.Bytes, "seal": rel.Seal, "done": t.e.Done})
	t.why("uploaded")
	switch {
	case ended:
		rel.State, rel.Why = over.State, over.Why
		t.refuseEnded(rel.ID, over)
	case t.e.NoLive:
		t.end(t.e.Rollout)
	default:
		t.advance(t.e.Rollout, rel.ID)
	}
	t.Releases[rel.ID] = rel
	return nil
}

func (t *turn) sealedKnown(known aplomb.Release, over Over, ended bool) error {
	t.fact.Release = known.ID
	finish := func(why string) {
		t.end(t.e.Rollout)
		t.fact.Kind, t.fact.Why = aplomb.FactEnded, why
	}
	switch {
	case ended:
		finish(over.Why)
		if over.State == aplomb.Waiting && (known.State == aplomb.Uploaded || known.State == aplomb.Rehearsed) {
			known.State, known.Why = over.State, over.Why
			t.Releases[known.ID] = known
		}
		t.refuseEnded(known.ID, over)
	case known.State == aplomb.Live:
		finish(fmt.Sprintf("the same files are live already, as %s", known.ID))
	case known.State == aplomb.Retired, known.State == aplomb.Bad:
		finish(fmt.Sprintf("the same files are %s, which is %s", known.ID, known.State))
		t.refused = blocked(known)
	case t.e.NoLive:
		finish(fmt.Sprintf("the same files are here already, as %s", known.ID))
	default:
		t.advance(t.e.Rollout, known.ID)
		t.fact.Kind = aplomb.FactUploaded
		t.fact.Why = fmt.Sprintf("the same files as %s", known.ID)
	}
	return nil
}

// refuseEnded answers a deploy whose rollout another act ended: one that was overtaken waits, which is no refusal.
func (t *turn) refuseEnded(id aplomb.ReleaseID, o Over) {
	if o.State != aplomb.Waiting {
		t.refused = Overtaken(id, o.Why)
	}
	t.end(o.N)
}

func (t *turn) abandoned() error {
	if r, ok := t.Find(t.e.Rollout); !ok || r.Stage != StageUpload {
		return ErrNothing
	}
	t.end(t.e.Rollout)
	t.fact.Kind, t.fact.Rollout = aplomb.FactEnded, t.e.Rollout
	t.why("the upload was given up")
	return nil
}

func (t *turn) promote() error {
	rel, err := t.release(t.e.Release)
	if err != nil {
		return err
	}
	switch {
	case rel.ID == t.Live:
		return aplomb.NewError(aplomb.CodeIsLive, fmt.Sprintf("%s is live already", rel.ID), "promote brings another release in front of the visitors", "aplomb releases")
	case rel.State == aplomb.Retired:
		return blocked(rel)
	case rel.Collected || slices.Contains(t.e.Releases, rel.ID):
		return notWhole(rel.ID)
	case rel.State == aplomb.Bad && t.e.Why == "":
		return aplomb.NewError(aplomb.CodeReason, fmt.Sprintf("%s not promoted", rel.ID), "it was "+rel.Why+"; a reason is needed", fmt.Sprintf("aplomb promote %s --reason \"…\"", rel.ID))
	}
	t.fact.Kind, t.fact.Release, t.fact.Rollout = aplomb.FactRequested, rel.ID, t.N
	t.why("promote")
	t.Rollouts = append(t.Rollouts, Rollout{N: t.N, Stage: StageSwitch, Release: rel.ID, Actor: t.e.Actor, Why: t.fact.Why, At: t.e.At})
	return nil
}

// proceed starts the switch of the rollout that was requested first of those that are ready.
func (t *turn) proceed() error {
	if t.Pending != nil {
		return ErrPending
	}
	for _, r := range t.Rollouts {
		if r.Stage != StageSwitch {
			continue
		}
		if r.Release == t.Live {
			t.end(r.N)
			t.fact.Kind, t.fact.Release, t.fact.Rollout, t.fact.Actor = aplomb.FactEnded, r.Release, r.N, r.Actor
			t.fact.Why = fmt.Sprintf("%s is live already", r.Release)
			return nil
		}
		t.e.Actor, t.e.Why = r.Actor, r.Why
		t.move(r.Release, Pending{Kind: aplomb.FactLive, Left: aplomb.Replaced, Rollout: r.N})
		return nil
	}
	return ErrNothing
}

func (t *turn) rollback() error {
	if t.Pending != nil {
		return ErrPending
	}
	targets := t.Targets(t.e.Releases)
	if t.e.Release != "" { // it has happened already, and is recorded late
		rel, err := t.release(t.e.Release)
		if err != nil {
			return err
		}
		if rel.ID == t.Live {
			return ErrNothing
		}
		targets = []aplomb.Release{rel}
	}
	if len(targets) == 0 || t.Live == "" {
		return noTarget(t.State, t.e.Releases)
	}
	t.move(targets[0].ID, Pending{Kind: aplomb.FactRolledBack, Left: aplomb.Bad, Ended: t.endAll(aplomb.Uploaded, fmt.Sprintf("a rollback by %s", t.e.Actor))})
	t.why("rollback")
	return nil
}

func (t *turn) undo() error {
	if t.Pending != nil {
		return ErrPending
	}
	last := t.LastAct
	switch {
	case last == nil:
		return nothingToUndo("visitors have seen no act yet", "aplomb log")
	case t.e.Act != 0 && t.e.Act != last.N:
		return aplomb.NewError(aplomb.CodeNotLastAct, fmt.Sprintf("act %d not undone", t.e.Act), fmt.Sprintf("it is no longer the last: act %d (%s) came after it", last.N, last.Kind), "aplomb log")
	case t.e.At.Sub(last.At) > UndoFor:
		return nothingToUndo(fmt.Sprintf("the last act, %d, is more than 24 hours old", last.N), fmt.Sprintf("aplomb promote %s", orRelease(last.From)))
	case last.From == "":
		return nothingToUndo(fmt.Sprintf("act %d put the first release, %s, in front of the visitors; there is nothing before it", last.N, last.To), "aplomb deploy")
	}
	back, err := t.release(last.From)
	if err != nil {
		return err
	}
	if back.State == aplomb.Retired {
		return blocked(back)
	}
	if back.Collected || slices.Contains(t.e.Releases, back.ID) {
		return notWhole(back.ID)
	}
	left := last.ToWas
	if last.Kind == aplomb.FactLive {
		left = aplomb.Waiting
	}
	t.move(back.ID, Pending{Kind: aplomb.FactUndone, Left: left, Undid: last.N, Ended: t.endAll(aplomb.Uploaded, fmt.Sprintf("an undo by %s", t.e.Actor))})
	t.why("undo")
	return nil
}

func (t *turn) retire() error {
	rel, err := t.release(t.e.Release)
	switch {
	case err != nil:
		return err
	case t.e.Why == "":
		return aplomb.NewError(aplomb.CodeReason, fmt.Sprintf("%s not retired", rel.ID), "retiring blocks a release for good, so a reason is needed", fmt.Sprintf("aplomb retire %s --reason \"…\"", rel.ID))
	case t.Pending != nil:
		return ErrPending
	case rel.ID == t.Live:
		return aplomb.NewError(aplomb.CodeIsLive, fmt.Sprintf("%s not retired", rel.ID), "it is live", "aplomb rollback")
	case rel.State == aplomb.Retired:
		return ErrNothing
	}
	t.Rollouts = slices.DeleteFunc(t.Rollouts, func(r Rollout) bool { return r.Release == rel.ID })
	rel.State, rel.Why = aplomb.Retired, fmt.Sprintf("retired by %s: %s", t.e.Actor, t.e.Why)
	t.Releases[rel.ID] = rel
	t.fact.Kind, t.fact.Release = aplomb.FactRetired, rel.ID
	return nil
}

// routed lands the pending switch. Every unfinished rollout requested before a release that goes live is overtaken.
func (t *turn) routed() error {
	if t.Pending == nil || t.Pending.Intent.ID != t.e.Intent {
		return fmt.Errorf("result of intent %q, which is not pending: %w", t.e.Intent, aplomb.ErrConflict)
	}
	p := *t.Pending
	t.fact.Kind, t.fact.Release, t.fact.From = p.Kind, p.Intent.Release, p.Intent.From
	t.fact.Actor, t.fact.Why, t.fact.Rollout, t.fact.Act = p.Actor, p.Why, p.Rollout, p.Undid
	t.land(p, t.e.At, t.N)
	ended := p.Ended
	if p.Kind == aplomb.FactLive {
		t.end(p.Rollout)
		ended = append(slices.Clone(ended), t.overtake(p.Rollout, p.Intent.Release)...)
	}
	detail := map[string]any{}
	if len(t.e.Done) > 0 {
		detail["done"] = t.e.Done
	}
	if len(ended) > 0 {
		detail["ended"] = ended
	}
	t.fact.More = more(detail)
	return nil
}

// failed ends what the pending intent was for: visitors are where they were.
func (t *turn) failed() error {
	if t.Pending == nil || t.Pending.Intent.ID != t.e.Intent {
		return fmt.Errorf("failure of intent %q, which is not pending: %w", t.e.Intent, aplomb.ErrConflict)
	}
	p := *t.Pending
	t.Pending = nil
	t.end(p.Rollout)
	t.fact.Kind, t.fact.Release, t.fact.Rollout = aplomb.FactEnded, p.Intent.Release, p.Rollout
	t.fact.Actor = p.Actor
	t.why("could not be performed")
	return nil
}

func (t *turn) collected() error {
	var gone []aplomb.ReleaseID
	for _, id := range t.e.Releases {
		rel, ok := t.Releases[id]
		if !ok || rel.Collected || t.inUse(id) {
			continue
		}
		rel.Collected = true
		t.Releases[id] = rel
		gone = append(gone, id)
	}
	if len(gone) == 0 {
		return ErrNothing
	}
	t.fact.Kind, t.fact.More = aplomb.FactCollected, more(map[string]any{"releases": gone, "bytes": t.e.Bytes})
	t.why(fmt.Sprintf("%d releases are older than %d days and not among the last %d", len(gone), int(KeepFor.Hours()/24), KeepLast))
	return nil
}

func (t *turn) say(kind aplomb.FactKind, why string) error {
	if t.e.Release != "" {
		if _, err := t.release(t.e.Release); err != nil {
			return err
		}
	}
	t.fact.Kind, t.fact.Release = kind, t.e.Release
	t.why(why)
	return nil
}

// verbs say why an act happens where nobody gave a reason.
var verbs = map[aplomb.FactKind]string{aplomb.FactLive: "deploy", aplomb.FactRolledBack: "rollback", aplomb.FactUndone: "undo"}

// move records the intent to bring the visitors from the live release to another.
func (t *turn) move(to aplomb.ReleaseID, p Pending) {
	p.Intent = aplomb.Intent{
		ID: fmt.Sprintf("%s.%d", t.Site.Name, t.N), Kind: aplomb.IntentRoute, Site: t.Site.Name,
		Release: to, From: t.Live, Urgent: p.Kind != aplomb.FactLive,
	}
	t.fact.Kind, t.fact.Release, t.fact.From, t.fact.Rollout, t.fact.Act = aplomb.FactSwitching, to, t.Live, p.Rollout, p.Undid
	t.fact.Actor, t.fact.Why = t.e.Actor, t.e.Why
	t.why(verbs[p.Kind])
	p.Actor, p.Why, p.At = t.fact.Actor, t.fact.Why, t.e.At
	t.Pending = &p
	t.commands = append(t.commands, p.Intent)
}

// advance takes a rollout from its upload to its switch.
func (t *turn) advance(n int64, id aplomb.ReleaseID) {
	i := slices.IndexFunc(t.Rollouts, func(r Rollout) bool { return r.N == n })
	t.Rollouts[i].Stage, t.Rollouts[i].Release = StageSwitch, id
}

// end takes a rollout off the unfinished ones.
func (t *turn) end(n int64) {
	t.Rollouts = slices.DeleteFunc(t.Rollouts, func(r Rollout) bool { return r.N == n })
	t.Over = slices.DeleteFunc(t.Over, func(o Over) bool { return o.N == n })
}

// endAll ends every unfinished rollout; an open upload will give its release that state.
func (t *turn) endAll(state aplomb.ReleaseState, by string) []int64 {
	var ended []int64
	for _, r := range t.Rollouts {
		ended = append(ended, r.N)
		if r.Stage == StageUpload {
			t.remember(Over{N: r.N, State: state, Why: fmt.Sprintf("ended by %s", by)})
		}
	}
	t.Rollouts = nil
	return ended
}

// overtake ends every unfinished rollout requested before n, whose release is now live.
func (t *turn) overtake(n int64, id aplomb.ReleaseID) []int64 {
	var ended []int64
	why := fmt.Sprintf("overtaken by %s", id)
	for _, r := range t.Rollouts {
		if r.N > n {
			continue
		}
		ended = append(ended, r.N)
		if r.Stage == StageUpload {
			t.remember(Over{N: r.N, State: aplomb.Waiting, Why: why})
		} else if rel := t.Releases[r.Release]; rel.State == aplomb.Uploaded || rel.State == aplomb.Rehearsed {
			rel.State, rel.Why = aplomb.Waiting, why
			t.Releases[rel.ID] = rel
		}
	}
	t.Rollouts = slices.DeleteFunc(t.Rollouts, func(r Rollout) bool { return r.N <= n })
	return ended
}

// remember keeps the newest 100 of the rollouts that were ended while their upload was open.
func (t *turn) remember(o Over) {
	t.Over = append(t.Over, o)
	if over := len(t.Over) - 100; over > 0 {
		t.Over = slices.Delete(t.Over, 0, over)
	}
}

func (t *turn) over(n int64) (Over, bool) {
	i := slices.IndexFunc(t.Over, func(o Over) bool { return o.N == n })
	if i < 0 {
		return Over{}, false
	}
	return t.Over[i], true
}

func (t *turn) release(id aplomb.ReleaseID) (aplomb.Release, error) {
	rel, ok := t.Releases[id]
	if !ok {
		return rel, aplomb.NewError(aplomb.CodeNoRelease, fmt.Sprintf("no release %q on site %s", id, t.Site.Name), fmt.Sprintf("the newest is r%d", t.Last), "aplomb releases")
	}
	return rel, nil
}

// why gives the fact a reason where nobody gave one.
func (t *turn) why(otherwise string) {
	if t.fact.Why == "" {
		t.fact.Why = otherwise
	}
}

func more(v map[string]any) json.RawMessage {
	if len(v) == 0 {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values of this package get here
	}
	return b
}
