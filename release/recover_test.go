package release

import (
	"context"
	"errors"
	"strings"
	"testing"

	"aplomb"
	"aplomb/ledger"
)

// recoverable makes a house's ledger recoverable: the fact goes behind what the ledger has.
func (h *house) recoverable() {
	h.m.cfg.Recover = func(ctx context.Context, site aplomb.SiteName, _ aplomb.Head, fact aplomb.Fact, writes []ledger.Write) (string, string, aplomb.Head, error) {
		snap, err := h.led.Load(ctx, site)
		if err != nil {
			return "", "", aplomb.Head{}, err
		}
		head, err := h.led.Append(ctx, site, snap.Head, fact, writes)
		return "aside", "fact 9", head, err
	}
}

// TestARecoveryNeverClaimsThatVisitorsStayWhereNothingWasServed: with the edge's state gone too, an older release may come back.
func TestARecoveryNeverClaimsThatVisitorsStayWhereNothingWasServed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		served bool
		status []string
		says   []string
		not    string
	}{
		{"the edge serves", true, []string{"r2 is live", "the site is served, and rollback works"}, []string{"Visitors stay on r2."}, "newer"},
		{"nothing is served", false, []string{"Nothing is served", "aplomb recover, which brings back the newest", "may have been newer"},
			[]string{"Visitors get r2 again", "may have been newer", "aplomb log", "aplomb deploy"}, "stay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			must(h.deploy("one"))
			must(h.deploy("two"))
			h.recoverable()
			h.led.fail("degraded")
			if _, err := h.deploy("three"); !errors.Is(err, aplomb.ErrDegraded) {
				t.Fatalf("deploy = %v", err)
			}
			if !c.served {
				delete(h.edge.routes, "shop")
			}
			d := must(h.m.driver("shop"))
			if err := d.do(context.Background(), func(context.Context) error { d.publish(); return nil }); err != nil {
				t.Fatal(err)
			}
			s := must(h.m.Status(context.Background(), "shop"))
			for _, want := range c.status {
				if !strings.Contains(s.Sentence, want) {
					t.Errorf("status says %q, want %q in it", s.Sentence, want)
				}
			}
			r := must(h.m.Recover(context.Background(), Ask{Actor: "mia"}, "shop"))
			for _, want := range c.says {
				if !strings.Contains(r.Sentence, want) || strings.Contains(r.Sentence, c.not) {
					t.Errorf("recover says %q, want %q in it and not %q", r.Sentence, want, c.not)
				}
			}
			if got := h.edge.route("shop").Live; got != "r2" {
				t.Errorf("the edge serves %q after the recovery, want r2", got)
			}
		})
	}
}
