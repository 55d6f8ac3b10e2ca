package release

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"aplomb"
)

func TestRefusedFirstReleaseIsNotLiveAfterACrashThatLeftItOnTheEdgesDisk(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edge.refuse["r1"] = errors.New("r1 is not whole")
	if _, err := h.deploy("one"); err == nil {
		t.Fatal("the deploy was not refused")
	}
	delete(h.edge.refuse, "r1")
	left := must(h.led.Load(context.Background(), "shop"))
	state := must(stateOf(left))
	route := state.Route(left.Head)
	for e, err := range h.led.Entries(context.Background(), "shop", left.Head.N-2) {
		if err != nil {
			t.Fatal(err)
		}
		route.Head = e.Head // of the intent: the refusal is the fact behind it
		break
	}
	route.Live = "r1"
	route.Kept = []aplomb.KeptRelease{{ID: "r1", State: aplomb.Live, Manifest: state.Releases["r1"].Manifest}}
	h.edge.routes["shop"] = route

	h.restart()
	if got := h.edge.route("shop").Live; got != "" {
		t.Errorf("the edge serves %s after the start, which it had refused", got)
	}
	st := must(h.m.Status(context.Background(), "shop"))
	if st.Live != "" || st.Degraded != "" {
		t.Errorf("status: live %q, degraded %q; want nothing live, and a ledger that is whole", st.Live, st.Degraded)
	}
}

func TestStatusSaysWhatTheEdgesDiskDoesNotHoldAndWhatTheServerLacks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("one"))
	must(h.deploy("two"))
	h.edge.unsaved = errors.New("read-only file system")
	h.missing = []string{"The API cannot listen on 127.0.0.1:9400."}
	back := must(h.m.Rollback(context.Background(), Ask{Actor: "mia"}, "shop"))
	if !slices.Contains(back.Pending, "edge-state") || !back.Recorded {
		t.Errorf("rollback: pending %q, recorded %v; want edge-state pending, and recorded", back.Pending, back.Recorded)
	}
	st := must(h.m.Status(context.Background(), "shop"))
	if !st.Unsaved || st.UnsavedWhy != "read-only file system" || !slices.Equal(st.Missing, h.missing) {
		t.Errorf("status: unsaved %v, %q, missing %q", st.Unsaved, st.UnsavedWhy, st.Missing)
	}
	for _, says := range []string{"r1 is live", "a restart would serve what was before", "cannot listen on 127.0.0.1:9400"} {
		if !strings.Contains(st.Sentence, says) {
			t.Errorf("the sentence %q does not say %q", st.Sentence, says)
		}
	}
	h.edge.unsaved, h.missing = nil, nil
	if st := must(h.m.Status(context.Background(), "shop")); st.Unsaved || st.UnsavedWhy != "" || strings.Contains(st.Sentence, "restart") {
		t.Errorf("status once it is saved: %+v", st)
	}
}

func TestUnrecordedRollbackSaysThatTheEdgesDiskDoesNotHoldIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("one"))
	must(h.deploy("two"))
	h.edge.unsaved = errors.New("read-only file system")
	h.led.fail("degraded")
	back := must(h.m.Rollback(context.Background(), Ask{Actor: "mia"}, "shop"))
	if back.Recorded || back.To != "r1" || !slices.Contains(back.Pending, "edge-state") {
		t.Errorf("rollback to %s: recorded %v, pending %q; want r1, not recorded, edge-state pending", back.To, back.Recorded, back.Pending)
	}
}
