package blob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"aplomb"
)

// groupSize is how many blobs are deleted before a waiting Begin gets its turn.
const groupSize = 64

// Collect implements Store. A batch that begins while it runs ends it: what was deleted by then is reported together
// with Skipped.
func (s *Disk) Collect(ctx context.Context, keep func(aplomb.Digest) bool, olderThan time.Time) (Collected, error) {
	s.collect.Lock()
	defer s.collect.Unlock()
	if s.shut != nil {
		return Collected{}, fmt.Errorf("collect blobs: %w", s.shut)
	}
	if !s.lease.TryLock() {
		return Collected{Skipped: true}, nil
	}
	s.lease.Unlock()

	going, err := s.unkept(ctx, keep, olderThan)
	if err != nil {
		return Collected{}, fmt.Errorf("collect blobs: %w", err)
	}
	var done Collected
	for group := range slices.Chunk(going, groupSize) {
		if err := ctx.Err(); err != nil {
			return done, fmt.Errorf("collect blobs: %w", err)
		}
		if !s.lease.TryLock() {
			done.Skipped = true
			return done, nil
		}
		err := s.delete(group, olderThan, &done)
		s.lease.Unlock()
		if err != nil {
			return done, fmt.Errorf("collect blobs: %w", err)
		}
	}
	if err := s.collectDamaged(olderThan); err != nil {
		return done, fmt.Errorf("collect blobs: %w", err)
	}
	return done, nil
}

// doomed is a blob to be deleted.
type doomed struct {
	digest aplomb.Digest
	size   int64
}

// unkept returns the blobs that are neither kept, nor young, nor an encoded form of one that stays.
func (s *Disk) unkept(ctx context.Context, keep func(aplomb.Digest) bool, olderThan time.Time) ([]doomed, error) {
	going := map[aplomb.Digest]int64{}
	for _, d := range s.index.digests() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if keep(d) {
			continue
		}
		if size, old := s.old(d, olderThan); old {
			going[d] = size
		}
	}
	spareForms(s.encodings.all(), s.index.known, going)
	list := make([]doomed, 0, len(going))
	for d, size := range going {
		list = append(list, doomed{d, size})
	}
	return list, nil
}

// spareForms takes the encoded forms of what stays out of going.
func spareForms(all map[aplomb.Digest]Encodings, known func(aplomb.Digest) bool, going map[aplomb.Digest]int64) {
	for source, forms := range all {
		if _, goes := going[source]; goes || !known(source) {
			continue
		}
		for _, form := range forms {
			if form.Level > 0 {
				delete(going, form.Digest)
			}
		}
	}
}

// old reports whether a blob's file is older than olderThan. What is damaged has no file here, and no age.
func (s *Disk) old(d aplomb.Digest, olderThan time.Time) (size int64, old bool) {
	var st unix.Stat_t
	if err := unix.Lstat(s.path(d), &st); err != nil {
		return 0, true
	}
	return st.Size, time.Unix(st.Mtim.Unix()).Before(olderThan)
}

// delete deletes blobs that no upload has seen since olderThan. The index forgets them first, so that an Open never
// takes a deleted file for a lost one. It is called with the lease held for writing.
func (s *Disk) delete(group []doomed, olderThan time.Time, done *Collected) error {
	var failed error
	var gone []aplomb.Digest
	for _, b := range group {
		if !s.index.forget(b.digest, olderThan) {
			continue
		}
		gone = append(gone, b.digest)
		switch err := os.Remove(s.path(b.digest)); {
		case err == nil:
			done.Blobs++
			done.Bytes += b.size
		case !errors.Is(err, os.ErrNotExist):
			failed = errors.Join(failed, err)
		}
	}
	s.encodings.drop(gone)
	return failed
}

// collectDamaged deletes what was set aside before olderThan, unless it is a blob that is still missing: its file may
// be all that is left of it.
func (s *Disk) collectDamaged(olderThan time.Time) error {
	aside, err := listDigests(filepath.Join(s.dir, damagedFolder))
	if err != nil {
		return err
	}
	for _, d := range aside {
		if e, ok := s.index.lookup(d); ok && e.damaged {
			continue
		}
		var st unix.Stat_t
		if err := unix.Lstat(s.damagedPath(d), &st); err != nil || !time.Unix(st.Mtim.Unix()).Before(olderThan) {
			continue
		}
		if err := os.Remove(s.damagedPath(d)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
