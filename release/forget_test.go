package release

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"aplomb"
)

// secretFront is a front end with a leaked key, which is small enough to have encodings made of it.
func secretFront(key string) map[string]string {
	content := front(key)
	content["/keys.txt"] = strings.Repeat("the key of everything ", 100)
	return content
}

func digestOf(s string) aplomb.Digest { return aplomb.Sum([]byte(s)) }

func (h *house) has(d aplomb.Digest) bool {
	f, _, err := h.blobs.Open(d)
	if err == nil {
		f.Close()
	}
	return !errors.Is(err, aplomb.ErrNotFound)
}

func TestForgettingDeletesTheBytesAndTheirEncodedForms(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia"}
	must(h.deployFiles(secretFront("a")))
	must(h.deployFiles(secretFront("b")))
	key := digestOf(secretFront("a")["/keys.txt"])
	var forms []aplomb.Digest
	for _, form := range h.blobs.Encodings(key) {
		if form.Level > 0 {
			forms = append(forms, form.Digest)
		}
	}
	if len(forms) == 0 {
		t.Fatal("the key has no encoded forms; the test would prove nothing of them")
	}
	if _, err := h.m.Forget(ctx, ask, "shop", "/keys.txt"); codeOf(err) != aplomb.CodeReason {
		t.Errorf("without a reason: %v", err)
	}
	ask.Why = "a key was in it"
	if _, err := h.m.Forget(ctx, ask, "shop", "/kyes.txt"); codeOf(err) != aplomb.CodeForget {
		t.Errorf("a path that nothing has: %v", err)
	}
	if _, err := h.m.Forget(ctx, ask, "shop", "https://elsewhere.test/keys.txt"); codeOf(err) != aplomb.CodeUsage {
		t.Errorf("a URL of nobody: %v", err)
	}
	got := must(h.m.Forget(ctx, ask, "shop", "https://shop.localhost/keys.txt?v=1"))
	if got.Pending != "" || got.Blobs != 1+len(forms) || len(got.Shared) != 0 || !slices.Equal(got.Gone, []string{"/keys.txt"}) {
		t.Fatalf("forgotten = %+v", got)
	}
	for _, p := range got.Proof {
		if !p.OK {
			t.Errorf("proof %+v", p)
		}
	}
	if len(got.Proof) != 2 {
		t.Errorf("proof = %+v, want the store and one visit", got.Proof)
	}
	for _, d := range append(forms, key) {
		if h.has(d) {
			t.Errorf("blob %s is still there", d.Short())
		}
	}
	if route := h.edge.route("shop"); !slices.Equal(route.Site.Gone, []string{"/keys.txt"}) {
		t.Errorf("the edge knows as gone %v", route.Site.Gone)
	}
	if b, err := h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop"); err != nil || b.To != "r1" {
		t.Errorf("rollback to a release that lost a file = %+v, %v", b, err)
	}
	h.restart()
	if st := must(h.m.Status(ctx, "shop")); len(st.Damaged) != 0 {
		t.Errorf("what was forgotten counts as damaged: %v", st.Damaged)
	}
	d, err := h.deployFiles(secretFront("c"))
	if err != nil || len(d.Warnings) != 0 && d.State != aplomb.Live {
		t.Fatalf("a deploy that brings it again = %+v, %v", d, err)
	}
	if h.has(key) {
		t.Error("a later deploy brought the forgotten bytes back")
	}
	h.oracle("in the end")
}

func TestForgottenBytesThatOtherNamesNeedStayAndAreNamed(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia", Why: "not ours"}
	content := secretFront("a")
	content["/copy.txt"] = content["/keys.txt"]
	must(h.deployFiles(content))
	got := must(h.m.Forget(ctx, ask, "shop", "/keys.txt"))
	if len(got.Shared) != 1 || got.Shared[0].Path != "/keys.txt" || !slices.Equal(got.Shared[0].At, []string{"shop r1/copy.txt"}) || got.Blobs != 0 {
		t.Fatalf("forgotten = %+v", got)
	}
	got = must(h.m.Forget(ctx, ask, "shop", "/copy.txt"))
	if len(got.Shared) != 0 || h.has(digestOf(content["/keys.txt"])) {
		t.Errorf("the last of its names forgotten = %+v", got)
	}
}

