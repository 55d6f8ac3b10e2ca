package release

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/rollout"
)

func codeOf(err error) aplomb.Code {
	var e *aplomb.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestHostsBelongToOneSite(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	must(h.deploy("a"))
	if _, err := h.m.AddSite(ctx, ask, "blog", []string{"shop.localhost"}); codeOf(err) != aplomb.CodeHostTaken {
		t.Errorf("a second site with the same host: %v", err)
	}
	must(h.m.AddSite(ctx, ask, "blog", []string{"blog.localhost"}))
	if _, err := h.m.AddSite(ctx, ask, "blog", []string{"other.localhost"}); codeOf(err) != aplomb.CodeNothing {
		t.Errorf("a second site of the same name: %v", err)
	}
	hosts := []string{"blog.localhost", "shop.localhost"}
	if _, err := h.m.SetSite(ctx, ask, "blog", SiteChange{Hosts: &hosts}); codeOf(err) != aplomb.CodeHostTaken {
		t.Errorf("another site's host was given: %v", err)
	}
	redirect := map[string]string{"shop.localhost": "blog.localhost"}
	if _, err := h.m.SetSite(ctx, ask, "blog", SiteChange{RedirectTo: &redirect}); codeOf(err) != aplomb.CodeHostTaken {
		t.Errorf("another site's host was led away: %v", err)
	}
}

func TestSiteRulesReachTheEdgeAndNoRollbackMovesThem(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	must(h.deploy("a"))
	must(h.deploy("b"))
	hosts, redirect := []string{"shop.localhost", "www.localhost"}, map[string]string{"www.localhost": "shop.localhost"}
	set, err := h.m.SetSite(ctx, ask, "shop", SiteChange{Hosts: &hosts, RedirectTo: &redirect})
	if err != nil || len(set.Changes) != 2 || set.Changes[0].Before != "shop.localhost" || set.Changes[0].After != "shop.localhost,www.localhost" {
		t.Fatalf("set = %+v, %v", set, err)
	}
	must(h.m.Rollback(ctx, ask, "shop"))
	h.restart()
	if got := h.edge.route("shop"); got.Live != "r1" || len(got.Site.Hosts) != 2 || got.Site.RedirectTo["www.localhost"] != "shop.localhost" {
		t.Errorf("after a rollback and a restart the edge serves %+v", got.Site)
	}
	h.oracle("in the end")
}

func TestARuleThatTheEdgeCannotFollowIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	must(h.deploy("a"))
	h.edge.refuse["r1"] = errors.New("no")
	hosts := []string{"shop.localhost", "b.localhost"}
	if _, err := h.m.SetSite(ctx, ask, "shop", SiteChange{Hosts: &hosts}); err == nil {
		t.Fatal("acknowledged")
	}
	h.edge.refuse = map[aplomb.ReleaseID]error{}
	h.m.retry(ctx)
	if got := h.edge.route("shop").Site.Hosts; len(got) != 2 {
		t.Errorf("the edge still serves %v", got)
	}
}

