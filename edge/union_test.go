package edge

import (
	"fmt"
	"testing"

	"aplomb"
)

func TestKeptReleasesGoOnAnsweringTheirAssets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r1 := w.release(1, content{"/index.html": "one", "/assets/one-abcd1234.js": "1", "/main.js": "main 1", "/only1.css": "css 1", "/old.html": "old", "/photo.png": "png"})
	r2 := w.release(2, content{"/index.html": "two", "/assets/two-abcd1234.js": "2", "/main.js": "main 2", "/only2.mjs": "module 2", "/assets/same-abcd1234.js": "of r2"})
	r3 := w.release(3, content{"/index.html": "three", "/assets/three-abcd1234.js": "3", "/only2.mjs": "module 3", "/assets/same-abcd1234.js": "of r3"})
	r3.State = aplomb.Bad
	hashed := map[string]string{"Cache-Control": yearImmutable}
	kept := map[string]string{"Cache-Control": "no-cache", "CDN-Cache-Control": "no-store"}
	for _, c := range []struct {
		live   aplomb.Route
		own    string
		same   string
		module string
		main   string
	}{
		{route(1, r3, r2, r1), "three", "of r3", "module 3", "main 2"},
		{route(1, r2, r1, r3), "two", "of r2", "module 2", "main 2"},
		{route(1, r1, r2, r3), "one", "of r3", "module 3", "main 1"},
	} {
		h := w.table(c.live)
		runRows(t, h, []row{
			{name: string(c.live.Live) + " document", target: "/", status: 200, body: c.own},
			{name: "asset of r1", target: "/assets/one-abcd1234.js", status: 200, body: "1", headers: hashed},
			{name: "asset of r2", target: "/assets/two-abcd1234.js", status: 200, body: "2", headers: hashed},
			{name: "asset of the withdrawn r3", target: "/assets/three-abcd1234.js", status: 200, body: "3", headers: hashed},
			{name: "two releases disagree", target: "/assets/same-abcd1234.js", status: 200, body: c.same, headers: hashed},
			{name: "module", target: "/only2.mjs", status: 200, body: c.module},
			{name: "script", target: "/main.js", status: 200, body: c.main},
		})
	}
	runRows(t, w.table(route(1, r3, r2, r1)), []row{
		{name: "un-hashed code is kept by nobody", target: "/only1.css", status: 200, body: "css 1", headers: kept},
		{name: "newest release that has it", target: "/main.js", status: 200, body: "main 2", headers: kept},
		{name: "revalidates", target: "/main.js", in: []string{"If-None-Match", tagOf("main 2")}, status: 304, body: "", headers: kept},
		{name: "deleted document", target: "/old.html", status: 404, body: "not found\n"},
		{name: "deleted page", target: "/old", status: 404, body: "not found\n"},
		{name: "deleted image", target: "/photo.png", status: 404, body: "not found\n"},
	})
}

func TestUnionIsTheSameWhicheverWayItGrew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var kept []aplomb.KeptRelease
	for n := range 6 {
		kept = append([]aplomb.KeptRelease{w.release(n+1, content{
			"/index.html": fmt.Sprint("home ", n), fmt.Sprintf("/assets/a%d-abcd1234.js", n): fmt.Sprint(n), "/main.js": fmt.Sprint("main ", n/2),
			"/assets/same-abcd1234.js": fmt.Sprint("same ", n/3),
		}, func(m *aplomb.Manifest) { m.Workers = []string{fmt.Sprintf("/sw%d.js", n)} })}, kept...)
	}
	s := newShelf(w.blobs)
	var grown *site
	for n := range kept {
		of := kept[len(kept)-1-n:]
		grown, _ = s.site(route(int64(n+1), of[0], of[1:]...), grown)
	}
	whole, _ := newShelf(w.blobs).site(route(6, kept[0], kept[1:]...), nil)
	if len(grown.union.files) != len(whole.union.files) || len(grown.union.workers) != len(whole.union.workers) {
		t.Fatalf("grown: %d files, %d workers; at once: %d, %d", len(grown.union.files), len(grown.union.workers), len(whole.union.files), len(whole.union.workers))
	}
	for path, e := range whole.union.files {
		if g := grown.union.files[path]; g == nil || g.digest != e.digest || g.kind != e.kind || !g.headers.equal(e.headers) {
			t.Errorf("%s differs", path)
		}
	}
	back, _ := s.site(route(7, kept[3], append(kept[4:], kept[:3]...)...), grown)
	if back.union != grown.union {
		t.Error("going back to a kept release makes a new union")
	}
}

func TestReleasesShareWhatIsTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rules := func(m *aplomb.Manifest) { m.Headers = headers(t, "/*\n  X-Team: shop\n") }
	r1 := w.release(1, content{"/index.html": "one", "/logo.svg": "logo", "/assets/a-abcd1234.js": "a"}, rules)
	r2 := w.release(2, content{"/index.html": "two", "/logo.svg": "logo", "/assets/a-abcd1234.js": "a"}, rules)
	s := newShelf(w.blobs)
	first, _ := s.site(route(1, r1), nil)
	second, _ := s.site(route(2, r2, r1), first)
	for _, path := range []string{"/logo.svg", "/assets/a-abcd1234.js"} {
		if first.live.files[path] != second.live.files[path] {
			t.Errorf("%s: two entries for the same answer", path)
		}
	}
	if first.live.files["/"] == second.live.files["/"] {
		t.Error("/: one entry for two documents")
	}
}

func TestBeyondTheBudgetOnlyTheNextTargetsKeepTheirTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var kept []aplomb.KeptRelease
	for n := range 12 {
		kept = append([]aplomb.KeptRelease{w.release(n+1, content{"/index.html": fmt.Sprint(n)})}, kept...)
	}
	s := newShelf(w.blobs)
	all := route(1, kept[0], kept[1:]...)
	s.site(all, nil)
	s.trim([]aplomb.Route{all}, nil)
	if len(s.tables) != 12 {
		t.Errorf("within the budget: %d tables, want 12", len(s.tables))
	}
	some := route(2, kept[0], kept[1:6]...)
	s.trim([]aplomb.Route{some}, []aplomb.Digest{kept[9].Manifest})
	if len(s.tables) != 7 || len(s.releases) != 7 {
		t.Errorf("%d tables and %d releases, want those of 6 kept and 1 that was left", len(s.tables), len(s.releases))
	}
}
