package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestPublishedBuildsGoLiveAndComeBack deploys real front ends, the older version and then the newer, takes the newer back,
// and looks at both as visitors do: new ones, returning ones, and one whose tab stays open through all of it. It is not
// parallel: a browser that shares two cores with a hundred kills tells more of the machine than of the program.
func TestPublishedBuildsGoLiveAndComeBack(t *testing.T) {
	for _, n := range neighbours {
		t.Run(n.name, func(t *testing.T) {
			s := newShow(t, n.older, n.newer)
			s.m.start(t)

			s.m.deploy(t, s.dirs[0])
			s.check(t, s.versions[:1], n.older)
			returning, staying := newProfile(t), newProfile(t)
			s.visit(t, returning.open(t, s.url), n.older)
			openTab := staying.open(t, s.url)
			s.visit(t, openTab, n.older)

			s.m.deploy(t, s.dirs[1])
			s.check(t, s.versions, n.newer)
			s.visit(t, newProfile(t).open(t, s.url), n.newer)
			s.visit(t, returning.open(t, s.url), n.newer)
			s.useOpenTab(t, openTab, n.older)
			newTab := returning.open(t, s.url)
			s.visit(t, newTab, n.newer)

			if b := s.m.rollback(t); b.From != "r2" || b.To != "r1" {
				t.Fatalf("rollback = %+v, want from r2 to r1", b)
			}
			s.check(t, s.versions, n.older)
			s.visit(t, newProfile(t).open(t, s.url), n.older)
			s.visit(t, returning.open(t, s.url), n.older)
			s.useOpenTab(t, openTab, n.older)
			s.useOpenTab(t, newTab, n.newer)

			s.m.stop(t)
			s.m.start(t)
			s.check(t, s.versions, n.older)
		})
	}
}

// show is a published front end in two versions and the site it is shown on.
type show struct {
	m        *machine
	url      string
	versions []published
	dirs     []string
	assets   []map[string]asset // of versions
}

func newShow(t *testing.T, versions ...published) *show {
	t.Helper()
	s := &show{m: newMachine(t), versions: versions}
	s.url = newVisitor(t, shopHost, s.m.listen).base + "/"
	for _, p := range versions {
		dir := p.unpack(t)
		s.dirs = append(s.dirs, dir)
		s.assets = append(s.assets, assets(t, dir, p.hashed.MatchString))
	}
	changed := 0
	for urlPath := range s.assets[1] {
		if _, ok := s.assets[0][urlPath]; !ok {
			changed++
		}
	}
	if changed == 0 {
		t.Fatalf("%v and %v have the same assets: nothing to see", versions[0], versions[1])
	}
	return s
}

// check asks for everything over HTTP: every asset of every version deployed so far, and the document of the live one.
func (s *show) check(t *testing.T, deployed []published, live published) {
	t.Helper()
	v := newVisitor(t, shopHost, s.m.listen)
	hashed, immutable := 0, 0
	for i := range deployed {
		for _, urlPath := range slices.Sorted(maps.Keys(s.assets[i])) {
			a := s.assets[i][urlPath]
			if !a.hashed && deployed[i].version != live.version {
				continue // a name that stays while its content changes follows the live release
			}
			kept := v.checkAsset(t, urlPath, a)
			if a.hashed {
				hashed++
				if kept {
					immutable++
				}
			}
		}
	}
	// Names whose hash looks like words are treated as if they had none, which costs a revalidation and nothing else.
	if immutable*100 < hashed*95 {
		t.Errorf("%d of %d hashed assets are immutable, want at least 95 %%", immutable, hashed)
	}
	v.checkMissing(t)
	if entry := live.entry.FindString(string(v.checkDocument(t, "/").body)); !s.isOf(entry, live) {
		t.Errorf("the document loads %q, which is not of %v", entry, live)
	}
}

// isOf says whether a script belongs to one version and to no other.
func (s *show) isOf(entry string, live published) bool {
	for i, p := range s.versions {
		if _, ok := s.assets[i]["/"+p.mount+strings.TrimPrefix(entry, "static/")]; ok != (p.version == live.version) {
			return false
		}
	}
	return true
}

// visit checks that a tab shows the live version, whole.
func (s *show) visit(t *testing.T, o *tab, live published) {
	t.Helper()
	shown := o.waitFor(t, fmt.Sprintf("%q", live.shows), func(s seen) bool {
		return strings.Contains(s.Text, live.shows) && s.Things > 0
	})
	if entry := live.entry.FindString(shown.Scripts); !s.isOf(entry, live) {
		t.Errorf("the page runs %q, which is not of %v", entry, live)
	}
	o.checkWhole(t, live.api.MatchString)
}

// useOpenTab does what an open page does while releases change under it: it asks for every script of the version it was
// loaded from, and runs some that it has not needed so far.
func (s *show) useOpenTab(t *testing.T, o *tab, version published) {
	t.Helper()
	i := slices.IndexFunc(s.versions, func(p published) bool { return p.version == version.version })
	var scripts []string
	for urlPath, a := range s.assets[i] {
		if a.hashed && strings.HasSuffix(urlPath, ".js") {
			scripts = append(scripts, urlPath)
		}
	}
	slices.Sort(scripts)
	list, err := json.Marshal(scripts)
	if err != nil {
		t.Fatal(err)
	}
	got := evaluate[[]string](t, o, fmt.Sprintf(useScripts, list, version.module))
	for _, problem := range got {
		t.Errorf("an open page of %v: %s", version, problem)
	}
	if shown := o.look(t); !strings.Contains(shown.Text, version.shows) {
		t.Errorf("an open page of %v went blank: %+v", version, shown)
	}
}

// useScripts asks for scripts past the browser's cache, and loads some as the page's own code would: modules into the
// page's module map, others into the page. It returns what went wrong.
const useScripts = `(async (paths, modules) => {
	const problems = [];
	const ask = async path => {
		const r = await fetch(path, {cache: "reload", method: "HEAD"});
		if (r.status != 200 || !r.headers.get("Content-Type").includes("javascript")) problems.push(path + ": " + r.status);
	};
	const load = path => new Promise(done => {
		const e = document.createElement(modules ? "link" : "script");
		if (modules) [e.rel, e.href] = ["modulepreload", path]; else e.src = path;
		e.onload = done;
		e.onerror = () => { problems.push(path + ": does not load"); done() };
		document.head.append(e);
	});
	const lazy = paths.filter((path, i) => modules ? i %% 10 == 0 : !/main|runtime|vendors/.test(path));
	for (let i = 0; i < paths.length; i += 8) await Promise.all(paths.slice(i, i + 8).map(ask));
	for (let i = 0; i < lazy.length; i += 8) await Promise.all(lazy.slice(i, i + 8).map(load));
	return problems;
})(%s, %t)`
