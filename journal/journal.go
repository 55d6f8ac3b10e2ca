// Package journal is the ledger on plain files: one hash-chained, fsynced folder of JSON lines for each site, which
// opens in less and copies with cp. It refuses to write where anything it stored is not what it stored, and to be
// silently older or empty.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"aplomb"
	"aplomb/ledger"
)

// Config is how a journal lays out its files. The zero value is right.
type Config struct {
	// SegmentFacts and SegmentBytes bound a segment, and with it what is read again at a start: 1,000 facts, 8 MiB.
	SegmentFacts int
	SegmentBytes int64
	// Recent is how many of a site's newest facts are held in memory: 1,000.
	Recent int
}

// Journal implements ledger.Ledger in a folder: DIR/SITE/FIRST-N.jsonl. One process may use a folder at a time: whoever
// opens it holds its data folder's Lock.
//
// Reading a degraded site works as far as its files do. Load returns the records of the newest snapshot that is whole
// and of the facts that follow it unbroken, together with an error of kind aplomb.ErrDegraded. Entries and Follow yield
// every fact they can and end with an error where a file breaks off.
type Journal struct {
	lg   *slog.Logger
	dir  string
	cfg  Config
	disk disk
	done chan struct{} // closed by Close

	// mu guards the rest, for lines only.
	mu     sync.Mutex
	sites  map[aplomb.SiteName]*site
	torn   []Torn
	closed bool
}

var _ ledger.Ledger = (*Journal)(nil)

// Open opens the journal in dir, which it makes if need be. A site whose files are damaged is degraded, not an error.
func Open(lg *slog.Logger, dir string, cfg Config) (*Journal, error) {
	return open(lg, dir, cfg, disk{})
}

func open(lg *slog.Logger, dir string, cfg Config, d disk) (*Journal, error) {
	if cfg.SegmentFacts == 0 {
		cfg.SegmentFacts = 1000
	}
	if cfg.SegmentBytes == 0 {
		cfg.SegmentBytes = 8 << 20
	}
	if cfg.Recent == 0 {
		cfg.Recent = 1000
	}
	j := &Journal{
		lg: lg, dir: dir, cfg: cfg, disk: d,
		done: make(chan struct{}), sites: map[aplomb.SiteName]*site{},
	}
	if err := j.makeDir(); err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", dir, err)
	}
	names, err := j.siteNames()
	if err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", dir, err)
	}
	for _, name := range names {
		s := j.newSite(name)
		s.open()
		j.sites[name] = s
	}
	return j, nil
}

func (j *Journal) makeDir() error {
	if exists(j.dir) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(j.dir), 0o700); err != nil {
		return err
	}
	if err := j.disk.mkdir(j.dir); err != nil {
		return err
	}
	return j.disk.syncDir(filepath.Dir(j.dir))
}

