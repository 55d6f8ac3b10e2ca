package edge

import (
	"maps"
	"slices"

	"aplomb"
)

// union is what a site answers beyond its live release: the hashed files and the code of every kept release, withdrawn
// ones included. It depends on the kept releases alone, so that going back to another of them needs no new one.
type union struct {
	of    []aplomb.Digest // manifests of the kept releases, newest first
	files map[string]*entry
	// workers are the service-worker scripts of any kept release. Where the live release lacks one, its URL answers the
	// worker that ends it.
	workers map[string]bool
}

// newUnion joins kept releases, newest first: where two have the same path, the newer one answers. The union before
// saves the work where only newer releases were added.
func newUnion(kept []*release, before *union) *union {
	u := &union{of: make([]aplomb.Digest, len(kept))}
	for i, r := range kept {
		u.of[i] = r.manifest
	}
	fresh := kept
	if before != nil {
		if slices.Equal(before.of, u.of) {
			return before
		}
		if added := len(u.of) - len(before.of); added > 0 && slices.Equal(before.of, u.of[added:]) {
			u.files, u.workers, fresh = maps.Clone(before.files), maps.Clone(before.workers), kept[:added]
		}
	}
	if u.files == nil {
		u.files, u.workers = map[string]*entry{}, map[string]bool{}
	}
	for _, r := range slices.Backward(fresh) {
		for _, e := range r.shared {
			u.add(e, r.rules)
		}
		for _, w := range r.workers {
			u.workers[w] = true
		}
	}
	return u
}

// hashed reports whether some kept release sent that path as immutable.
func (u *union) hashed(path string) bool {
	e := u.files[path]
	return e != nil && e.hashed
}

// add puts a shared file in place of what an older release has there. A hashed name never gives way to one that is not:
// browsers keep what it answered. Code under a name that stays is answered like a worker script: nobody may keep it,
// since it can be gone at the next request.
func (u *union) add(e *entry, rules *headerRules) {
	known := u.files[e.path]
	switch {
	case e.hashed:
		u.files[e.path] = e
	case known != nil && (known.hashed || known.digest == e.digest):
	default:
		u.files[e.path] = e.as(aplomb.KindWorker, rules.fixed(aplomb.KindWorker, e.path))
	}
}
