package release

import (
	"errors"
	"testing"

	"aplomb"
	"aplomb/ledger"
)

func appCold() error {
	return aplomb.NewError(aplomb.CodeAppCold, "no visitor", "its app does not answer", "start it")
}

func TestRollbackPrefersAReleaseWhoseAppAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, key := range []string{"one", "two", "three"} {
		must(h.deploy(key))
	}
	h.edge.refuse["r2"] = appCold()
	if back := must(h.m.Rollback(t.Context(), Ask{Actor: "mia"}, "shop")); back.To != "r1" || !back.Recorded {
		t.Errorf("rollback = %+v, want to r1: r2 is cold", back)
	}
	h.oracle("rolled back past a cold release")
}

func TestRollbackTakesTheNewestWhereNoAppAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, key := range []string{"one", "two", "three", "four"} {
		must(h.deploy(key))
	}
	h.edge.refuse["r3"], h.edge.refuse["r2"], h.edge.refuse["r1"] = errors.New("not whole"), appCold(), appCold()
	if back := must(h.m.Rollback(t.Context(), Ask{Actor: "mia"}, "shop")); back.To != "r2" || back.From != "r4" || !back.Recorded {
		t.Errorf("rollback = %+v, want to r2: the newest whole one", back)
	}
	h.oracle("rolled back to a cold release")
	// It was for this rollback alone.
	if _, err := h.m.Promote(t.Context(), Ask{Actor: "mia", Why: "try"}, "shop", "r1"); code(err) != aplomb.CodeAppCold {
		t.Errorf("promote of a cold release = %v, want it refused", err)
	}
	if live := h.edge.route("shop").Live; live != "r2" {
		t.Errorf("live is %s, want r2", live)
	}
}

func TestDeployWhoseAppDoesNotAnswerLeavesProductionUnchanged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("one"))
	h.edge.refuse["r2"] = appCold()
	_, err := h.deploy("two")
	e, ok := errors.AsType[*aplomb.Error](err)
	if !ok || e.Code != aplomb.CodeAppCold || e.Production == "" || e.Do == "" {
		t.Fatalf("deploy = %#v", err)
	}
	if live := h.edge.route("shop").Live; live != "r1" {
		t.Errorf("live is %s, want r1", live)
	}
}

func TestRollbackTakesTheNewestWhereNoAppAnswersAlsoWithoutALedger(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, key := range []string{"one", "two", "three"} {
		must(h.deploy(key))
	}
	h.led.Ledger = ledger.NewMemory()
	h.restart()
	h.edge.refuse["r2"], h.edge.refuse["r1"] = appCold(), appCold()
	if back := must(h.m.Rollback(t.Context(), Ask{Actor: "mia"}, "shop")); back.To != "r2" || back.Recorded {
		t.Errorf("rollback = %+v, want to r2, unrecorded", back)
	}
}
