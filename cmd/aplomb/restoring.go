package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"aplomb"
	"aplomb/backup"
	"aplomb/blob"
	"aplomb/edge"
	"aplomb/journal"
	"aplomb/release"
)

// restoringName is the folder, inside the data folder, in which everything is made ready before anything is put in its
// place. It is on the same disk, so that placing is renaming.
const restoringName = "restoring"

// restoring is one restore under way. It is the sink of the backup's reader.
type restoring struct {
	c      *call
	f      restoreFlags
	folder *claimed
	from   string

	manifest backup.Manifest
	heads    map[aplomb.SiteName][]aplomb.Head // that the folder knows
	blobs    *blob.Disk
	batch    blob.Batch
	files    map[string][]byte
}

func (r *restoring) temp(parts ...string) string {
	return filepath.Join(append([]string{r.folder.dir, restoringName}, parts...)...)
}

// run reads the backup into the temporary folder, proves it, and puts it in its place. Until the first rename of the last
// step the data folder is as it was.
func (r *restoring) run(ctx context.Context, in *os.File) (out restored, err error) {
	if err := os.RemoveAll(r.temp()); err != nil { // of a restore that was stopped
		return out, err
	}
	if err := os.Mkdir(r.temp(), 0o700); err != nil {
		return out, err
	}
	defer func() {
		if rerr := os.RemoveAll(r.temp()); err == nil && rerr != nil {
			err = rerr
		}
	}()
	r.files = map[string][]byte{}
	m, end, err := r.read(ctx, in)
	if err != nil {
		return out, err
	}
	out = resultOf(m, end)
	if err := r.begin(ctx, &out); err != nil {
		return out, err
	}
	if err := r.serve(ctx); err != nil {
		return out, err
	}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	r.folder.keep = true
	out.Aside, err = r.place()
	return out, err
}

func (r *restoring) read(ctx context.Context, in *os.File) (m backup.Manifest, end backup.Closing, err error) {
	if r.blobs, err = blob.Open(quiet(), r.temp("blobs"), blob.Config{}); err != nil {
		return m, end, fmt.Errorf("open a blob store: %w", err)
	}
	defer r.blobs.Close()
	if r.batch, err = r.blobs.Begin(ctx); err != nil {
		return m, end, fmt.Errorf("open a batch: %w", err)
	}
	defer r.batch.Close()
	if m, end, err = backup.Read(stoppedReader{ctx, in}, r); err != nil {
		return m, end, err
	}
	if err := r.batch.Commit(); err != nil {
		return m, end, err
	}
	return m, end, nil
}

// Begin implements backup.Sink. Whatever speaks against the restore as a whole is found here, before bytes are written.
func (r *restoring) Begin(m backup.Manifest) error {
	r.manifest = m
	size, err := m.Size()
	if err != nil {
		return err
	}
	free, err := r.folder.free()
	if err == nil && free < m.Bytes() {
		err = fmt.Errorf("it needs %s, %s are free: %w", sizeText(m.Bytes()), sizeText(free), aplomb.ErrNoSpace)
	}
	if err != nil {
		return err
	}
	if info, err := os.Stat(r.from); err == nil && info.Mode().IsRegular() && info.Size() < size {
		return fmt.Errorf("it has %d bytes, its manifest names more than %d: %w", info.Size(), size, backup.ErrTruncated)
	}
	return r.compare(m)
}

// Segment implements backup.Sink.
func (r *restoring) Segment(site aplomb.SiteName, name string, in io.Reader) error {
	dir := r.temp("journal", string(site))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return copySynced(filepath.Join(dir, name), in)
}

// File implements backup.Sink.
func (r *restoring) File(name string, in io.Reader) error {
	if name == backup.MachineFile && !r.f.machine || name == backup.TokensFile && !r.f.tokens {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(in, 1<<20))
	r.files[name] = b
	return err
}

// Blob implements backup.Sink. Bytes that are not those of the digest are left out; the backup's closing tells whether that
// was known.
func (r *restoring) Blob(b backup.Blob, in io.Reader) error {
	err := r.batch.Put(blob.Ref{Digest: b.Digest, Size: b.Size}, in)
	if errors.Is(err, aplomb.ErrInvalid) {
		return nil
	}
	return err
}

func copySynced(file string, in io.Reader) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, in); err != nil {
		return err
	}
	return f.Sync()
}

// begin walks the restored chains, and lets each go on in a new epoch with the fact that says where it came from.
func (r *restoring) begin(ctx context.Context, out *restored) error {
	j, err := journal.Open(quiet(), r.temp("journal"), journal.Config{})
	if err != nil {
		return fmt.Errorf("open the restored journal: %w", err)
	}
	defer j.Close()
	for i, s := range r.manifest.Sites {
		_, head, err := j.Verify(ctx, s.Name)
		if err != nil {
			return fmt.Errorf("walk the chain of %s: %w: %w", s.Name, backup.ErrAltered, err)
		}
		if head != s.Head {
			return fmt.Errorf("the chain of %s ends at %d.%d %s, the manifest says %d.%d %s: %w", s.Name, head.Epoch, head.N, head.SHA.Short(), s.Head.Epoch, s.Head.N, s.Head.SHA.Short(), backup.ErrAltered)
		}
		if err := r.continues(j, s); err != nil {
			return err
		}
		now, err := r.newEpoch(ctx, j, s)
		if err != nil {
			return fmt.Errorf("begin a new epoch of %s: %w", s.Name, err)
		}
		out.Sites[i].Now = &now
	}
	return nil
}

