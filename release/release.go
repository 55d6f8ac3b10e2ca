// Package release takes uploads, seals releases and drives rollouts: load the state, Step, record the intent, perform it,
// record the result. It refuses to know how anything is performed: performers are passed in.
package release

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/ledger"
	"aplomb/rollout"
)

// Performer carries out the intents of one kind and returns the event that is their result. It is idempotent by
// intent ID. An error is recorded as aplomb.EventFailed.
type Performer func(ctx context.Context, in aplomb.Intent) (aplomb.Event, error)

// Config is what a Manager needs.
type Config struct {
	Ledger     ledger.Ledger
	Blobs      blob.Store
	Performers map[aplomb.IntentKind]Performer
	// Unsaved names the sites whose route the edge could not write to its own disk, with why; nil where that cannot be.
	Unsaved func() map[aplomb.SiteName]error
	// Missing says what this server lacks, in a sentence each: a door, a disk that it can write. nil where it lacks nothing.
	Missing func() []string
	// Served returns what the edge serves now, site by site.
	Served func() []aplomb.Route
	// Recover sets a damaged chain aside and begins a new one; nil where the ledger has no such thing.
	Recover func(ctx context.Context, site aplomb.SiteName, from aplomb.Head, fact aplomb.Fact, writes []ledger.Write) (aside, lost string, head aplomb.Head, err error)
	// FreeReserve frees disk space kept for rollbacks. Nil where there is none.
	FreeReserve func() error
	// PreviewKey signs the links to previews. Nil where none are made.
	PreviewKey []byte
	// URL returns the address at which people reach a site.
	URL func(aplomb.Site) string
	// Now is the clock.
	Now func() time.Time
	// Limits bound uploads.
	Limits aplomb.Limits
	// Space returns what is free on the disk of the data folder, and its size. Nil where that is not known.
	Space func() (free, total int64, err error)
	// Visit asks for a path of a site as a visitor does, and returns the status. Nil where there is no edge to ask.
	Visit func(ctx context.Context, site aplomb.Site, path string) (int, error)
}

// Manager is the writer of every site's chain and the driver of its rollouts.
type Manager struct {
	lg  *slog.Logger
	cfg Config

	// collecting is held while blobs are collected, and while an upload opens its lease.
	collecting sync.Mutex

	// creating serialises the creation of sites, so that a host belongs to one of them.
	creating sync.Mutex

	// mu guards what follows.
	mu      sync.Mutex
	drivers map[aplomb.SiteName]*driver
	uploads map[string]*upload
	leases  int // open batches of uploads
	damaged map[aplomb.Digest]blob.Damage
	owed    map[aplomb.Digest]string // forgotten, and still to be deleted; a path that it stood under
	swept   bool                     // what a restart left of that has been looked for
	low     bool                     // the disk was nearly full when it was last looked at

	encode    chan aplomb.SiteName // sites with a new live release
	workers   workerMemo
	encoded   encodedMemo
	manifests manifestCache
	running   sync.WaitGroup
}

// New returns a manager that does nothing until Start.
func New(lg *slog.Logger, cfg Config) *Manager {
	return &Manager{
		lg: lg, cfg: cfg,
		drivers: map[aplomb.SiteName]*driver{},
		uploads: map[string]*upload{},
		damaged: map[aplomb.Digest]blob.Damage{},
		owed:    map[aplomb.Digest]string{},
		encode:  make(chan aplomb.SiteName, 16),
	}
}

// Close ends every driver and open upload. No verb may be called after it.
func (m *Manager) Close() {
	m.mu.Lock()
	drivers := slices.Collect(maps.Values(m.drivers))
	uploads := slices.Collect(maps.Values(m.uploads))
	m.mu.Unlock()
	for _, u := range uploads {
		u.batch.Close()
	}
	for _, d := range drivers {
		close(d.tasks)
	}
	m.running.Wait()
}

