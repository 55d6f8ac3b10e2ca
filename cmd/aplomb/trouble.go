package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"aplomb"
)

// troubles are what a server lacks while it serves its sites all the same: found at the start and there until the next one,
// or coming and going, as doors do.
type troubles struct {
	mu    sync.Mutex // guards what follows, for lines only
	fixed []*aplomb.Error
	doors func() []error // nil before there are any
}

func (t *troubles) note(e *aplomb.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fixed = append(t.fixed, e)
}

// watch asks doors from now on what is missing.
func (t *troubles) watch(doors func() []error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doors = doors
}

func (t *troubles) all() []*aplomb.Error {
	t.mu.Lock()
	all, doors := slices.Clone(t.fixed), t.doors
	t.mu.Unlock()
	if doors != nil {
		for _, err := range doors() {
			all = append(all, asError(err))
		}
	}
	return all
}

// trouble notes that something is not as it should be, and goes on.
func (h *house) trouble(err error) {
	h.troubles.note(asError(err))
	h.lg.Error("the sites are served, not all else works", "err", err)
}

// allTroubles is what the server lacks now.
func (h *house) allTroubles() []*aplomb.Error {
	all := h.troubles.all()
	if e := unwritable(h.dir); e != nil {
		all = append([]*aplomb.Error{e}, all...)
	}
	return all
}

// missing says what the server lacks, in a sentence each, for status.
func (h *house) missing() []string {
	var out []string
	for _, e := range h.allTroubles() {
		what, _, _ := strings.Cut(e.What, "\n") // the line of a file and the mark under it are for the start
		out = append(out, fmt.Sprintf("%s: %s.", sentence(what), strings.TrimSuffix(oneLine(e.Why), ".")))
	}
	return append(out, h.certificateProblems()...)
}

// sayTroubles shows what is missing after a start, all five parts of each.
func (c *call) sayTroubles(h *house) {
	all := h.allTroubles()
	unsaved := h.edge.Unsaved()
	for _, site := range slices.Sorted(maps.Keys(unsaved)) {
		all = append(all, readOnly(fmt.Sprintf("what is served of %s cannot be saved, and a restart would serve what was before: %v", site, unsaved[site]),
			"make the file writable, or move it away if nothing else uses it; saving is tried again"))
	}
	for _, e := range all {
		report(c.stderr, c.screen, false, "Still served", e.With(h.production()))
	}
}

// production says what visitors get although something is missing.
func (h *house) production() string {
	var sites []string
	for _, r := range h.edge.Routes() {
		if r.Live != "" {
			sites = append(sites, fmt.Sprintf("%s is on %s", r.Site.Name, r.Live))
		}
	}
	if sites == nil {
		return "Production: nothing is live."
	}
	return fmt.Sprintf("Production is served: %s.", strings.Join(sites, ", "))
}

func readOnly(why, do string) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeReadOnly, "something of the data folder cannot be written", why, do)
}

// unwritable says which folders of a data folder cannot be written now. It writes nothing to find out.
func unwritable(dir string) *aplomb.Error {
	var names []string
	var first error
	for _, name := range []string{".", "state", "journal", "blobs"} {
		folder := filepath.Join(dir, name)
		err := unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		if err == nil || err == unix.ENOENT {
			continue
		}
		names = append(names, folder)
		if first == nil {
			first = err
		}
	}
	if first == nil {
		return nil
	}
	return aplomb.NewError(aplomb.CodeReadOnly, strings.Join(names, ", ")+" cannot be written", first.Error(),
		"make it writable for the user that runs aplomb up; rollback works meanwhile").Because(first)
}