func TestADeployNamesOnlyAppsThatItsSiteAllows(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	app := func(addr string) func(*UploadRequest) {
		return func(r *UploadRequest) { r.Settings.App = []aplomb.AppRoute{{Path: "/api", To: []string{addr}}} }
	}
	if _, err := h.deploy("a", app("app.internal:3000")); err != nil { // it seeds the site
		t.Fatal(err)
	}
	_, err := h.deploy("b", app("10.1.1.1:80"))
	if codeOf(err) != aplomb.CodeUpstream || !errors.Is(err, aplomb.ErrRefused) || !strings.Contains(err.Error(), "/api") {
		t.Fatalf("an address outside of the site's = %v", err)
	}
	var e *aplomb.Error
	if errors.As(err, &e); !strings.Contains(e.Do, "aplomb site set shop upstreams=") || !strings.Contains(e.Do, "10.1.1.1:80") {
		t.Errorf("the way out is %q", e.Do)
	}
	none := []string{"127.0.0.1:*"}
	must(h.m.SetSite(ctx, ask, "shop", SiteChange{Upstreams: &none}))
	if _, err := h.deploy("c", app("app.internal:3000")); codeOf(err) != aplomb.CodeUpstream {
		t.Errorf("after the rule was tightened: %v", err)
	}
	must(h.deploy("d", app("127.0.0.1:3000")))
	if _, err := h.m.Promote(ctx, ask, "shop", "r1"); codeOf(err) != aplomb.CodeUpstream {
		t.Errorf("promote of a release with an app that is no longer allowed: %v", err)
	}
	if b, err := h.m.Rollback(ctx, ask, "shop"); err != nil || b.To != "r1" {
		t.Errorf("rollback = %+v, %v: a rule never stands in its way", b, err)
	}
	if _, err := h.deploy("e", app("nonsense")); codeOf(err) != aplomb.CodeConfig {
		t.Errorf("an address that is none: %v", err)
	}
}

func TestSiteIsNotRemovedWhileADeployIsUnderWay(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	must(h.deploy("a"))
	content := front("b")
	up := must(h.m.Begin(ctx, ask, UploadRequest{Site: "shop", Files: files(content)}))
	_, err := h.m.RemoveSite(ctx, ask, "shop", "shop")
	if codeOf(err) != aplomb.CodeSiteBusy || !strings.Contains(err.Error(), "rollout 6") {
		t.Fatalf("removed while deploying: %v", err)
	}
	must(h.m.Receive(ctx, up.ID, stream(content, up.Missing)))
	if r, err := h.m.Seal(ctx, up.ID); err != nil || r.State != aplomb.Live {
		t.Fatalf("the deploy = %+v, %v", r, err)
	}
	if _, err := h.m.RemoveSite(ctx, ask, "shop", "shpo"); codeOf(err) != aplomb.CodeReason {
		t.Errorf("removed under another name: %v", err)
	}
	must(h.m.RemoveSite(ctx, ask, "shop", "shop"))
}

func TestARemovedSiteLeavesNothingAndItsNameBeginsAnew(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	must(h.deploy("a"))
	gone := files(front("a"))[0]
	for range h.m.Facts(ctx, "shop", 0, false) {
		break
	}
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		for range h.m.Facts(ctx, "shop", 0, true) {
		}
	}()
	r, err := h.m.RemoveSite(ctx, ask, "shop", "shop")
	if err != nil || r.Live != "r1" || r.Aside == "" {
		t.Fatalf("removed = %+v, %v", r, err)
	}
	<-followed
	if all := must(h.m.Sites(ctx)); len(all) != 0 || len(h.edge.served()) != 0 {
		t.Errorf("status lists %v, the edge serves %v", all, h.edge.served())
	}
	for what, err := range map[string]error{
		"status":   second(h.m.Status(ctx, "shop")),
		"rollback": second(h.m.Rollback(ctx, ask, "shop")),
		"remove":   second(h.m.RemoveSite(ctx, ask, "shop", "shop")),
	} {
		if codeOf(err) != aplomb.CodeNoSite {
			t.Errorf("%s of a removed site = %v", what, err)
		}
	}
	if _, err := h.blobs.Collect(ctx, func(aplomb.Digest) bool { return true }, evenTheYoungest); err != nil {
		t.Fatal(err)
	}
	h.restart()
	if all := must(h.m.Sites(ctx)); len(all) != 0 {
		t.Errorf("after a restart status lists %v", all)
	}
	must(h.m.Collect(ctx)) // blobs of a day ago
	if d, err := h.deploy("b"); err != nil || d.Release != "r1" || d.Act != 5 {
		t.Errorf("the first deploy of the new site = %+v, %v", d, err)
	}
	if _, _, err := h.blobs.Open(gone.Digest); err != nil {
		t.Errorf("bytes were deleted within a day: %v", err)
	}
	h.oracle("the new site")
}

