// Package release takes uploads, seals releases and drives rollouts: load the state, Step, record the intent, perform it,
// record the result. It refuses to know how anything is performed: performers are passed in.
package release

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/ledger"
)

// Performer carries out the intents of one kind and returns the event that is their result. It is idempotent by
// intent ID. An error is recorded as aplomb.EventFailed.
type Performer func(ctx context.Context, in aplomb.Intent) (aplomb.Event, error)

// Config is what a Manager needs.
type Config struct {
	Ledger     ledger.Ledger
	Blobs      blob.Store
	Performers map[aplomb.IntentKind]Performer
	// Served returns what the edge serves now, site by site.
	Served func() []aplomb.Route
	// Recover rebuilds a damaged chain; nil where the ledger has no such thing.
	Recover func(ctx context.Context, site aplomb.SiteName, from aplomb.Head, fact aplomb.Fact, writes []ledger.Write) (aside, lost string, head aplomb.Head, err error)
	// URL returns the address at which people reach a site.
	URL func(aplomb.Site) string
	// Now is the clock.
	Now func() time.Time
}

// Manager is the writer of every site's chain and the driver of its rollouts.
type Manager struct {
	lg  *slog.Logger
	cfg Config
}

// New returns a manager that does nothing until Start.
func New(lg *slog.Logger, cfg Config) *Manager { return &Manager{lg: lg, cfg: cfg} }

// Start loads every site, compares it with what the edge serves, and finishes what a crash left unfinished. Sites
// whose ledger is damaged, behind or forked are degraded, not an error.
func (m *Manager) Start(ctx context.Context) error { panic("later") }

// Run makes slow encodings, collects and scrubs, until ctx ends.
func (m *Manager) Run(ctx context.Context) error { panic("later") }

// Degraded lists the sites whose ledger refuses to write, with the reason.
func (m *Manager) Degraded() map[aplomb.SiteName]string { panic("later") }

// Begin opens an upload and says which blobs are missing. It creates the site if the request brings hosts.
func (m *Manager) Begin(ctx context.Context, ask Ask, req UploadRequest) (Upload, error) {
	panic("later")
}

// Receive reads a stream of blobs of an open upload, as WriteStream writes it, verifies and stores them.
func (m *Manager) Receive(ctx context.Context, upload string, r io.Reader) (Received, error) {
	panic("later")
}

// Seal makes the upload a release and drives its rollout; it returns when the release is live, waits, or was taken back.
func (m *Manager) Seal(ctx context.Context, upload string) (Deployed, error) { panic("later") }

// Abandon ends an upload without a release.
func (m *Manager) Abandon(ctx context.Context, upload, why string) error { panic("later") }

// Promote brings a known release in front of the visitors.
func (m *Manager) Promote(ctx context.Context, ask Ask, site aplomb.SiteName, id aplomb.ReleaseID) (Deployed, error) {
	panic("later")
}

// Rollback takes back what is under way, or goes to the release that was live before. It needs nothing but the edge:
// when the ledger cannot take the fact, the edge moves all the same.
func (m *Manager) Rollback(ctx context.Context, ask Ask, site aplomb.SiteName) (Back, error) {
	panic("later")
}

// Undo reverses the last act that visitors saw. act is its n, or 0.
func (m *Manager) Undo(ctx context.Context, ask Ask, site aplomb.SiteName, act int64) (Back, error) {
	panic("later")
}

// Retire blocks a release for good.
func (m *Manager) Retire(ctx context.Context, ask Ask, site aplomb.SiteName, id aplomb.ReleaseID) (aplomb.Fact, error) {
	panic("later")
}

// Note puts ask.Why on the timeline.
func (m *Manager) Note(ctx context.Context, ask Ask, site aplomb.SiteName, id aplomb.ReleaseID) (aplomb.Fact, error) {
	panic("later")
}

// Sites returns every site's status, by name.
func (m *Manager) Sites(ctx context.Context) ([]SiteStatus, error) { panic("later") }

// Status returns one site's status.
func (m *Manager) Status(ctx context.Context, site aplomb.SiteName) (SiteStatus, error) {
	panic("later")
}

// Releases lists a site's releases, newest first.
func (m *Manager) Releases(ctx context.Context, site aplomb.SiteName) ([]aplomb.Release, error) {
	panic("later")
}

// Facts yields a site's facts with N > after, oldest first; with follow it then waits for more until ctx ends.
func (m *Manager) Facts(ctx context.Context, site aplomb.SiteName, after int64, follow bool) iter.Seq2[aplomb.Fact, error] {
	panic("later")
}

// Verify walks every site's chain from its first fact.
func (m *Manager) Verify(ctx context.Context) ([]Verified, error) { panic("later") }

// Recover makes a degraded site's ledger writable again: it keeps what the edge serves, sets the damaged file aside, appends
// what happened and names what is lost.
func (m *Manager) Recover(ctx context.Context, ask Ask, site aplomb.SiteName) (Recovered, error) {
	panic("later")
}