func TestForgettingADocumentForgetsEveryURLOfIt(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia", Why: "not ours"}
	content := front("a")
	content["/about/index.html"], content["/terms.html"] = "<!doctype html>about", "<!doctype html>terms"
	must(h.deployFiles(content))
	for what, want := range map[string][]string{
		"/about": {"/about", "/about/", "/about/index.html"},
		"/terms": {"/terms", "/terms.html"},
	} {
		if got := must(h.m.Forget(ctx, ask, "shop", what)); !slices.Equal(got.Gone, want) {
			t.Errorf("forget %s makes gone %v, want %v", what, got.Gone, want)
		}
	}
}

func TestForgettingAReleaseDeletesWhatOnlyItHas(t *testing.T) {
	t.Parallel()
	h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia", Why: "a customer's name"}
	must(h.deploy("a"))
	must(h.deploy("b"))
	if _, err := h.m.Forget(ctx, ask, "shop", "r2"); codeOf(err) != aplomb.CodeIsLive {
		t.Fatalf("the live release: %v", err)
	}
	got := must(h.m.Forget(ctx, ask, "shop", "r1"))
	asset := "/assets/app-" + hash8("a") + ".js"
	if !slices.Equal(got.Gone, []string{asset}) || got.Pending != "" {
		t.Fatalf("forgotten = %+v", got)
	}
	if len(got.Shared) != 1 || got.Shared[0].Path != "/same.txt" {
		t.Errorf("shared = %+v, want the file that r2 has too", got.Shared)
	}
	for path, content := range front("a") {
		if has, want := h.has(digestOf(content)), path == "/same.txt"; has != want {
			t.Errorf("%s is there: %v, want %v", path, has, want)
		}
	}
	if _, err := h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop"); codeOf(err) != aplomb.CodeNoTarget {
		t.Errorf("rollback to a forgotten release: %v", err)
	}
	if _, err := h.m.Forget(ctx, ask, "shop", "r1"); err != nil {
		t.Errorf("forgotten once more: %v", err)
	}
	h.oracle("in the end")
}

// TestForgettingWaitsForAnOpenUpload: the URL is gone at once, the bytes as soon as nothing counts on them.
func TestForgettingWaitsForAnOpenUpload(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia", Why: "a key was in it"}
		must(h.deployFiles(secretFront("a")))
		content := front("b")
		up := must(h.m.Begin(ctx, ask, UploadRequest{Site: "shop", Files: files(content)}))
		got := must(h.m.Forget(ctx, ask, "shop", "/keys.txt"))
		key := digestOf(secretFront("a")["/keys.txt"])
		if got.Pending == "" || !h.has(key) || !slices.Contains(h.edge.route("shop").Site.Gone, "/keys.txt") {
			t.Fatalf("with an upload open: %+v", got)
		}
		if restart {
			h.restart()
		} else {
			must(h.m.Receive(ctx, up.ID, stream(content, up.Missing)))
			must(h.m.Seal(ctx, up.ID))
		}
		h.m.eraseOwed(ctx)
		if h.has(key) {
			t.Errorf("restart %v: the bytes are still there", restart)
		}
	}
}

// TestForgettingRacesARollback: whichever comes first, the release that is forgotten is never live, and what is live is
// whole.
func TestForgettingRacesARollback(t *testing.T) {
	t.Parallel()
	for range 20 {
		h, ctx, ask := newHouse(t), t.Context(), Ask{Actor: "mia", Why: "a key was in it"}
		for _, key := range []string{"a", "b", "c"} {
			must(h.deployFiles(secretFront(key)))
		}
		var racing sync.WaitGroup
		racing.Go(func() { must(h.m.Rollback(ctx, ask, "shop")) })
		racing.Go(func() {
			if _, err := h.m.Forget(ctx, ask, "shop", "r2"); err != nil && codeOf(err) != aplomb.CodeIsLive {
				t.Error(err)
			}
		})
		racing.Go(func() { must(h.m.Forget(ctx, ask, "shop", "/keys.txt")) })
		racing.Wait()
		h.m.eraseOwed(ctx)
		st := must(h.m.Status(ctx, "shop"))
		for _, r := range must(h.m.Releases(ctx, "shop")) {
			if r.ID == st.Live && (r.State != aplomb.Live || r.Collected) {
				t.Errorf("live is %+v", r)
			}
		}
		if st.Live == "r3" || h.has(digestOf(secretFront("a")["/keys.txt"])) {
			t.Errorf("live is %s; the key is there: %v", st.Live, h.has(digestOf(secretFront("a")["/keys.txt"])))
		}
		h.oracle("after the race")
	}
}