// siteNames lists the sites' folders, after it has finished or removed what a crash left half made.
func (j *Journal) siteNames() ([]aplomb.SiteName, error) {
	if err := j.tidy(); err != nil {
		return nil, err
	}
	found, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	var names []aplomb.SiteName
	for _, f := range found {
		if name, err := aplomb.ParseSiteName(f.Name()); err == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// Sites implements ledger.Ledger.
func (j *Journal) Sites(ctx context.Context) ([]aplomb.SiteName, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, ledger.ErrClosed
	}
	var names []aplomb.SiteName
	for name, s := range j.sites {
		if s.known() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, ctx.Err()
}

// Load implements ledger.Ledger; see Journal for a degraded site.
func (j *Journal) Load(ctx context.Context, name aplomb.SiteName) (ledger.Snapshot, error) {
	s, err := j.lookup(name)
	if err != nil {
		return ledger.Snapshot{}, err
	}
	if s.isUncertain() {
		if err := s.acquire(ctx); err != nil {
			return ledger.Snapshot{}, err
		}
		s.settle()
		s.release()
		if !s.known() {
			return ledger.Snapshot{}, notFound(name)
		}
	}
	return s.chain.Load(), errors.Join(s.refusal(), ctx.Err())
}

// Append implements ledger.Ledger: one line, written whole, synced, then published, then answered. An append that fails
// is undone on the disk before anything else is written to the site.
func (j *Journal) Append(ctx context.Context, name aplomb.SiteName, expect aplomb.Head, fact aplomb.Fact, writes []ledger.Write) (aplomb.Head, error) {
	if _, err := aplomb.ParseSiteName(string(name)); err != nil {
		return aplomb.Head{}, fmt.Errorf("append: %w: %w", err, aplomb.ErrInvalid)
	}
	s, err := j.ensure(name)
	if err != nil {
		return aplomb.Head{}, err
	}
	if err := s.acquire(ctx); err != nil {
		return aplomb.Head{}, fmt.Errorf("append to %s: %w", name, err)
	}
	defer s.release()
	if j.isClosed() {
		return aplomb.Head{}, ledger.ErrClosed
	}
	s.settle()
	if err := s.refusal(); err != nil {
		return aplomb.Head{}, err
	}
	if err := ledger.CheckHead(name, s.chain.Head(), expect); err != nil {
		return aplomb.Head{}, err
	}
	e, line, err := ledger.Compose(name, expect, fact, writes)
	if err != nil {
		return aplomb.Head{}, err
	}
	if err := s.store(e, line); err != nil {
		return aplomb.Head{}, err
	}
	s.chain.Publish(e)
	return e.Head, nil
}

// Entries implements ledger.Ledger. Facts that are no longer in memory are read from the files, each checked.
func (j *Journal) Entries(ctx context.Context, name aplomb.SiteName, after int64) iter.Seq2[ledger.Entry, error] {
	s, err := j.lookup(name)
	if err != nil {
		return ledger.Fail(err)
	}
	return s.chain.Entries(ctx, after, s.older)
}

// Follow implements ledger.Ledger.
func (j *Journal) Follow(ctx context.Context, name aplomb.SiteName, after int64) iter.Seq2[ledger.Entry, error] {
	s, err := j.lookup(name)
	if err != nil {
		return ledger.Fail(err)
	}
	return s.chain.Follow(ctx, after, j.done, s.older)
}

// At returns the site's head as it was after fact n: what an anchor kept elsewhere is compared with. A fact that is not
// on the chain is aplomb.ErrNotFound.
func (j *Journal) At(name aplomb.SiteName, n int64) (aplomb.Head, error) {
	s, err := j.lookup(name)
	if err != nil {
		return aplomb.Head{}, err
	}
	e, err := s.chain.Find(n, s.older)
	if err != nil {
		return aplomb.Head{}, fmt.Errorf("fact %d of %s: %w", n, name, err)
	}
	return e.Head, nil
}

// Degrade refuses writes to a site from now on, until it is recovered: the caller found its chain behind or forked
// against a head that was acknowledged. A site the journal does not know becomes known, as one that lost everything.
func (j *Journal) Degrade(name aplomb.SiteName, reason error) {
	s, err := j.ensure(name)
	if err != nil {
		return
	}
	s.refuse(reason)
}

// Degraded lists the sites that are not written to, each with an error of kind aplomb.ErrDegraded that says why.
func (j *Journal) Degraded() map[aplomb.SiteName]error {
	j.mu.Lock()
	sites := maps.Clone(j.sites)
	j.mu.Unlock()
	refused := map[aplomb.SiteName]error{}
	for name, s := range sites {
		if err := s.refusal(); err != nil {
			refused[name] = err
		}
	}
	return refused
}

// Torn lists what was cut off the end of a segment since Open: a write that was under way when a process or machine
// stopped. It was not acknowledged, as far as the journal can know; whoever holds a head from elsewhere compares.
func (j *Journal) Torn() []Torn {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.torn)
}

// Close implements ledger.Ledger. It waits for appends under way.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	close(j.done)
	sites := maps.Clone(j.sites)
	j.mu.Unlock()
	var errs []error
	for _, s := range sites {
		s.writing <- struct{}{}
		errs = append(errs, s.close())
		s.release()
	}
	return errors.Join(errs...)
}

func (j *Journal) isClosed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}

// lookup returns a site that has a chain, or had one.
func (j *Journal) lookup(name aplomb.SiteName) (*site, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, ledger.ErrClosed
	}
	s, ok := j.sites[name]
	if !ok || !s.known() {
		return nil, notFound(name)
	}
	return s, nil
}

func notFound(name aplomb.SiteName) error {
	return fmt.Errorf("ledger of site %q: %w", name, aplomb.ErrNotFound)
}

// ensure returns a site, which may be one without a chain.
func (j *Journal) ensure(name aplomb.SiteName) (*site, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, ledger.ErrClosed
	}
	s, ok := j.sites[name]
	if !ok {
		s = j.newSite(name)
		j.sites[name] = s
	}
	return s, nil
}

// stamp is a time as file names carry it.
func stamp() string { return time.Now().UTC().Format("20060102T150405.000Z") }

// isDir reports whether path is a folder.
func isDir(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir(), err
}
