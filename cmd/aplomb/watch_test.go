package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/release"
)

func TestOneKeyNeverMovesTheVisitors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		keys string
		gap  time.Duration
		want watchAct
	}{
		{"once", "r", 0, watchNothing},
		{"twice", "rr", time.Second, watchRollback},
		{"held", "rr", 30 * time.Millisecond, watchRollback},
		{"twice, too slowly", "rr", 3 * time.Second, watchNothing},
		{"with something between", "r?r", 100 * time.Millisecond, watchNothing},
		{"quit", "q", 0, watchQuit},
		{"interrupt", "\x03", 0, watchQuit},
		{"quit when armed", "rq", 0, watchQuit},
		{"anything else", "xyz", 0, watchNothing},
	}
	for _, c := range cases {
		w, now, got := watched{}, noon, watchNothing
		for i := range len(c.keys) {
			got = w.key(c.keys[i], now)
			now = now.Add(c.gap)
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTheWatchShowsWhatIsKnownAndHowOldItIs(t *testing.T) {
	t.Parallel()
	s := screen{width: 70}
	w := watched{}
	w.take([]release.SiteStatus{{Site: "shop", Live: "r2", Share: 1, Since: noon, Back: "r1"}}, nil, noon)
	if got := strings.Join(w.frame(noon, s), "\n"); !strings.Contains(got, "shop: r2 is live") || !strings.Contains(got, "q quit") {
		t.Errorf("frame = %q", got)
	}
	w.key('r', noon)
	if got := strings.Join(w.frame(noon, s), "\n"); !strings.Contains(got, "r again: shop goes back to r1") {
		t.Errorf("frame = %q", got)
	}
	w.take(nil, aplomb.NewError(aplomb.CodeNoServer, "No server answers", "b", "c"), noon.Add(5*time.Minute))
	got := strings.Join(w.frame(noon.Add(5*time.Minute), s), "\n")
	if !strings.Contains(got, "No server answers. What follows was known 5 min ago.") || !strings.Contains(got, "shop: r2 is live") {
		t.Errorf("frame = %q", got)
	}
	w.take(nil, errors.New("x"), noon)
	for _, line := range w.frame(noon, screen{width: 30}) {
		if len([]rune(line)) > 30 {
			t.Errorf("a line wider than the terminal: %q", line)
		}
	}
}

func TestTheWatchOffersNoRollbackWhereItIsNotClearWhich(t *testing.T) {
	t.Parallel()
	w := watched{sites: []release.SiteStatus{{Site: "a", Back: "r1"}, {Site: "b", Back: "r1"}}}
	if got := w.rollbackOffer(); !strings.Contains(got, "--site") {
		t.Errorf("offer = %q", got)
	}
	w.sites = []release.SiteStatus{{Site: "a"}}
	if got := w.rollbackOffer(); got != "There is no release to go back to." {
		t.Errorf("offer = %q", got)
	}
}
