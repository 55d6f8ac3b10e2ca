package edge

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"aplomb"
)

func TestARemovedSiteIsAnsweredForByNobody(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	e := w.edge(dir)
	w.perform(e, intent(route(1, w.release(1, content{"/index.html": "one"}))))
	other := route(1, w.release(2, content{"/index.html": "blog"}))
	other.Site = aplomb.Site{Name: "blog", Hosts: []aplomb.Host{"blog.test"}}
	w.perform(e, intent(other))
	w.perform(e, intent(route(2, w.release(3, content{"/index.html": "two"}))))

	removal := aplomb.Intent{ID: "shop.3.remove", Kind: aplomb.IntentRemove, Site: "shop"}
	for range 2 {
		if _, err := e.Remove(t.Context(), removal); err != nil {
			t.Fatal(err)
		}
	}
	if resp := get(e, "/"); resp.StatusCode != 421 {
		t.Errorf("its host answers %d", resp.StatusCode)
	}
	blog := request("GET", "/")
	blog.Host = "blog.test"
	if body := bodyOf(t, do(e, blog)); body != "blog" {
		t.Errorf("the other site answers %q", body)
	}
	for _, file := range []string{"shop.json", "shop.json.1"} {
		if _, err := os.Stat(filepath.Join(dir, file)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", file, err)
		}
	}
	// Another site takes the host, and a site of that name begins at its first fact.
	fresh := route(1, w.release(4, content{"/index.html": "new"}))
	w.perform(e, intent(fresh))
	if body := bodyOf(t, get(e, "/")); body != "new" {
		t.Errorf("the new site answers %q", body)
	}
}

func TestAReleaseIsReadyWithoutTheDocumentsThatAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.edge(t.TempDir())
	rel := w.release(1, content{"/index.html": "one", "/old.html": "old"})
	w.blobs.damage(aplomb.Sum([]byte("old")), aplomb.ErrNotFound)
	r := route(1, rel)
	if _, err := e.Perform(t.Context(), intent(r)); err == nil {
		t.Fatal("a release that lacks a document gets visitors")
	}
	r.Site.Gone = []string{"/old", "/old.html"}
	w.perform(e, intent(r))
	if body := bodyOf(t, get(e, "/")); body != "one" {
		t.Errorf("answers %q", body)
	}
}

func TestWhatTheOwnerSetsReachesTheEdgeAtTheSamePosition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.edge(t.TempDir())
	r := route(1, w.release(1, content{"/index.html": "one"}))
	w.perform(e, intent(r))
	r.Site.Offline = &aplomb.Offline{Why: "counting"}
	w.perform(e, urgent(r))
	if got := e.Routes()[0].Site.Offline; got == nil || got.Why != "counting" {
		t.Errorf("the edge's site is %+v", e.Routes()[0].Site)
	}
}
