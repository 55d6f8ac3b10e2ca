package release

import (
	"slices"
	"sync"

	"aplomb"
	"aplomb/blob"
)

// cachedManifests is how many decoded manifests are kept: the live one, a few that a rollback may choose, and one on
// its way, of more than one site.
const cachedManifests = 8

// manifestCache keeps the decoded manifests used last. A manifest is named by its digest and never changes.
type manifestCache struct {
	mu   sync.Mutex
	kept []cachedManifest // used last stands last
}

type cachedManifest struct {
	ref      blob.Ref
	manifest aplomb.Manifest
}

func (c *manifestCache) lookup(d aplomb.Digest) (cachedManifest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.kept, func(k cachedManifest) bool { return k.ref.Digest == d })
	if i < 0 {
		return cachedManifest{}, false
	}
	found := c.kept[i]
	c.kept = append(slices.Delete(c.kept, i, i+1), found)
	return found, true
}

func (c *manifestCache) keep(d aplomb.Digest, size int64, m aplomb.Manifest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, cachedManifest{blob.Ref{Digest: d, Size: size}, m})
	if over := len(c.kept) - cachedManifests; over > 0 {
		c.kept = slices.Delete(c.kept, 0, over)
	}
}

// manifest reads a release's sealed manifest; an unreadable one is logged and comes back empty.
func (d *driver) manifest(r aplomb.Release) aplomb.Manifest { return d.readManifest(r).manifest }

func (d *driver) readManifest(r aplomb.Release) cachedManifest {
	if found, ok := d.m.manifests.lookup(r.Manifest); ok {
		return found
	}
	b, err := readBlob(d.m.cfg.Blobs, r.Manifest)
	if err != nil {
		d.m.lg.Warn("manifest not read", "site", d.name, "release", r.ID, "err", err)
		return cachedManifest{}
	}
	m, err := aplomb.DecodeManifest(b)
	if err != nil {
		d.m.lg.Warn("manifest not understood", "site", d.name, "release", r.ID, "err", err)
		return cachedManifest{}
	}
	d.m.manifests.keep(r.Manifest, int64(len(b)), m)
	return cachedManifest{blob.Ref{Digest: r.Manifest, Size: int64(len(b))}, m}
}

// whole reports whether every byte a release needs is there: its manifest, and each file by presence and size. A file
// that was forgotten is not needed: its URL answers 410 whatever release has it.
func (d *driver) whole(r aplomb.Release) bool {
	if r.Collected {
		return false
	}
	c := d.readManifest(r)
	files := notGone(c.manifest.Files, goneOf(d.state.Site))
	return len(c.manifest.Files) > 0 && len(d.m.cfg.Blobs.Missing(append(refs(files), c.ref))) == 0
}
