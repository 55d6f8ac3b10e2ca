// Package edge is the way of every request: listeners, the table of what is served, static files. It refuses to decide:
// which release is live comes as an intent, and what it serves last it goes on serving when everything else is gone.
package edge

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"aplomb"
	"aplomb/blob"
)

// Config is what an Edge needs.
type Config struct {
	// Listen are addresses for plain HTTP/1.1, such as "127.0.0.1:8080".
	Listen []string
	// ListenTLS are addresses for HTTPS, with HTTP/2.
	ListenTLS []string
	// CertFiles are certificates of one's own. Hosts that none of them is for get theirs from Authority; nil where nobody
	// issues any.
	CertFiles []CertificateFiles
	Authority *Authority
	// RedirectToHTTPS leads plain requests to HTTPS, for hosts that have a good certificate.
	RedirectToHTTPS bool
	// StateDir is the folder with what is served, one file per site. It is made if it is not there.
	StateDir string
	// Blobs is where files are read from.
	Blobs blob.Reader
	// FreeReserve frees disk space held in reserve, when an urgent intent meets a full disk. nil where there is none.
	FreeReserve func() error
	// PreviewKey signs the links to previews; nil where there are none.
	PreviewKey []byte
	// TrustedProxies are the networks of proxies in front of the edge: what they say of their clients in X-Forwarded fields
	// is passed on to apps. What anybody else says there is not.
	TrustedProxies []netip.Prefix
	// Signal is told of every answer that was not what was asked for. It must return at once. nil where nobody listens.
	Signal func(Signal)
	// Record is told of every answer. It must return at once. nil where nobody listens.
	Record func(Record)
}

// Edge serves sites. Open makes one, Run serves until its context ends, Perform moves a site's visitors.
type Edge struct {
	lg    *slog.Logger
	cfg   Config
	state stateDir
	shelf *shelf

	certs *certificates

	// table is what visitors get. It is replaced as a whole by swap; each request loads it once and never sees a mix of
	// two.
	table atomic.Pointer[Table]

	ready chan struct{}
	// kick wakes the goroutine that saves routes again and prepares what a rollback may need next.
	kick chan struct{}

	// unsaved guards itself: whoever asks what is not on the disk never waits for a switch.
	unsaved unsaved

	mu      sync.Mutex // guards the rest; held while a switch is performed
	damaged []string
	// left are the manifests of the releases that were live before, by site: what an undo goes back to.
	left  map[aplomb.SiteName]aplomb.Digest
	addrs []net.Addr
}

// Open reads what was served last and makes it ready to be served. Damaged state is no error: it is named by Damaged, and
// whatever is whole is served.
func Open(lg *slog.Logger, cfg Config) (*Edge, error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make edge state folder: %w", err)
	}
	return open(lg, cfg, newStateDir(cfg.StateDir))
}

func open(lg *slog.Logger, cfg Config, state stateDir) (*Edge, error) {
	found, err := state.read()
	if err != nil {
		return nil, err
	}
	e := &Edge{
		lg: lg, cfg: cfg, state: state, shelf: newShelf(cfg.Blobs),
		ready: make(chan struct{}), kick: make(chan struct{}, 1),
		damaged: found.damaged, unsaved: unsaved{of: found.blocked}, left: map[aplomb.SiteName]aplomb.Digest{},
	}
	e.shelf.apps = newTargets(lg, cfg.TrustedProxies)
	first := &Table{apps: e.shelf.apps, hosts: map[aplomb.Host]*site{}, sites: map[aplomb.SiteName]*site{}, out: newSender(lg, cfg.Blobs, cfg.Signal)}
	e.certs = newCertificates(lg, cfg, func() []aplomb.Host { return slices.Collect(maps.Keys(e.table.Load().hosts)) })
	first.certs = e.certs
	first.previews = &previews{key: cfg.PreviewKey, now: time.Now, shelf: e.shelf}
	for _, r := range found.routes {
		s, unread := e.shelf.site(r, nil)
		for _, err := range unread {
			e.damaged = append(e.damaged, err.Error())
		}
		if err := first.put(s); err != nil {
			e.damaged = append(e.damaged, err.Error())
		}
	}
	for _, d := range e.damaged {
		lg.Error("edge state damaged", "what", d)
	}
	for name, err := range found.blocked {
		lg.Error("edge state cannot be replaced", "site", name, "err", err)
	}
	e.shelf.trim(found.routes, nil)
	e.shelf.apps.settle(first.sites, e.shelf)
	e.swap(first)
	e.wake()
	return e, nil
}

// swap puts another table in front of all visitors at once. This is the one line that moves them: a request that starts
// after it is answered from next.
func (e *Edge) swap(next *Table) {
	e.table.Store(next)
	e.certs.wake()
}

// ServeHTTP answers a request from the table of this moment.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.cfg.Record != nil {
		e.table.Load().serveRecorded(w, r, e.cfg.Record)
		return
	}
	e.table.Load().ServeHTTP(w, r)
}

// Routes returns what is served now, in order of the sites' names.
func (e *Edge) Routes() []aplomb.Route { return e.table.Load().routes() }

func (t *Table) routes() []aplomb.Route {
	out := make([]aplomb.Route, 0, len(t.sites))
	for _, s := range t.sites {
		out = append(out, s.route)
	}
	slices.SortFunc(out, func(a, b aplomb.Route) int { return strings.Compare(string(a.Site.Name), string(b.Site.Name)) })
	return out
}

// Damaged names the state files and manifests that Open found damaged: callers compare what is served with the ledger.
func (e *Edge) Damaged() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.damaged)
}

// Warm reads releases ahead of the moment they are needed: kept is a route's list, or a part of it. Releases that no
// route keeps by the next switch are forgotten again.
func (e *Edge) Warm(ctx context.Context, kept []aplomb.KeptRelease) { e.warm(ctx, kept, nil) }

func (e *Edge) warm(ctx context.Context, kept []aplomb.KeptRelease, gone []string) {
	var near []*fileTable
	for _, k := range kept {
		if _, t := e.shelf.lookup(k.Manifest); t != nil {
			near = append(near, t)
		}
	}
	for _, k := range kept {
		if ctx.Err() != nil {
			return
		}
		_, t, err := e.shelf.load(k.Manifest, true, near)
		if err == nil {
			err = e.shelf.warm(k.Manifest, t, gone, e.table.Load().out)
		}
		if err != nil {
			e.lg.Warn("release not ready", "release", k.ID, "err", err)
		}
	}
}
