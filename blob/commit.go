package blob

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Commit implements Batch. Further blobs may be put afterwards, and committed again.
func (b *batch) Commit() error {
	err := b.usable()
	if err == nil {
		err = b.commit()
	}
	if err != nil {
		b.failed = true
		return fmt.Errorf("commit blobs: %w", err)
	}
	return nil
}

func (b *batch) commit() error {
	b.finish()
	if err := b.writeError(); err != nil || len(b.put) == 0 {
		return err
	}
	each := len(b.put) <= syncEach
	if err := b.syncFiles(each); err != nil {
		return err
	}
	b.unsure = true
	if err := b.placeFiles(); err != nil {
		return err
	}
	if err := b.syncFolders(each); err != nil {
		return err
	}
	b.unsure = false
	b.s.index.add(b.put, time.Now())
	b.put = nil
	clear(b.known)
	return nil
}

// syncFiles makes the bytes durable. They must be before they get their names: after a power failure a name is there
// or not, but never without its bytes.
func (b *batch) syncFiles(each bool) error {
	if !each {
		if err := b.s.sys.syncfs(int(b.root.Fd())); err != nil {
			return diskError("sync file system", err)
		}
		return nil
	}
	var g errgroup.Group
	g.SetLimit(4) // one journal transaction takes several
	for _, f := range b.put {
		g.Go(func() error {
			if err := b.s.sys.fsync(f.fd); err != nil {
				return diskError("sync blob "+f.digest.Short(), err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (b *batch) placeFiles() error {
	b.s.place.RLock()
	defer b.s.place.RUnlock()
	for _, f := range b.put {
		b.drop(f)
		if err := b.makeFolder(int(f.digest[0])); err != nil {
			return err
		}
		if err := b.s.sys.rename(f.tmp, b.s.path(f.digest)); err != nil {
			return diskError("place blob "+f.digest.Short(), err)
		}
	}
	return nil
}

// makeFolder makes a folder on its first use. Until some batch has synced it, every batch that uses it syncs it.
func (b *batch) makeFolder(i int) error {
	if b.s.made[i].Load() || b.made[i] {
		return nil
	}
	if err := os.Mkdir(b.s.folder(i), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return diskError("create folder", err)
	}
	b.made[i] = true
	return nil
}

func (b *batch) syncFolders(each bool) error {
	if err := b.syncNames(each); err != nil {
		return err
	}
	for i, made := range b.made {
		if made {
			b.s.made[i].Store(true)
		}
	}
	b.made = [folders]bool{}
	return nil
}

func (b *batch) syncNames(each bool) error {
	if !each {
		if err := b.s.sys.syncfs(int(b.root.Fd())); err != nil {
			return diskError("sync file system", err)
		}
		return nil
	}
	paths := map[string]struct{}{}
	for _, f := range b.put {
		paths[b.s.folder(int(f.digest[0]))] = struct{}{}
	}
	if b.made != ([folders]bool{}) {
		paths[b.s.dir] = struct{}{}
	}
	var g errgroup.Group
	g.SetLimit(4)
	for path := range paths {
		g.Go(func() error { return b.s.syncFolder(path) })
	}
	return g.Wait()
}

// drop closes the file that was kept open for an fsync.
func (b *batch) drop(f *putFile) {
	if f.fd >= 0 {
		unix.Close(f.fd) // all that could fail has: it was synced, or its batch is given up
		f.fd = -1
	}
}

// Close implements Batch.
func (b *batch) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.finish()
	defer b.s.lease.RUnlock()
	for _, f := range b.put {
		b.drop(f)
	}
	if b.root != nil {
		b.root.Close()
	}
	if b.folder == "" {
		return nil
	}
	if err := b.removeFolder(); err != nil {
		return fmt.Errorf("close batch: %w", err)
	}
	return nil
}

func (b *batch) removeFolder() error {
	if !b.unsure {
		return os.RemoveAll(b.folder)
	}
	for _, f := range b.put {
		if err := os.Remove(f.tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
