package release

import (
	"context"
	"fmt"
	"slices"

	"aplomb"
)

// Usage says what a site's kept releases take on the disk: files, their encoded forms, and manifests.
type Usage struct {
	Site     aplomb.SiteName `json:"site"`
	Releases []ReleaseUsage  `json:"releases"` // newest first
	// Bytes is what all of them take together: what they share counts once.
	Bytes int64 `json:"bytes"`
}

// ReleaseUsage is one kept release's part.
type ReleaseUsage struct {
	Release aplomb.ReleaseID `json:"release"`
	Bytes   int64            `json:"bytes"`
	// Own is what only this release holds: what collecting it alone would free.
	Own int64 `json:"own"`
}

// holder is a kept release of a site.
type holder struct {
	site    aplomb.SiteName
	release aplomb.ReleaseID
}

// goneOf returns the paths of a site that are forgotten.
func goneOf(s aplomb.Site) map[string]bool {
	if len(s.Gone) == 0 {
		return nil
	}
	gone := make(map[string]bool, len(s.Gone))
	for _, p := range s.Gone {
		gone[p] = true
	}
	return gone
}

// notGone returns the files whose paths are not forgotten: those whose bytes have to be here.
func notGone(files []aplomb.File, gone map[string]bool) []aplomb.File {
	if len(gone) == 0 {
		return files
	}
	return slices.DeleteFunc(slices.Clone(files), func(f aplomb.File) bool { return gone[f.Path] })
}

// blobsOf lists what a release needs in the store, each once, with the bytes it takes there.
func (d *driver) blobsOf(r aplomb.Release, gone map[string]bool) map[aplomb.Digest]int64 {
	c := d.readManifest(r)
	out := make(map[aplomb.Digest]int64, len(c.manifest.Files)+1)
	if c.ref.Size > 0 {
		out[r.Manifest] = c.ref.Size
	}
	for _, f := range notGone(c.manifest.Files, gone) {
		if _, seen := out[f.Digest]; seen {
			continue
		}
		size := f.Size
		for _, form := range d.m.cfg.Blobs.Encodings(f.Digest) {
			if form.Level > 0 {
				size += form.Size
			}
		}
		out[f.Digest] = size
	}
	return out
}

// eachKept calls f with every kept release of every site, and what it needs.
func (m *Manager) eachKept(f func(h holder, blobs map[aplomb.Digest]int64)) {
	for _, d := range m.all() {
		s := d.view.Load().state
		if s.Removed {
			continue
		}
		gone := goneOf(s.Site)
		for _, r := range s.Releases {
			if !r.Collected {
				f(holder{d.name, r.ID}, d.blobsOf(r, gone))
			}
		}
	}
}

// Usage says what a site's kept releases take on the disk.
func (m *Manager) Usage(_ context.Context, site aplomb.SiteName) (Usage, error) {
	if _, err := m.driver(site); err != nil {
		return Usage{}, err
	}
	type held struct {
		size  int64
		count int
		by    aplomb.ReleaseID // one of the site that holds it, "" where only others do
	}
	all := map[aplomb.Digest]held{}
	out := Usage{Site: site, Releases: []ReleaseUsage{}}
	total := map[aplomb.ReleaseID]*ReleaseUsage{}
	m.eachKept(func(h holder, blobs map[aplomb.Digest]int64) {
		use := &ReleaseUsage{Release: h.release}
		for digest, size := range blobs {
			use.Bytes += size
			b := all[digest]
			b.size, b.count = size, b.count+1
			if h.site == site {
				b.by = h.release
			}
			all[digest] = b
		}
		if h.site == site {
			total[h.release] = use
		}
	})
	for _, held := range all {
		if held.by == "" {
			continue
		}
		out.Bytes += held.size
		if held.count == 1 {
			total[held.by].Own += held.size
		}
	}
	for _, use := range total {
		out.Releases = append(out.Releases, *use)
	}
	slices.SortFunc(out.Releases, func(a, b ReleaseUsage) int { return b.Release.Number() - a.Release.Number() })
	return out, nil
}

// frees returns what deleting releases frees: what no other kept release needs.
func (m *Manager) frees(going map[holder]bool) int64 {
	only, needed := map[aplomb.Digest]int64{}, map[aplomb.Digest]bool{}
	m.eachKept(func(h holder, blobs map[aplomb.Digest]int64) {
		for digest, size := range blobs {
			if going[h] {
				only[digest] = size
			} else {
				needed[digest] = true
			}
		}
	})
	var sum int64
	for digest, size := range only {
		if !needed[digest] {
			sum += size
		}
	}
	return sum
}

// A disk is nearly full when less is free than one of these: long before a deploy fails.
const (
	lowPart  = 0.10
	lowBytes = 1 << 30
)

// lowSpace says, in words, that the disk of the data folder is nearly full; "" while it is not.
func (m *Manager) lowSpace() string {
	if m.cfg.Space == nil {
		return ""
	}
	free, total, err := m.cfg.Space()
	if err != nil || total <= 0 || float64(free) >= lowPart*float64(total) && free >= lowBytes {
		return ""
	}
	return fmt.Sprintf("The disk of the data folder is nearly full: %d MiB free, %.0f %%.", free>>20, 100*float64(free)/float64(total))
}