// driver returns the driver of a site.
func (m *Manager) driver(site aplomb.SiteName) (*driver, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := m.drivers[site]; ok && !d.view.Load().state.Removed {
		return d, nil
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.drivers)) {
		if !m.drivers[name].view.Load().state.Removed {
			names = append(names, string(name))
		}
	}
	why := "this server has no site yet"
	if len(names) > 0 {
		why = fmt.Sprintf("this server has %s", listed(names))
	}
	return nil, aplomb.NewError(aplomb.CodeNoSite, fmt.Sprintf("no site %q", site), why, "aplomb status (it lists the sites)")
}

// all returns every driver, by name of its site.
func (m *Manager) all() []*driver {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*driver
	for _, name := range slices.Sorted(maps.Keys(m.drivers)) {
		out = append(out, m.drivers[name])
	}
	return out
}

// Promote brings a known release in front of the visitors.
func (m *Manager) Promote(ctx context.Context, ask Ask, site aplomb.SiteName, id aplomb.ReleaseID) (Deployed, error) {
	d, err := m.driver(site)
	if err != nil {
		return Deployed{}, err
	}
	begun := m.cfg.Now()
	var out Deployed
	err = d.do(ctx, func(ctx context.Context) error {
		if err := d.catchUp(ctx); err != nil {
			return err
		}
		before := d.state.Live
		if id == before {
			out = d.deployed(id, before, begun)
			out.Known, out.Why = true, fmt.Sprintf("%s is live already", id)
			return nil
		}
		ev := aplomb.Event{Kind: aplomb.EventPromote, At: m.cfg.Now(), Actor: ask.Actor, Why: ask.Why, Release: id}
		if rel, ok := d.state.Releases[id]; ok {
			if !d.whole(rel) {
				ev.Releases = []aplomb.ReleaseID{id}
			}
			if err := rollout.CheckApp(fmt.Sprintf("%s not promoted", id), d.state.Site, d.manifest(rel).Settings.App); err != nil {
				return err
			}
		}
		o, err := d.apply(ctx, ev)
		if err != nil {
			return err
		}
		out, err = d.settleFor(ctx, o.Fact.N, id, before, begun)
		return err
	})
	return out, d.tell(err)
}

// Retire blocks a release for good.
func (m *Manager) Retire(ctx context.Context, ask Ask, site aplomb.SiteName, id aplomb.ReleaseID) (aplomb.Fact, error) {
	return m.say(ctx, site, aplomb.Event{Kind: aplomb.EventRetire, Actor: ask.Actor, Why: ask.Why, Release: id})
}

// Note puts ask.Why on the timeline.
func (m *Manager) Note(ctx context.Context, ask Ask, site aplomb.SiteName, id aplomb.ReleaseID) (aplomb.Fact, error) {
	return m.say(ctx, site, aplomb.Event{Kind: aplomb.EventNote, Actor: ask.Actor, Why: ask.Why, Release: id})
}

// say applies an event that moves no visitors and returns its fact.
func (m *Manager) say(ctx context.Context, site aplomb.SiteName, ev aplomb.Event) (aplomb.Fact, error) {
	d, err := m.driver(site)
	if err != nil {
		return aplomb.Fact{}, err
	}
	var fact aplomb.Fact
	err = d.do(ctx, func(ctx context.Context) error {
		ev.At = m.cfg.Now()
		o, err := d.apply(ctx, ev)
		fact = o.Fact
		return err
	})
	return fact, d.tell(err)
}

// Facts yields a site's facts with N > after, oldest first; with follow it then waits for more until ctx ends.
func (m *Manager) Facts(ctx context.Context, site aplomb.SiteName, after int64, follow bool) iter.Seq2[aplomb.Fact, error] {
	return func(yield func(aplomb.Fact, error) bool) {
		d, err := m.driver(site)
		if err != nil {
			yield(aplomb.Fact{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(d.life, cancel)() // a chain that is set aside is followed by nobody
		entries := m.cfg.Ledger.Entries(ctx, site, after)
		if follow {
			entries = m.cfg.Ledger.Follow(ctx, site, after)
		}
		for e, err := range entries {
			if !yield(e.Fact, err) || err != nil {
				return
			}
		}
	}
}