// continues refuses a backup whose chain does not hold what the folder knows: then it is of another chain.
func (r *restoring) continues(j *journal.Journal, s backup.Site) error {
	for _, h := range r.heads[s.Name] {
		if h.N == 0 {
			continue
		}
		at, err := j.At(s.Name, h.N)
		if err != nil && !errors.Is(err, aplomb.ErrNotFound) {
			return err
		}
		if err != nil || at != h {
			return r.takesAway(fmt.Sprintf("the timeline of %s in %s is another one than the backup's", s.Name, r.f.dir), twoHeads(h, s.Head))
		}
	}
	return nil
}

func (r *restoring) newEpoch(ctx context.Context, j *journal.Journal, s backup.Site) (aplomb.Head, error) {
	snap, err := j.Load(ctx, s.Name)
	if err != nil {
		return aplomb.Head{}, err
	}
	why := r.f.reason
	if why == "" {
		why = fmt.Sprintf("from the backup of %s, made at n %d", r.manifest.At.Format("2006-01-02 15:04:05 MST"), s.Head.N)
	}
	fact, writes, err := release.Restored(snap, s.Name, r.c.now(), r.c.actor(), why)
	if err != nil {
		return aplomb.Head{}, err
	}
	j.Degrade(s.Name, fmt.Errorf("restored from a backup: %w", aplomb.ErrDegraded))
	aside, _, head, err := j.Recover(ctx, s.Name, s.Head, fact, writes)
	if err != nil {
		return aplomb.Head{}, err
	}
	return head, os.RemoveAll(aside) // the same files as those in its place
}

// serve lets the parts of a server find what was live and write it where an edge looks first. Nobody is let in.
func (r *restoring) serve(ctx context.Context) error {
	h := &house{c: r.c, lg: quiet(), dir: r.temp(), parts: newParts(quiet()), damaged: make(chan blob.Damage, 256)}
	h.machine = h.machine.over(machineSettings{})
	defer h.parts.stop()
	openBlobs := func(context.Context) (err error) { // without a reserve: the space is needed
		if h.blobs, err = blob.Open(h.lg, r.temp("blobs"), blob.Config{}); err == nil {
			h.parts.opened("blobs", h.blobs.Close)
		}
		return err
	}
	for _, open := range []func(context.Context) error{openBlobs, h.openEdge, h.openLedger, h.openManager} {
		if err := open(ctx); err != nil {
			return fmt.Errorf("bring up what was restored: %w", err)
		}
	}
	for site, why := range h.manager.Degraded() {
		return fmt.Errorf("bring up %s: %s: %w", site, why, backup.ErrAltered)
	}
	return nil
}

// compare refuses a restore that would take something away: a timeline that the backup does not continue.
func (r *restoring) compare(m backup.Manifest) error {
	has, err := r.holdsJournal()
	if err != nil {
		return err
	}
	if r.heads, err = r.headsThere(has); err != nil {
		return err
	}
	for site, list := range r.heads {
		i := slices.IndexFunc(m.Sites, func(s backup.Site) bool { return s.Name == site })
		if i < 0 {
			return r.takesAway(fmt.Sprintf("%s holds site %s, which is not in the backup", r.f.dir, site), "what it holds would be gone")
		}
		for _, h := range list {
			if m.Sites[i].Head.Before(h) {
				return r.takesAway(fmt.Sprintf("the timeline of %s in %s is newer than the backup", site, r.f.dir), twoHeads(h, m.Sites[i].Head))
			}
		}
	}
	if (has || len(r.heads) > 0) && !r.f.over {
		return aplomb.NewError(aplomb.CodeNewer, fmt.Sprintf("%s has a timeline already", r.f.dir), "it is not newer than the backup, and would be put aside",
			"aplomb restore --over, which keeps it aside; or restore into another folder")
	}
	return r.checkFiles(m)
}

// checkFiles refuses to replace a file of the machine.
func (r *restoring) checkFiles(m backup.Manifest) error {
	for _, f := range m.Files {
		wanted := f.Name == backup.MachineFile && r.f.machine || f.Name == backup.TokensFile && r.f.tokens
		if wanted && exists(filepath.Join(r.folder.dir, f.Name)) && !r.f.over {
			return aplomb.NewError(aplomb.CodeExists, fmt.Sprintf("%s is in %s already", f.Name, r.f.dir), "what stands in it may be wanted, so it is not replaced", "aplomb restore --over, which keeps it aside")
		}
	}
	return nil
}

