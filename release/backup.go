package release

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/ledger"
	"aplomb/rollout"
)

// Hold keeps every stored byte where it is until the function it returns is called: meanwhile neither Collect nor Forget
// deletes any.
func (m *Manager) Hold(ctx context.Context) (letGo func(), err error) {
	batch, err := m.lease(ctx)
	if err != nil {
		return nil, err
	}
	return func() { m.release(batch) }, nil
}

// Kept is what a site's records say has to be kept.
type Kept struct {
	// Live is what visitors get where this state is restored: see Restored.
	Live     aplomb.ReleaseID
	Removed  bool
	Releases []KeptBytes // by number
	// Lists are manifests of collected releases, which still tell what browsers hold as immutable.
	Lists []blob.Ref
}

// KeptBytes is one release whose bytes are kept.
type KeptBytes struct {
	ID    aplomb.ReleaseID
	Blobs []blob.Ref // the manifest first; a file that is forgotten is not among them
	// Unread says why the manifest cannot be read; Blobs is then empty.
	Unread   error
	Manifest aplomb.Digest
}

// Kept lists what a snapshot of a site's records says has to be kept at a time.
func (m *Manager) Kept(snap ledger.Snapshot, now time.Time) (Kept, error) {
	s, err := stateOf(snap)
	if err != nil {
		return Kept{}, fmt.Errorf("read the records: %w", err)
	}
	out := Kept{Live: settled(s).Route(snap.Head).Live, Removed: s.Removed}
	gone := goneOf(s.Site)
	for _, r := range s.Releases {
		if r.Collected && (r.LastLive.IsZero() || now.Sub(r.LastLive) >= sentFor) {
			continue
		}
		c, err := m.loadManifest(r.Manifest)
		switch {
		case r.Collected && err == nil:
			out.Lists = append(out.Lists, c.ref)
		case r.Collected: // it only spares a browser a surprise; without it nothing else is lost
		case err != nil:
			out.Releases = append(out.Releases, KeptBytes{ID: r.ID, Manifest: r.Manifest, Unread: err})
		default:
			files := refs(notGone(c.manifest.Files, gone))
			out.Releases = append(out.Releases, KeptBytes{ID: r.ID, Manifest: r.Manifest, Blobs: append([]blob.Ref{c.ref}, files...)})
		}
	}
	slices.SortFunc(out.Releases, func(a, b KeptBytes) int { return a.ID.Number() - b.ID.Number() })
	return out, nil
}

// loadManifest reads a manifest without filling the cache, which is for what visitors may get next.
func (m *Manager) loadManifest(d aplomb.Digest) (cachedManifest, error) {
	if found, ok := m.manifests.lookup(d); ok {
		return found, nil
	}
	b, err := readBlob(m.cfg.Blobs, d)
	if err != nil {
		return cachedManifest{}, err
	}
	decoded, err := aplomb.DecodeManifest(b)
	if err != nil {
		return cachedManifest{}, err
	}
	return cachedManifest{blob.Ref{Digest: d, Size: int64(len(b))}, decoded}, nil
}

// Restored returns the fact with which a restored chain begins its new epoch, and the records that it moves: rollouts that
// were on their way when the backup was made have ended.
func Restored(snap ledger.Snapshot, site aplomb.SiteName, at time.Time, actor, why string) (aplomb.Fact, []ledger.Write, error) {
	was, err := stateOf(snap)
	if err != nil {
		return aplomb.Fact{}, nil, fmt.Errorf("read the records of %s: %w", site, err)
	}
	s := settled(was)
	live := s.Route(snap.Head).Live
	s.N = 0 // the ledger alone knows the n that the fact gets
	writes, err := diff(was, s)
	if err != nil {
		return aplomb.Fact{}, nil, fmt.Errorf("write the records of %s: %w", site, err)
	}
	return aplomb.Fact{At: at, Kind: aplomb.FactRestored, Actor: actor, Site: site, Release: live, Why: why}, writes, nil
}

// settled is a state in which nothing new is on its way to visitors. A way back that was asked for stays: whoever takes the
// state up goes it to its end.
func settled(s rollout.State) rollout.State {
	s.Releases = maps.Clone(s.Releases)
	for _, r := range s.Rollouts {
		if rel, ok := s.Releases[r.Release]; ok && rel.State == aplomb.Uploaded {
			rel.State, rel.Why = aplomb.Waiting, "it was on its way when the backup was made"
			s.Releases[rel.ID] = rel
		}
	}
	s.Rollouts, s.Over = nil, nil
	if s.Pending != nil && s.Pending.Kind == aplomb.FactLive {
		s.Pending = nil
	}
	return s
}
