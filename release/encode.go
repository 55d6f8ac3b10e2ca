package release

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"aplomb"
	"aplomb/blob"
)

// Bounds of the encodings: quick ones are made at sealing for what visitors ask for first, the rest afterwards, in
// the background.
const (
	quickBytes = 2 << 20  // encoded at one sealing
	bestFile   = 4 << 20  // larger files get quick encodings only
	bestBytes  = 64 << 20 // encoded slowly for one release; the rest quickly
	encodeStep = 32       // files encoded at a time in the background
)

// encodeQuick makes the quick encodings of the files that are new, documents and then the smallest first, within a budget.
// Failing costs visitors bytes, not pages, so it is logged and no error.
func (m *Manager) encodeQuick(ctx context.Context, manifest aplomb.Manifest, fresh map[aplomb.Digest]bool) {
	manifest.Files = slices.DeleteFunc(slices.Clone(manifest.Files), func(f aplomb.File) bool { return !fresh[f.Digest] })
	var pick []blob.Source
	left := int64(quickBytes)
	for _, s := range m.lacking(manifest, blob.Quick) {
		if left -= s.Size; left < 0 {
			break
		}
		pick = append(pick, s)
	}
	m.encodeNow(ctx, pick, blob.Quick)
}

func (m *Manager) encodeNow(ctx context.Context, sources []blob.Source, effort blob.Effort) {
	if len(sources) == 0 || ctx.Err() != nil {
		return
	}
	if err := blob.Encode(ctx, m.cfg.Blobs, sources, effort); err != nil {
		if ctx.Err() == nil {
			m.lg.Warn("encodings not made", "files", len(sources), "err", err)
		}
		return
	}
	m.encoded.add(sources, effort)
}

// lacking lists the files that are worth encoding and were not encoded with that effort yet: documents first, then by
// size.
func (m *Manager) lacking(manifest aplomb.Manifest, effort blob.Effort) []blob.Source {
	var out []blob.Source
	seen := map[aplomb.Digest]bool{}
	for _, f := range manifest.Files {
		if seen[f.Digest] || !blob.Worth(f.Size, f.Type) || m.encoded.has(f.Digest, m.cfg.Blobs.Encodings(f.Digest), effort) {
			continue
		}
		seen[f.Digest] = true
		out = append(out, blob.Source{Ref: blob.Ref{Digest: f.Digest, Size: f.Size}, Type: f.Type})
	}
	rank := func(s blob.Source) int {
		if aplomb.IsDocument(s.Type) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b blob.Source) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Size, b.Size))
	})
	return out
}

// encodedMemo remembers with which effort blobs were encoded in this process's life: forms that were not smaller leave
// no trace in the store.
type encodedMemo struct {
	mu     sync.Mutex
	effort map[aplomb.Digest]blob.Effort
}

func (e *encodedMemo) has(d aplomb.Digest, kept blob.Encodings, effort blob.Effort) bool {
	for c, k := range kept {
		if k.Level >= effort.Level(blob.Coding(c)) {
			return true
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	done, ok := e.effort[d]
	return ok && done >= effort
}

func (e *encodedMemo) add(sources []blob.Source, effort blob.Effort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.effort == nil || len(e.effort) > 200_000 {
		e.effort = map[aplomb.Digest]blob.Effort{}
	}
	for _, s := range sources {
		e.effort[s.Digest] = max(e.effort[s.Digest], effort)
	}
}

// encodeBest makes the slow encodings of releases that went live, until ctx ends.
func (m *Manager) encodeBest(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case site := <-m.encode:
			m.encodeLive(ctx, site)
		}
	}
}

// encodeLive encodes what is live on a site, in small steps, so that what is ready is served.
func (m *Manager) encodeLive(ctx context.Context, site aplomb.SiteName) {
	d, err := m.driver(site)
	if err != nil {
		return
	}
	s := d.view.Load().state
	left := int64(bestBytes)
	manifest := d.manifest(s.Releases[s.Live])
	manifest.Files = notGone(manifest.Files, goneOf(s.Site))
	for step := range slices.Chunk(m.lacking(manifest, blob.Best), encodeStep) {
		var best, quick []blob.Source
		for _, s := range step {
			if left -= s.Size; left >= 0 && s.Size <= bestFile {
				best = append(best, s)
			} else if !m.encoded.has(s.Digest, m.cfg.Blobs.Encodings(s.Digest), blob.Quick) {
				quick = append(quick, s)
			}
		}
		m.encodeNow(ctx, best, blob.Best)
		m.encodeNow(ctx, quick, blob.Quick)
	}
}
