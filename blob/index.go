package blob

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"aplomb"
)

// index knows which blobs are there. A blob enters it when its bytes and its name are durable, never before.
type index struct {
	mu      sync.RWMutex
	entries map[aplomb.Digest]entry // mu guards it
}

// entry is what is known of one blob.
type entry struct {
	// hashed is the stamp of the file whose bytes were hashed and found right; zero when none were since the start.
	hashed stamp
	// seen is when the blob was last put, or found present for an upload, in Unix seconds; 0 when not since the start.
	seen    int64
	damaged bool
}

// stamp tells a file from another that took its place, and from itself changed.
type stamp struct {
	ino   uint64
	size  int64
	mtime int64
}

func stampOf(st *unix.Stat_t) stamp { return stamp{ino: st.Ino, size: st.Size, mtime: st.Mtim.Nano()} }

// load lists the folders. What is in damaged/ and nowhere else is known to be damaged. A folder that cannot be listed keeps
// none of the others from being known.
func (x *index) load(folders []string, damagedFolder string) error {
	var g errgroup.Group
	g.SetLimit(4)
	for _, folder := range folders {
		g.Go(func() error {
			first, err := strconv.ParseUint(filepath.Base(folder), 16, 8)
			if err != nil {
				return fmt.Errorf("list blobs: %w", err)
			}
			found, err := listDigests(folder)
			x.mu.Lock()
			defer x.mu.Unlock()
			for _, d := range found {
				if d[0] == byte(first) {
					x.entries[d] = entry{}
				}
			}
			return err
		})
	}
	unlisted := g.Wait()
	damaged, err := listDigests(damagedFolder)
	for _, d := range damaged {
		if _, ok := x.entries[d]; !ok {
			x.entries[d] = entry{damaged: true}
		}
	}
	return errors.Join(unlisted, err)
}

// listDigests returns the digests among a folder's names; other names are none of the store's. With an error come those that
// were found before it.
func listDigests(folder string) ([]aplomb.Digest, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, diskError("list blobs", err)
	}
	defer f.Close()
	var found []aplomb.Digest
	for {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			if d, err := aplomb.ParseDigest(name); err == nil {
				found = append(found, d)
			}
		}
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, diskError("list blobs", err)
		}
	}
}

func (x *index) lookup(d aplomb.Digest) (entry, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	e, ok := x.entries[d]
	return e, ok
}

// has reports whether d is there and not known to be damaged.
func (x *index) has(d aplomb.Digest) bool {
	e, ok := x.lookup(d)
	return ok && !e.damaged
}

// known reports whether d is there, damaged or not.
func (x *index) known(d aplomb.Digest) bool {
	_, ok := x.lookup(d)
	return ok
}

// digests returns a snapshot.
func (x *index) digests() []aplomb.Digest {
	x.mu.RLock()
	defer x.mu.RUnlock()
	all := make([]aplomb.Digest, 0, len(x.entries))
	for d := range x.entries {
		all = append(all, d)
	}
	return all
}

// add makes blobs known whose bytes were hashed while they were written.
func (x *index) add(put []*putFile, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range put {
		x.entries[f.digest] = entry{hashed: f.stamp, seen: now.Unix()}
	}
}

// see notes that blobs were found present.
func (x *index) see(found []aplomb.Digest, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, d := range found {
		if e, ok := x.entries[d]; ok {
			e.seen = now.Unix()
			x.entries[d] = e
		}
	}
}

// trust notes that the file with this stamp was hashed and found right.
func (x *index) trust(d aplomb.Digest, st stamp) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e, ok := x.entries[d]; ok && !e.damaged {
		e.hashed = st
		x.entries[d] = e
	}
}

// condemn notes that d is damaged. news is false when that was known, known is false when there is no such blob.
func (x *index) condemn(d aplomb.Digest) (news, known bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.entries[d]
	if !ok || e.damaged {
		return false, ok
	}
	x.entries[d] = entry{damaged: true, seen: e.seen}
	return true, true
}

// forget removes d unless it was seen at or after olderThan, and reports whether it did.
func (x *index) forget(d aplomb.Digest, olderThan time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.entries[d]
	if !ok || e.seen >= olderThan.Unix() && e.seen != 0 {
		return false
	}
	delete(x.entries, d)
	return true
}
