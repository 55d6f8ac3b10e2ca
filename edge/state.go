package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"aplomb"
)

const (
	stateVersion = 1
	stateSuffix  = ".json"
	beforeSuffix = ".json.1"
)

// stateDir keeps one file per site with the route that is served, and beside it the one before. A file is written aside,
// synced, renamed over the old one, and the folder synced: after a power failure either route is there, whole.
type stateDir struct {
	dir string
	// try runs every durable operation. Tests put faults here: an operation lost, or done but reported lost.
	try func(op string, act func() error) error
}

// stateFile is the form of a state file: the sum is over the bytes of Route as they stand in the file.
type stateFile struct {
	Version int             `json:"version"`
	SHA     aplomb.Digest   `json:"sha"`
	Route   json.RawMessage `json:"route"`
}

func newStateDir(dir string) stateDir {
	return stateDir{dir: dir, try: func(_ string, act func() error) error { return act() }}
}

func encodeState(r aplomb.Route) ([]byte, error) {
	route, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode route of %s: %w", r.Site.Name, err)
	}
	b, err := json.Marshal(stateFile{Version: stateVersion, SHA: aplomb.Sum(route), Route: route})
	if err != nil {
		return nil, fmt.Errorf("encode state of %s: %w", r.Site.Name, err)
	}
	return append(b, '\n'), nil
}

// errNewer says that a state file is not damaged, and not this version's to replace.
var errNewer = errors.New("written by a newer version of aplomb")

// decodeState accepts exactly what encodeState writes: any other byte anywhere is damage.
func decodeState(b []byte, site aplomb.SiteName) (aplomb.Route, error) {
	var f stateFile
	if err := json.Unmarshal(b, &f); err != nil {
		return aplomb.Route{}, fmt.Errorf("decode state: %w: %w", aplomb.ErrDamaged, err)
	}
	if f.Version > stateVersion {
		return aplomb.Route{}, fmt.Errorf("decode state: %w (form %d, this one knows up to %d)", errNewer, f.Version, stateVersion)
	}
	if f.Version < 1 || aplomb.Sum(f.Route) != f.SHA {
		return aplomb.Route{}, fmt.Errorf("decode state: %w: its sum is not that of its route", aplomb.ErrDamaged)
	}
	again, err := json.Marshal(f)
	if err != nil || !bytes.Equal(append(again, '\n'), b) {
		return aplomb.Route{}, fmt.Errorf("decode state: %w: bytes beside the route were changed", aplomb.ErrDamaged)
	}
	var r aplomb.Route
	if err := json.Unmarshal(f.Route, &r); err != nil {
		return aplomb.Route{}, fmt.Errorf("decode route: %w: %w", aplomb.ErrDamaged, err)
	}
	if r.Site.Name != site {
		return aplomb.Route{}, fmt.Errorf("decode state: %w: it is of another site", aplomb.ErrDamaged)
	}
	return r, nil
}

// stored is what a state folder holds.
type stored struct {
	routes  []aplomb.Route // every site's newest valid one, in order of the sites' names
	damaged []string       // files that are not what was written
	// blocked are the sites whose file is neither to be read nor to be replaced: of a newer version, or out of reach.
	blocked map[aplomb.SiteName]error
}

// load is read for whoever only wants to know what is there: a file that is blocked is named like a damaged one.
func (d stateDir) load() (routes []aplomb.Route, damaged []string, err error) {
	found, err := d.read()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(found.blocked)) {
		found.damaged = append(found.damaged, found.blocked[name].Error())
	}
	return found.routes, found.damaged, nil
}

// read reads every site's newest valid route. A site whose file cannot be used is served from the file before, if that
// one is whole.
func (d stateDir) read() (stored, error) {
	found := stored{blocked: map[aplomb.SiteName]error{}}
	names, err := d.sites()
	if err != nil {
		return found, err
	}
	for _, name := range names {
		main := d.main(name)
		r, err := readState(main, name)
		if err == nil {
			found.routes = append(found.routes, r)
			continue
		}
		if replaceable(err) {
			found.damaged = append(found.damaged, fmt.Sprintf("%s: %v", main, err))
		} else {
			found.blocked[name] = fmt.Errorf("%s: %w", main, err)
		}
		before := filepath.Join(d.dir, string(name)+beforeSuffix)
		if r, err = readState(before, name); err == nil {
			found.routes = append(found.routes, r)
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			found.damaged = append(found.damaged, fmt.Sprintf("%s: %v", before, err))
		}
	}
	return found, nil
}

