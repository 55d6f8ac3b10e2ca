package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"aplomb"
	"aplomb/api"
	"aplomb/backup"
	"aplomb/blob"
	"aplomb/journal"
	"aplomb/release"
)

// making is one backup being made: what it holds was decided at its beginning, and stays in its place until Close.
type making struct {
	blobs    *blob.Disk
	letGo    func()
	manifest backup.Manifest
	cuts     map[aplomb.SiteName]*journal.Cut
	files    map[string][]byte
	kept     map[aplomb.SiteName]release.Kept
	known    []backup.Damage // what was known to be damaged before it began
}

// backups returns what makes backups; nil where there is no ledger to back up.
func (h *house) backups() func(context.Context, api.BackupAsk) (api.Backup, error) {
	if h.journal == nil {
		return nil
	}
	return h.backup
}

// backup makes a backup of everything this server serves ready. From then on nothing that it names is deleted.
func (h *house) backup(ctx context.Context, ask api.BackupAsk) (api.Backup, error) {
	letGo, err := h.manager.Hold(ctx)
	if err != nil {
		return nil, fmt.Errorf("keep the files in their place: %w", err)
	}
	m := &making{
		blobs: h.blobs, letGo: letGo,
		manifest: backup.Manifest{Format: backup.Format, Program: thisVersion().Version, At: h.c.now().UTC().Truncate(time.Second), Sites: []backup.Site{}, Blobs: []backup.Blob{}},
		cuts:     map[aplomb.SiteName]*journal.Cut{}, files: map[string][]byte{}, kept: map[aplomb.SiteName]release.Kept{},
	}
	if err := m.gather(ctx, h, ask); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *making) gather(ctx context.Context, h *house, ask api.BackupAsk) error {
	sites, err := h.journal.Sites(ctx)
	if err != nil {
		return fmt.Errorf("list the sites: %w", err)
	}
	for _, site := range sites {
		err := m.addSite(ctx, h, site)
		switch {
		case errors.Is(err, aplomb.ErrNotFound): // it has ended meanwhile
		case errors.Is(err, aplomb.ErrDegraded), errors.Is(err, aplomb.ErrDamaged):
			m.manifest.LeftOut = append(m.manifest.LeftOut, backup.LeftOut{Site: site, Why: err.Error()})
		case err != nil:
			return fmt.Errorf("back up %s: %w", site, err)
		}
	}
	for name, asked := range map[string]bool{backup.MachineFile: true, backup.TokensFile: ask.Tokens} {
		if err := m.addFile(h.dir, name, asked); err != nil {
			return err
		}
	}
	slices.SortFunc(m.manifest.Files, func(a, b backup.File) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	m.addBlobs()
	return nil
}

// addSite walks a site's chain and cuts it.
func (m *making) addSite(ctx context.Context, h *house, site aplomb.SiteName) error {
	if why := h.manager.Degraded()[site]; why != "" {
		return fmt.Errorf("%s: %w", why, aplomb.ErrDegraded)
	}
	if _, _, err := h.journal.Verify(ctx, site); err != nil {
		return err
	}
	cut, err := h.journal.Cut(ctx, site)
	if err != nil {
		return err
	}
	kept, err := h.manager.Kept(cut.Snapshot, h.c.now())
	if err != nil || kept.Removed {
		return errors.Join(err, cut.Close())
	}
	m.cuts[site], m.kept[site] = cut, kept
	s := backup.Site{Name: site, Head: cut.Head, Live: kept.Live, Releases: len(kept.Releases)}
	for _, seg := range cut.Segments {
		s.Segments = append(s.Segments, backup.File{Name: seg.Name, Size: seg.Size})
	}
	m.manifest.Sites = append(m.manifest.Sites, s)
	return nil
}

func (m *making) addFile(dir, name string, asked bool) error {
	if !asked {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	m.files[name] = b
	m.manifest.Files = append(m.manifest.Files, backup.File{Name: name, Size: int64(len(b))})
	return nil
}

// addBlobs lists what all sites keep, each blob once.
func (m *making) addBlobs() {
	all := map[aplomb.Digest]int64{}
	unread := map[aplomb.Digest]error{}
	for _, kept := range m.kept {
		for _, r := range kept.Releases {
			if r.Unread != nil {
				unread[r.Manifest] = r.Unread
			}
			for _, ref := range r.Blobs {
				all[ref.Digest] = ref.Size
			}
		}
		for _, ref := range kept.Lists {
			all[ref.Digest] = ref.Size
		}
	}
	for d, err := range unread {
		m.known = append(m.known, m.Damage(backup.Blob{Digest: d}, err))
	}
	for d, size := range all {
		m.manifest.Blobs = append(m.manifest.Blobs, backup.Blob{Digest: d, Size: size})
	}
	slices.SortFunc(m.manifest.Blobs, func(a, b backup.Blob) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
}

// Write implements api.Backup.
func (m *making) Write(ctx context.Context, w io.Writer) error {
	return gently(func() error {
		_, err := backup.Write(stoppedWriter{ctx, w}, m.manifest, m, m.known)
		return err
	})
}

// stoppedWriter ends with its context.
type stoppedWriter struct {
	ctx context.Context
	w   io.Writer
}

func (s stoppedWriter) Write(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	runtime.Gosched() // whoever waits for a processor goes first
	return s.w.Write(b)
}

// Segment implements backup.Source.
func (m *making) Segment(site aplomb.SiteName, name string) (io.Reader, error) {
	for _, seg := range m.cuts[site].Segments {
		if seg.Name == name {
			return seg.Reader(), nil
		}
	}
	return nil, fmt.Errorf("segment %s of %s: %w", name, site, aplomb.ErrInternal)
}

// File implements backup.Source.
func (m *making) File(name string) (io.Reader, error) { return bytes.NewReader(m.files[name]), nil }

// Blob implements backup.Source.
func (m *making) Blob(w io.Writer, b backup.Blob) error {
	return m.blobs.Copy(w, blob.Ref{Digest: b.Digest, Size: b.Size})
}

// Damage implements backup.Source.
func (m *making) Damage(b backup.Blob, err error) backup.Damage {
	d := backup.Damage{Digest: b.Digest, Why: err.Error(), Releases: []string{}}
	for _, site := range slices.Sorted(maps.Keys(m.kept)) {
		for _, r := range m.kept[site].Releases {
			if r.Manifest == b.Digest || slices.ContainsFunc(r.Blobs, func(ref blob.Ref) bool { return ref.Digest == b.Digest }) {
				d.Releases = append(d.Releases, string(site)+" "+string(r.ID))
			}
		}
	}
	return d
}

// Close implements api.Backup.
func (m *making) Close() {
	for _, cut := range m.cuts {
		cut.Close() // they were only read
	}
	m.letGo()
}
