package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// TestTwoDeploysAndARollbackRace lets people deploy and roll back at the same time. The log is one line of history in which each
// act leaves the release that the act before it made live; no deploy asked for before a rollback goes live after it; what is
// served is what the log says last.
func TestTwoDeploysAndARollbackRace(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.start(t)
	var ends []frontEnd
	for i := range 14 {
		ends = append(ends, newFrontEnd(t, fmt.Sprintf("end%d", i), 20, nil))
	}
	markers := map[string]string{}
	for i := range 2 {
		markers[m.deploy(t, ends[i].dir).Release] = ends[i].marker
	}

	type result struct {
		what   string
		marker string
		outcome
	}
	var mu sync.Mutex
	var results []result
	var people sync.WaitGroup
	do := func(what, marker string, args ...string) {
		o := m.try(t, append(args, "--site", "shop", "--json")...)
		mu.Lock()
		defer mu.Unlock()
		results = append(results, result{what, marker, o})
	}
	for pair := 2; pair < len(ends); pair += 2 {
		people.Go(func() { do("deploy", ends[pair].marker, "deploy", ends[pair].dir) })
		people.Go(func() { do("deploy", ends[pair+1].marker, "deploy", ends[pair+1].dir) })
		people.Go(func() { do("rollback", "", "rollback") })
		if pair%4 == 0 {
			people.Wait()
		}
	}
	people.Wait()

	counts := map[string]int{}
	for _, r := range results {
		counts[fmt.Sprintf("%s exit %d", r.what, r.code)]++
		switch {
		case r.what == "deploy" && r.code == 0:
			var d deployed
			r.decode(t, &d)
			markers[d.Release] = r.marker
			if d.State != "live" {
				t.Errorf("exit 0 with %+v, want live", d)
			}
		case r.what == "deploy" && r.code == 6:
			var d deployed
			r.decode(t, &d)
			markers[d.Release] = r.marker
			if d.State != "waiting" {
				t.Errorf("exit 6 with %+v, want waiting", d)
			}
		case r.what == "rollback" && r.code == 0:
		case r.code == 7: // a deploy ended by a rollback before it was sealed; a rollback with nothing left to go back to
			if !json.Valid([]byte(r.stdout)) && r.stderr == "" {
				t.Errorf("a refusal without a word: %v", r.outcome)
			}
		default:
			t.Errorf("unexpected: %v", r.outcome)
		}
	}
	t.Logf("%v", counts)
	facts := m.facts(t)
	checkLinear(t, facts)
	live := lastAct(facts).Release
	v := newVisitor(t, shopHost, m.listen)
	if got := markerOf(v.navigate(t, "/").body); got != markers[live] || got == "" {
		t.Errorf("the site shows %q, want %s, marker %q", got, live, markers[live])
	}
	var s struct{ Live string }
	m.run(t, &s, "status", "--site", "shop")
	if s.Live != live {
		t.Errorf("status says %q is live, the log says %q", s.Live, live)
	}
	m.verify(t)
}

// checkLinear checks that the facts are one line of history, and that rollbacks won.
func checkLinear(t *testing.T, facts []fact) {
	t.Helper()
	live := ""
	var lastBack int64
	backs := 0
	for i, f := range facts {
		if f.N != int64(i+1) {
			t.Errorf("fact %d of the log has n %d", i+1, f.N)
		}
		if !f.isAct() {
			continue
		}
		if f.From != live {
			t.Errorf("act %+v leaves %q, but live was %q", f, f.From, live)
		}
		live = f.Release
		if f.Kind == "rolled-back" {
			lastBack = f.N
			backs++
		}
		if f.Kind == "live" && f.Rollout < lastBack {
			t.Errorf("act %+v goes live although the rollback of fact %d came after its request, fact %d", f, lastBack, f.Rollout)
		}
	}
	if backs == 0 || !slices.ContainsFunc(facts, func(f fact) bool { return f.Kind == "live" }) {
		t.Errorf("%d rollbacks in %d facts: nothing raced", backs, len(facts))
	}
}
