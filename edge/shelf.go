package edge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"aplomb"
	"aplomb/blob"
)

// tableBudget is how many files the tables of releases that are not about to be needed may have together.
const tableBudget = 200_000

// shelf keeps what was read of releases, so that a switch finds it ready: of every kept release what the union needs, of
// the live ones and the next targets of a rollback the whole table. Safe for concurrent use.
type shelf struct {
	blobs blob.Reader
	apps  *targets // nil where nothing is passed on to apps

	mu       sync.Mutex // guards the rest
	releases map[aplomb.Digest]*release
	tables   map[aplomb.Digest]*fileTable
	warmed   map[aplomb.Digest]bool
}

func newShelf(blobs blob.Reader) *shelf {
	return &shelf{
		blobs:    blobs,
		releases: map[aplomb.Digest]*release{},
		tables:   map[aplomb.Digest]*fileTable{},
		warmed:   map[aplomb.Digest]bool{},
	}
}

func (s *shelf) lookup(manifest aplomb.Digest) (*release, *fileTable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.releases[manifest], s.tables[manifest]
}

// load returns a release, with its table where whole is set.
func (s *shelf) load(manifest aplomb.Digest, whole bool, near []*fileTable) (*release, *fileTable, error) {
	r, t := s.lookup(manifest)
	if r != nil && (t != nil || !whole) {
		return r, t, nil
	}
	made, t, err := loadRelease(s.blobs, manifest, near)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r == nil {
		s.releases[manifest], r = made, made
	}
	s.tables[manifest] = t
	return r, t, nil
}

// site makes what one site is answered with. Kept releases whose manifests cannot be read are left out, and named.
func (s *shelf) site(route aplomb.Route, before *site) (*site, []error) {
	made := &site{route: route, rules: newSiteRules(route.Site)}
	var near []*fileTable
	var union *union
	if before != nil {
		union = before.union
		if before.live != nil {
			near = append(near, before.live)
		}
	}
	var unread []error
	if live, ok := route.Find(route.Live); ok {
		_, t, err := s.load(live.Manifest, true, near)
		if err != nil {
			made.unreadable = fmt.Errorf("%s of %s: %w", live.ID, route.Site.Name, err)
			unread = append(unread, made.unreadable)
		} else {
			made.live, made.apps = t, s.apps.routes(route.Site, t.app)
			near = append(near, t)
		}
	} else if route.Live != "" {
		made.unreadable = fmt.Errorf("%s of %s: %w: its manifest is not in the route", route.Live, route.Site.Name, aplomb.ErrDamaged)
		unread = append(unread, made.unreadable)
	}
	kept, errs := s.kept(route, near)
	made.union = newUnion(kept, union)
	return made, append(unread, errs...)
}

// kept returns the kept releases, newest first.
func (s *shelf) kept(route aplomb.Route, near []*fileTable) (out []*release, unread []error) {
	newest := slices.SortedFunc(slices.Values(route.Kept), func(a, b aplomb.KeptRelease) int {
		return cmp.Compare(b.ID.Number(), a.ID.Number())
	})
	for _, k := range newest {
		r, _, err := s.load(k.Manifest, false, near)
		switch {
		case err == nil:
			out = append(out, r)
		case k.ID != route.Live:
			unread = append(unread, fmt.Errorf("%s of %s: %w", k.ID, route.Site.Name, err))
		}
	}
	return out, unread
}

// warm opens the documents of a release, which hashes their bytes: none of them may turn out damaged in front of a
// visitor. Those whose paths are gone need not be there.
func (s *shelf) warm(manifest aplomb.Digest, t *fileTable, gone []string, out *sender) error {
	s.mu.Lock()
	done := s.warmed[manifest]
	s.mu.Unlock()
	if done {
		return nil
	}
	var errs []error
	for _, e := range t.documents {
		if slices.Contains(gone, e.path) {
			continue
		}
		b := opened{size: e.size}
		if err := out.load(&e.digest, &b, smallBody); err != nil {
			errs = append(errs, fmt.Errorf("document %s: %w", e.digest.Short(), err))
		}
		b.close()
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warmed[manifest] = true
	return nil
}

// trim forgets releases that no route keeps, and, beyond the budget, tables that are not about to be needed.
func (s *shelf) trim(routes []aplomb.Route, also []aplomb.Digest) {
	kept, soon := map[aplomb.Digest]bool{}, map[aplomb.Digest]bool{}
	for _, m := range also {
		kept[m], soon[m] = true, true
	}
	for _, r := range routes {
		for i, k := range r.Kept {
			kept[k.Manifest] = true
			if i <= nextTargets || k.ID == r.Live {
				soon[k.Manifest] = true
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	files := 0
	for m, t := range s.tables {
		if !soon[m] {
			files += len(t.files)
		}
	}
	for m, t := range s.tables {
		if !kept[m] || !soon[m] && files > tableBudget {
			if !soon[m] {
				files -= len(t.files)
			}
			delete(s.tables, m)
		}
	}
	for m := range s.releases {
		if !kept[m] {
			delete(s.releases, m)
			delete(s.warmed, m)
		}
	}
}
