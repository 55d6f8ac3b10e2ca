package edge

import (
	"maps"
	"sync"

	"aplomb"
)

// unsaved are the sites whose state file may not hold the route that is served, each with why. It has its own lock, held for
// lines only: whoever asks never waits for a switch.
type unsaved struct {
	mu sync.Mutex
	of map[aplomb.SiteName]error
}

// note remembers why a site's route is not saved. It reports whether that is news.
func (u *unsaved) note(site aplomb.SiteName, why error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.of[site]
	u.of[site] = why
	return before == nil || before.Error() != why.Error()
}

// settle forgets a site whose file says what is served.
func (u *unsaved) settle(site aplomb.SiteName) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.of, site)
}

func (u *unsaved) has(site aplomb.SiteName) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.of[site] != nil
}

func (u *unsaved) all() map[aplomb.SiteName]error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.of)
}

// Unsaved names the sites whose state file may not hold what is served, with why: until it does, a restart serves what was
// served before. The edge goes on trying.
func (e *Edge) Unsaved() map[aplomb.SiteName]error { return e.unsaved.all() }