func second[T any](_ T, err error) error { return err }

// TestARemovalGoesOnWhereItWasStopped: each step of it is lost once, and a restart or a retry finishes it.
func TestARemovalGoesOnWhereItWasStopped(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{true, false} {
		h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
		must(h.deploy("a"))
		h.edge.refuse["remove"] = errors.New("the disk says no")
		if _, err := h.m.RemoveSite(ctx, ask, "shop", "shop"); err == nil || !strings.Contains(errorOf(err).Production, "is removed") {
			t.Fatalf("half removed = %v", err)
		}
		if all := must(h.m.Sites(ctx)); len(all) != 0 {
			t.Errorf("a site that is being removed is listed: %v", all)
		}
		if _, err := h.m.AddSite(ctx, ask, "shop", []string{"shop.localhost"}); codeOf(err) != aplomb.CodeSiteBusy {
			t.Errorf("a site of the same name: %v", err)
		}
		h.edge.refuse = map[aplomb.ReleaseID]error{}
		if restart {
			h.restart()
		} else {
			h.m.retry(ctx)
		}
		if len(h.edge.served()) != 0 || len(must(h.led.Sites(ctx))) != 0 {
			t.Errorf("restart %v: the edge serves %v, the ledger has %v", restart, h.edge.served(), must(h.led.Sites(ctx)))
		}
		must(h.m.AddSite(ctx, ask, "shop", []string{"shop.localhost"}))
	}
}

func errorOf(err error) *aplomb.Error {
	var e *aplomb.Error
	errors.As(err, &e)
	return e
}