func (r *restoring) takesAway(what, why string) error {
	return aplomb.NewError(aplomb.CodeNewer, what, why, "restore into another folder; or, to mend this one: aplomb recover --dir "+shellWord(r.f.dir))
}

func twoHeads(here, there aplomb.Head) string {
	return fmt.Sprintf("its head is %d.%d %s, the backup's %d.%d %s", max(here.Epoch, 1), here.N, here.SHA.Short(), max(there.Epoch, 1), there.N, there.SHA.Short())
}

// holdsJournal reports whether there is anything in the folder's journal.
func (r *restoring) holdsJournal() (bool, error) {
	found, err := os.ReadDir(filepath.Join(r.folder.dir, "journal"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(found) > 0, err
}

// headsThere lists, by site, what the folder knows: the head of its journal, and that of what its edge serves. It reads a copy of
// the journal, because opening one mends what a crash left.
func (r *restoring) headsThere(has bool) (map[aplomb.SiteName][]aplomb.Head, error) {
	heads := map[aplomb.SiteName][]aplomb.Head{}
	routes, _, err := edge.Stored(filepath.Join(r.folder.dir, "state"))
	if err != nil {
		return nil, err
	}
	for _, route := range routes {
		heads[route.Site.Name] = append(heads[route.Site.Name], route.Head)
	}
	if !has {
		return heads, nil
	}
	copied := r.temp("before")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(r.folder.dir, "journal"))); err != nil {
		return nil, fmt.Errorf("copy the journal that is there: %w", err)
	}
	defer os.RemoveAll(copied)
	j, err := journal.Open(quiet(), copied, journal.Config{})
	if err != nil {
		return nil, fmt.Errorf("open the journal that is there: %w", err)
	}
	defer j.Close()
	sites, err := j.Sites(context.Background()) // memory only
	if err != nil {
		return nil, err
	}
	for _, site := range sites {
		snap, err := j.Load(context.Background(), site)
		if err != nil && !errors.Is(err, aplomb.ErrDegraded) {
			return nil, fmt.Errorf("read the timeline of %s that is there: %w", site, err)
		}
		heads[site] = append(heads[site], snap.Head) // of a damaged one, as far as it can be read
	}
	return heads, nil
}

// place puts what was made ready in its place. The blobs come first: they are named by their bytes and replace nothing. Then
// the journal takes the old one's place in one step, and what the edge serves follows it: an older state beside a journal of
// a newer epoch is brought up to date at the next start. It returns the folder that keeps what was there, "" where nothing was.
func (r *restoring) place() (aside string, err error) {
	if err := r.placeBlobs(); err != nil {
		return "", fmt.Errorf("place the files: %w", err)
	}
	for name, b := range r.files {
		if err := copySynced(r.temp(name), bytes.NewReader(b)); err != nil {
			return "", fmt.Errorf("place %s: %w", name, err)
		}
	}
	aside = filepath.Join(r.folder.dir, "before-restore-"+r.c.now().UTC().Format("20060102T150405.000Z"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return "", err
	}
	for _, name := range []string{"journal", "state", backup.MachineFile, backup.TokensFile} {
		if err := r.swap(name, aside); err != nil {
			os.Remove(aside) // only where nothing is in it
			return aside, fmt.Errorf("place %s: %w", name, err)
		}
	}
	if os.Remove(aside) == nil {
		aside = ""
	}
	return aside, syncDir(r.folder.dir)
}

// swap puts one thing in its place. What was there is in the folder aside from the same moment on.
func (r *restoring) swap(name, aside string) error {
	from, over, to := r.temp(name), filepath.Join(aside, name), filepath.Join(r.folder.dir, name)
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Rename(from, over); err != nil {
		return err
	}
	err := unix.Renameat2(unix.AT_FDCWD, over, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.ENOENT): // nothing was there
		err = os.Rename(over, to)
	case err == nil && isEmptyDir(over):
		os.Remove(over)
	}
	if err != nil {
		return errors.Join(err, os.Rename(over, from))
	}
	return errors.Join(syncDir(aside), syncDir(r.folder.dir))
}

func isEmptyDir(path string) bool {
	found, err := os.ReadDir(path)
	return err == nil && len(found) == 0
}

// placeBlobs adds the restored files to the folder's store. A file of the same name is the same file, or a damaged one.
func (r *restoring) placeBlobs() error {
	from, to := r.temp("blobs"), filepath.Join(r.folder.dir, "blobs")
	if !exists(to) {
		if err := os.Rename(from, to); err != nil {
			return err
		}
		return syncDir(r.folder.dir)
	}
	folders, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, f := range folders {
		if len(f.Name()) != 2 || strings.Trim(f.Name(), "0123456789abcdef") != "" {
			continue
		}
		if err := placeAll(filepath.Join(from, f.Name()), filepath.Join(to, f.Name())); err != nil {
			return err
		}
	}
	return syncDir(to)
}

func placeAll(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Rename(filepath.Join(from, f.Name()), filepath.Join(to, f.Name())); err != nil {
			return err
		}
	}
	return syncDir(to)
}