func (d stateDir) main(site aplomb.SiteName) string {
	return filepath.Join(d.dir, string(site)+stateSuffix)
}

// replaceable reports whether a state file that was read with err may give way to another: one that is whole, not there or
// damaged. What a newer version wrote, or what cannot be read just now, is nobody's to throw away.
func replaceable(err error) bool {
	return err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, aplomb.ErrDamaged)
}

// holds reports whether a restart would serve exactly r, nil for nothing of the site.
func (d stateDir) holds(site aplomb.SiteName, r *aplomb.Route) bool {
	b, err := os.ReadFile(d.main(site))
	if r == nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	want, bad := encodeState(*r)
	return err == nil && bad == nil && bytes.Equal(b, want)
}

// sites lists the sites that have a state file of either kind.
func (d stateDir) sites() ([]aplomb.SiteName, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("read edge state: %w", err)
	}
	var names []aplomb.SiteName
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), stateSuffix)
		if !ok {
			base, ok = strings.CutSuffix(e.Name(), beforeSuffix)
		}
		if name, err := aplomb.ParseSiteName(base); ok && err == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func readState(file string, site aplomb.SiteName) (aplomb.Route, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return aplomb.Route{}, err
	}
	return decodeState(b, site)
}

// save makes r the route that a restart serves. When it returns nil that survives a power failure. After an error the
// file holds the route before or r, whole in either case; the caller writes again what it serves.
func (d stateDir) save(r aplomb.Route) error {
	b, err := encodeState(r)
	if err != nil {
		return err
	}
	main := d.main(r.Site.Name)
	temp := filepath.Join(d.dir, "."+string(r.Site.Name)+".tmp")
	err = d.writeAside(temp, b)
	if isFull(err) {
		// The file before the present one gives its room: as much as is needed, on a disk that has none.
		os.Remove(temp)
		if d.try("unlink before", func() error { return os.Remove(filepath.Join(d.dir, string(r.Site.Name)+beforeSuffix)) }) == nil {
			err = d.writeAside(temp, b)
		}
	}
	if err != nil {
		os.Remove(temp)
		return fmt.Errorf("save route of %s: %w", r.Site.Name, err)
	}
	if err := d.keepBefore(r.Site.Name, main); err != nil {
		os.Remove(temp)
		return fmt.Errorf("save route of %s: keep the one before: %w", r.Site.Name, err)
	}
	if err := d.try("rename", func() error { return os.Rename(temp, main) }); err != nil {
		return fmt.Errorf("save route of %s: %w", r.Site.Name, err)
	}
	if err := d.try("sync folder", func() error { return syncFolder(d.dir) }); err != nil {
		return fmt.Errorf("save route of %s: %w", r.Site.Name, err)
	}
	return nil
}

func (d stateDir) writeAside(temp string, b []byte) error {
	var f *os.File
	err := d.try("create", func() (err error) {
		f, err = os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		return err
	})
	if f != nil {
		defer f.Close()
	}
	if err != nil {
		return err
	}
	if err := d.try("write", func() error { _, err := f.Write(b); return err }); err != nil {
		return err
	}
	return d.try("sync", f.Sync)
}

// keepBefore gives the present file its second name. A damaged file never replaces a whole one: it is set aside.
func (d stateDir) keepBefore(site aplomb.SiteName, main string) error {
	_, err := readState(main, site)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, aplomb.ErrDamaged):
		return d.try("set aside", func() error { return os.Rename(main, main+".damaged") })
	case err != nil:
		return err
	}
	before := filepath.Join(d.dir, string(site)+beforeSuffix)
	err = d.try("unlink before", func() error { return os.Remove(before) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.try("link before", func() error { return os.Link(main, before) })
}

// removeRefused takes away the file of a site that is not served: of a route that was refused.
func (d stateDir) removeRefused(site aplomb.SiteName) error {
	if _, err := readState(d.main(site), site); !replaceable(err) {
		return fmt.Errorf("remove route of %s: %w", site, err)
	}
	return d.remove(site)
}

func (d stateDir) remove(site aplomb.SiteName) error {
	err := d.try("unlink", func() error { return os.Remove(d.main(site)) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove route of %s: %w", site, err)
	}
	return d.try("sync folder", func() error { return syncFolder(d.dir) })
}

// removeAll takes away all that is stored of a site: what it served before, too.
func (d stateDir) removeAll(site aplomb.SiteName) error {
	before := filepath.Join(d.dir, string(site)+beforeSuffix)
	err := d.try("unlink before", func() error { return os.Remove(before) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove route of %s: %w", site, err)
	}
	return d.remove(site)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