func TestOfflineHoldsThroughDeploysRollbacksAndRestarts(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	must(h.deploy("a"))
	if _, err := h.m.Offline(ctx, ask, "shop", 0); codeOf(err) != aplomb.CodeReason {
		t.Errorf("offline without a reason: %v", err)
	}
	ask.Why = "counting"
	shown := must(h.m.Offline(ctx, ask, "shop", 0))
	if o := h.edge.route("shop").Site.Offline; !shown.Recorded || o == nil || o.By != "mia" || o.Why != "counting" || o.RetryAfter != 300 {
		t.Fatalf("shown %+v, the edge has %+v", shown, o)
	}
	if _, err := h.m.Offline(ctx, ask, "shop", 300); codeOf(err) != aplomb.CodeNothing {
		t.Errorf("offline again: %v", err)
	}
	d := must(h.deploy("b"))
	if d.State != aplomb.Live || d.Offline == nil {
		t.Errorf("a deploy behind the maintenance page = %+v", d)
	}
	must(h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop"))
	h.restart()
	st := must(h.m.Status(ctx, "shop"))
	if st.Offline == nil || !strings.Contains(st.Sentence, "offline since 14:00 UTC: counting") || h.edge.route("shop").Site.Offline == nil {
		t.Errorf("after a restart: %q, %+v", st.Sentence, h.edge.route("shop").Site.Offline)
	}
	must(h.m.Online(ctx, Ask{Actor: "mia"}, "shop"))
	if h.edge.route("shop").Site.Offline != nil || must(h.m.Status(ctx, "shop")).Offline != nil {
		t.Error("online, and still the maintenance page")
	}
	if _, err := h.m.Online(ctx, Ask{Actor: "mia"}, "shop"); codeOf(err) != aplomb.CodeNothing {
		t.Errorf("online again: %v", err)
	}
	h.oracle("in the end")
}

// TestOfflineWorksWhereNothingCanBeRecorded: the edge does it, the fact follows, whatever is restarted in between.
func TestOfflineWorksWhereNothingCanBeRecorded(t *testing.T) {
	t.Parallel()
	ask := Ask{Actor: "mia", Why: "counting"}
	for _, restart := range []bool{false, true} {
		h, ctx := newHouse(t), t.Context()
		must(h.deploy("a"))
		h.led.fail("full", "full")
		shown := must(h.m.Offline(ctx, ask, "shop", 60))
		if shown.Recorded || h.edge.route("shop").Site.Offline == nil || h.freed == 0 {
			t.Fatalf("on a full disk: %+v, edge %+v, reserve freed %d times", shown, h.edge.route("shop").Site.Offline, h.freed)
		}
		if st := must(h.m.Status(ctx, "shop")); st.Offline == nil {
			t.Error("status does not say so")
		}
		if restart {
			h.restart()
		} else {
			h.m.retry(ctx)
		}
		var last aplomb.Fact
		for f, err := range h.m.Facts(ctx, "shop", 0, false) {
			if err != nil {
				t.Fatal(err)
			}
			last = f
		}
		if last.Kind != aplomb.FactOffline || last.Actor != "mia" || last.Why != "counting" {
			t.Errorf("restart %v: the last fact is %+v", restart, last)
		}
		h.led.fail("full", "full")
		if shown := must(h.m.Online(ctx, ask, "shop")); shown.Recorded || h.edge.route("shop").Site.Offline != nil {
			t.Errorf("online on a full disk: %+v", shown)
		}
		h.restart()
		if st := must(h.m.Status(ctx, "shop")); st.Offline != nil {
			t.Error("a restart took it offline again")
		}
		h.oracle("in the end")
	}
}

func TestOfflineWorksWithADamagedLedger(t *testing.T) {
	t.Parallel()
	h, ctx := newHouse(t), t.Context()
	must(h.deploy("a"))
	h.led.fail("degraded")
	shown := must(h.m.Offline(ctx, Ask{Actor: "mia", Why: "counting"}, "shop", 0))
	if shown.Recorded || h.edge.route("shop").Site.Offline == nil {
		t.Fatalf("degraded: %+v", shown)
	}
	must(h.m.Online(ctx, Ask{Actor: "mia"}, "shop"))
	if h.edge.route("shop").Site.Offline != nil {
		t.Error("still offline")
	}
}

func TestStatusWarnsLongBeforeTheDiskIsFull(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("a"))
	if st := must(h.m.Status(t.Context(), "shop")); st.Disk != "" {
		t.Errorf("with half of the disk free: %q", st.Disk)
	}
	h.free = 9 << 30
	if st := must(h.m.Status(t.Context(), "shop")); !strings.Contains(st.Disk, "9216 MiB free, 9 %") {
		t.Errorf("with 9 %% free: %q", st.Disk)
	}
}

func TestUsageCountsWhatOnlyOneReleaseHolds(t *testing.T) {
	t.Parallel()
	h, ctx := newHouse(t), t.Context()
	big := strings.Repeat("x", 5000)
	must(h.deployFiles(map[string]string{"/index.html": "<!doctype html>a", "/shared.bin": big, "/a.bin": big[:3000] + "a"}))
	must(h.deployFiles(map[string]string{"/index.html": "<!doctype html>b", "/shared.bin": big}))
	u := must(h.m.Usage(ctx, "shop"))
	if len(u.Releases) != 2 || u.Releases[0].Release != "r2" {
		t.Fatalf("usage = %+v", u)
	}
	r2, r1 := u.Releases[0], u.Releases[1]
	if r1.Own < 3001 || r1.Own >= 5000 || r2.Own >= 3000 || r1.Bytes < r1.Own+5000 || u.Bytes < r1.Own+r2.Own+5000 || u.Bytes >= r1.Bytes+r2.Bytes {
		t.Errorf("usage = %+v", u)
	}
}

func TestACollectionSaysWhatItFrees(t *testing.T) {
	t.Parallel()
	h, ctx := newHouse(t), t.Context()
	for i := range 12 {
		must(h.deploy(string(rune('a' + i))))
	}
	own := map[aplomb.ReleaseID]int64{}
	for _, r := range must(h.m.Usage(ctx, "shop")).Releases {
		own[r.Release] = r.Own
	}
	h.now = h.now.Add(rollout.KeepFor + time.Hour)
	freed := must(h.m.Collect(ctx))
	if len(freed.Releases) != 2 {
		t.Fatalf("freed = %+v", freed)
	}
	var last aplomb.Fact
	for f := range h.m.Facts(context.Background(), "shop", 0, false) {
		last = f
	}
	if want := own["r1"] + own["r2"]; last.Kind != aplomb.FactCollected || !strings.HasPrefix(string(last.More), fmt.Sprintf(`{"bytes":%d,`, want)) {
		t.Errorf("the fact says %s, want %d bytes", last.More, want)
	}
}

func TestHostsOfASiteWithADamagedLedgerStayItsOwn(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	must(h.deploy("a"))
	must(h.led.SetAside(ctx, "shop")) // lost
	h.restart()
	if _, err := h.m.AddSite(ctx, ask, "blog", []string{"shop.localhost"}); codeOf(err) != aplomb.CodeHostTaken {
		t.Errorf("a host that the edge serves for another site: %v", err)
	}
}

func TestASiteWithoutAReleaseGoesOfflineToo(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia", Why: "soon"}
	must(h.m.AddSite(ctx, ask, "blog", []string{"blog.localhost"}))
	must(h.m.Offline(ctx, ask, "blog", 0))
	if r := h.edge.route("blog"); r.Site.Offline == nil || r.Live != "" {
		t.Errorf("the edge serves %+v", r)
	}
	must(h.m.Online(ctx, ask, "blog"))
	if r := h.edge.route("blog"); r.Site.Offline != nil {
		t.Errorf("the edge serves %+v", r)
	}
}

func TestPreviewsAreRevokedByTheSite(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	must(h.deploy("a"))
	must(h.m.SetSite(ctx, ask, "shop", SiteChange{RevokePreviews: true}))
	if got := h.edge.route("shop").Site.PreviewSerial; got != 1 {
		t.Errorf("the edge's serial is %d, want 1", got)
	}
}

// TestASitesActIsDoneOrNotWhateverBecomesOfItsWrite: its one durable write is lost, or done and reported lost. What is
// acknowledged holds after a restart, and edge and ledger agree.
func TestASitesActIsDoneOrNotWhateverBecomesOfItsWrite(t *testing.T) {
	t.Parallel()
	ask := Ask{Actor: "mia", Why: "because"}
	hosts := []string{"shop.localhost", "www.localhost"}
	for name, c := range map[string]struct {
		do   func(*house) error
		done func(aplomb.Site) bool
	}{
		"set": {
			func(h *house) error {
				return second(h.m.SetSite(context.Background(), ask, "shop", SiteChange{Hosts: &hosts}))
			},
			func(s aplomb.Site) bool { return len(s.Hosts) == 2 },
		},
		"offline": {
			func(h *house) error { return second(h.m.Offline(context.Background(), ask, "shop", 0)) },
			func(s aplomb.Site) bool { return s.Offline != nil },
		},
		"forget": {
			func(h *house) error { return second(h.m.Forget(context.Background(), ask, "shop", "/same.txt")) },
			func(s aplomb.Site) bool { return len(s.Gone) == 1 },
		},
	} {
		for _, fault := range []string{"lost", "done"} {
			h := newHouse(t)
			must(h.deploy("a"))
			h.led.fail(fault)
			err := c.do(h)
			if acknowledged, done := err == nil, c.done(h.edge.route("shop").Site); acknowledged && !done {
				t.Errorf("%s, write %s: acknowledged, the edge has %+v", name, fault, h.edge.route("shop").Site)
			}
			h.restart()
			state := h.m.all()[0].view.Load().state.Site
			if got := c.done(h.edge.route("shop").Site); got != c.done(state) || err == nil && !got || fault == "done" && !got {
				t.Errorf("%s, write %s (%v): after a restart the edge has %+v, the ledger %+v", name, fault, err, h.edge.route("shop").Site, state)
			}
			h.oracle(name)
		}
	}
}
