package release

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/rollout"
)

// uploadIdle is how long an upload may lie without a byte before it is given up.
const uploadIdle = 15 * time.Minute

// upload is one open upload. Its batch is also the lease under which nothing is collected.
type upload struct {
	id      string
	d       *driver
	ask     Ask
	req     UploadRequest
	rollout int64
	begun   time.Time
	created bool // the site, for this upload

	// mu is held while the upload's one stream or its sealing is at work.
	mu       sync.Mutex
	batch    blob.Batch
	want     map[aplomb.Digest]int64 // what is still missing
	fresh    map[aplomb.Digest]bool  // what has arrived
	received Received
	keys     []aplomb.Digest // files that hold a private key
	head     []byte          // room for a probe
	sent     time.Duration
	lastByte time.Time
}

// Begin opens an upload and says which blobs are missing. It creates the site if the request brings hosts.
func (m *Manager) Begin(ctx context.Context, ask Ask, req UploadRequest) (Upload, error) {
	begun := m.cfg.Now()
	warnings, err := m.checkRequest(req)
	if err != nil {
		return Upload{}, m.production(req.Site, err)
	}
	d, created, err := m.siteFor(ctx, ask, req)
	if err != nil {
		return Upload{}, m.production(req.Site, err)
	}
	u, err := m.begin(ctx, d, ask, req, begun)
	if err != nil {
		if created {
			m.takeBack(ctx, d, ask)
		}
		return Upload{}, d.tell(err)
	}
	u.created = created
	out := Upload{ID: u.id, Rollout: u.rollout, Missing: []aplomb.Digest{}, Created: created, Warnings: warnings, Live: d.view.Load().state.Live, Usual: usual(d.view.Load().took)}
	gone := goneOf(d.view.Load().state.Site)
	out.Warnings = append(out.Warnings, goneWarnings(req.Files, gone)...)
	for _, ref := range m.cfg.Blobs.Missing(refs(notGone(req.Files, gone))) {
		u.want[ref.Digest] = ref.Size
		out.Missing = append(out.Missing, ref.Digest)
	}
	m.mu.Lock()
	m.uploads[u.id] = u
	m.mu.Unlock()
	return out, nil
}

// begin records that a deploy was asked for, and takes the lease under which its blobs stay.
func (m *Manager) begin(ctx context.Context, d *driver, ask Ask, req UploadRequest, begun time.Time) (*upload, error) {
	if err := d.checkChanged(ask, req); err != nil {
		return nil, err
	}
	batch, err := m.lease(ctx)
	if err != nil {
		return nil, err
	}
	u := &upload{id: newID(), d: d, ask: ask, req: req, begun: begun, batch: batch, want: map[aplomb.Digest]int64{}, fresh: map[aplomb.Digest]bool{}, lastByte: begun}
	err = d.do(ctx, func(ctx context.Context) error {
		why := ask.Why
		if why == "" {
			why = req.Note
		}
		o, err := d.apply(ctx, aplomb.Event{Kind: aplomb.EventRequest, At: begun, Actor: ask.Actor, Why: why})
		u.rollout = o.State.N
		return err
	})
	if err != nil {
		m.release(batch)
		return nil, err
	}
	return u, nil
}

// takeBack removes a site that was created for an upload that came to nothing, so that it keeps neither a name nor hosts from
// anybody. A site of which anything else is known by now stays.
func (m *Manager) takeBack(ctx context.Context, d *driver, ask Ask) {
	m.creating.Lock()
	defer m.creating.Unlock()
	err := d.do(context.WithoutCancel(ctx), func(ctx context.Context) error {
		s := d.state
		if s.Removed || len(s.Releases) > 0 || len(s.Rollouts) > 0 || s.Pending != nil || s.Site.Offline != nil || d.degraded != nil {
			return nil
		}
		if _, err := d.apply(ctx, aplomb.Event{Kind: aplomb.EventSiteRemove, At: m.cfg.Now(), Actor: ask.Actor, Why: "its first deploy came to nothing"}); err != nil {
			return err
		}
		_, err := d.vanish(ctx)
		return err
	})
	if err != nil {
		m.lg.Warn("a site without a release stays", "site", d.name, "err", err)
	}
}

// lease opens a batch, under which nothing is collected until it is released.
func (m *Manager) lease(ctx context.Context) (blob.Batch, error) {
	m.collecting.Lock()
	defer m.collecting.Unlock()
	batch, err := m.cfg.Blobs.Begin(ctx)
	if errors.Is(err, blob.ErrShut) {
		return nil, aplomb.NewError(aplomb.CodeDegraded, "nothing is stored", err.Error(),
			"make the data folder writable for the user that runs aplomb up, and start it again; aplomb rollback works meanwhile").Because(err)
	}
	if err != nil {
		return nil, fmt.Errorf("open a batch: %w", err)
	}
	m.mu.Lock()
	m.leases++
	m.mu.Unlock()
	return batch, nil
}

func (m *Manager) release(b blob.Batch) {
	m.mu.Lock()
	m.leases--
	m.mu.Unlock()
	if err := b.Close(); err != nil {
		m.lg.Warn("batch not closed", "err", err)
	}
}

// checkRequest refuses what must never be uploaded, by name.
func (m *Manager) checkRequest(req UploadRequest) ([]aplomb.Warning, error) {
	if _, err := aplomb.ParseSiteName(string(req.Site)); err != nil {
		return nil, aplomb.NewError(aplomb.CodeUsage, "nothing uploaded", err.Error(), "aplomb deploy DIR --site NAME")
	}
	if len(req.Files) == 0 {
		return nil, aplomb.NewError(aplomb.CodeManifest, "nothing uploaded", "the folder holds no file", "aplomb deploy DIR with the folder your build writes to")
	}
	if err := aplomb.CheckFiles(req.Files, m.cfg.Limits); err != nil {
		return nil, err
	}
	for _, g := range req.Settings.Hashed {
		if err := aplomb.CheckGlob(g); err != nil {
			return nil, aplomb.NewError(aplomb.CodeConfig, "nothing uploaded", fmt.Sprintf("hashed: %v", err), "correct hashed in aplomb.toml")
		}
	}
	if err := aplomb.CheckApp(req.Settings.App); err != nil {
		return nil, aplomb.NewError(aplomb.CodeConfig, "nothing uploaded", err.Error(), "correct [[app]] in aplomb.toml")
	}
	if found := aplomb.Secrets(req.Files, req.AllowSecrets); len(found) > 0 {
		return nil, secretError(found)
	}
	return nil, nil
}

func secretError(found []string) *aplomb.Error {
	return aplomb.NewError(aplomb.CodeSecret, "nothing uploaded",
		fmt.Sprintf("what looks like a secret would be public: %s", listed(found)),
		fmt.Sprintf("take it out of the folder, or: aplomb deploy --allow %s", found[0]))
}

// listed names up to five of what was found, as people say it.
func listed[T ~string](names []T) string {
	var b strings.Builder
	for i, name := range names {
		switch {
		case i == 0:
		case i == 5:
			fmt.Fprintf(&b, " and %d more", len(names)-5)
			return b.String()
		case i == len(names)-1:
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}

// siteFor returns the site's driver, and creates the site when the request brings its hosts.
func (m *Manager) siteFor(ctx context.Context, ask Ask, req UploadRequest) (*driver, bool, error) {
	hosts, err := parseHosts(req.Hosts)
	if err != nil {
		return nil, false, err
	}
	m.creating.Lock()
	defer m.creating.Unlock()
	d, err := m.driver(req.Site)
	if err == nil && d.view.Load().state.Site.Name != "" {
		if err := d.checkHosts(hosts); err != nil {
			return nil, false, err
		}
		return d, false, rollout.CheckApp("nothing uploaded", d.view.Load().state.Site, req.Settings.App)
	}
	if err == nil && d.view.Load().degraded != nil {
		return d, false, d.view.Load().degraded
	}
	if len(hosts) == 0 {
		return nil, false, aplomb.NewError(aplomb.CodeNoSite, fmt.Sprintf("site %s not created", req.Site), "it needs a host", fmt.Sprintf("aplomb deploy DIR --site %s --host HOST", req.Site))
	}
	site := aplomb.Site{Name: req.Site, Hosts: hosts, Created: m.cfg.Now(), Upstreams: rollout.SeedUpstreams(req.Settings.App)}
	if d, err = m.create(ctx, ask, site); err != nil {
		return nil, false, err
	}
	return d, true, nil
}

// goneWarnings names the files of an upload that nobody will get, because their URLs were forgotten.
func goneWarnings(files []aplomb.File, gone map[string]bool) []aplomb.Warning {
	var out []aplomb.Warning
	for _, f := range files {
		if gone[f.Path] {
			out = append(out, aplomb.Warning{Path: f.Path, Text: "answers 410: it was forgotten (aplomb log says why)"})
		}
	}
	return out
}

func parseHosts(in []string) ([]aplomb.Host, error) {
	var out []aplomb.Host
	for _, s := range in {
		h, err := aplomb.ParseHost(s)
		if err != nil {
			return nil, aplomb.NewError(aplomb.CodeUsage, "nothing uploaded", err.Error(), "aplomb deploy DIR --host shop.example.com")
		}
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out, nil
}

// checkHosts refuses a deploy that names a host the site does not have: hosts bind the deployer and are not set by one.
func (d *driver) checkHosts(hosts []aplomb.Host) error {
	site := d.view.Load().state.Site
	for _, h := range hosts {
		if !slices.Contains(site.Hosts, h) {
			return aplomb.NewError(aplomb.CodeHosts, "nothing uploaded", fmt.Sprintf("host %s is not one of %s's hosts, which are %s", h, d.name, listed(site.Hosts)), fmt.Sprintf("aplomb deploy DIR --site %s", d.name))
		}
	}
	return nil
}

func refs(files []aplomb.File) []blob.Ref {
	out := make([]blob.Ref, len(files))
	for i, f := range files {
		out[i] = blob.Ref{Digest: f.Digest, Size: f.Size}
	}
	return out
}

func newID() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// open returns an open upload, locked.
func (m *Manager) open(id string) (*upload, error) {
	m.mu.Lock()
	u, ok := m.uploads[id]
	m.mu.Unlock()
	if ok && u.mu.TryLock() {
		return u, nil
	}
	why := "it was sealed, given up, or lost in a restart"
	if ok {
		why = "another request is at work on it"
	}
	return nil, aplomb.NewError(aplomb.CodeUploadGone, "the upload cannot go on", why, "aplomb deploy again: what has arrived is not sent twice")
}

// forget takes an upload off the open ones and ends its lease.
func (m *Manager) forget(u *upload) {
	m.mu.Lock()
	delete(m.uploads, u.id)
	m.mu.Unlock()
	m.release(u.batch)
}

// Receive reads a stream of blobs of an open upload, as WriteBlob and EndStream write it, verifies and stores them. After a
// stream that breaks off, what has arrived whole is kept, so that the next deploy does not send it again.
func (m *Manager) Receive(ctx context.Context, id string, r io.Reader) (Received, error) {
	u, err := m.open(id)
	if err != nil {
		return Received{}, err
	}
	defer u.mu.Unlock()
	begun := m.cfg.Now()
	err = readStream(r, func(ref blob.Ref, r io.Reader) error { return u.put(ref, r) })
	u.lastByte = m.cfg.Now()
	u.sent += u.lastByte.Sub(begun)
	if err == nil {
		return u.received, nil
	}
	// What holds a key is not kept: kept files are not sent again, and so not looked at again.
	if !errors.Is(err, aplomb.ErrNoSpace) && len(u.leaked()) == 0 {
		if commit := u.batch.Commit(); commit != nil {
			m.lg.Warn("what arrived of a broken upload is not kept", "site", u.d.name, "err", commit)
		}
	}
	m.giveUp(ctx, u, fmt.Sprintf("the upload broke off: %v", err))
	return u.received, u.d.tell(err)
}

func (u *upload) put(ref blob.Ref, r io.Reader) error {
	size, ok := u.want[ref.Digest]
	if !ok || size != ref.Size {
		return aplomb.NewError(aplomb.CodeBlob, "the upload cannot be used", fmt.Sprintf("blob %s of %d bytes was not asked for", ref.Digest.Short(), ref.Size), "aplomb deploy again")
	}
	probe := &keyProbe{r: r, head: u.head[:0]}
	defer func() { u.head = probe.head }()
	if err := u.batch.Put(ref, probe); err != nil {
		return err
	}
	if aplomb.LooksLikePrivateKey(probe.head) {
		u.keys = append(u.keys, ref.Digest)
	}
	delete(u.want, ref.Digest)
	u.fresh[ref.Digest] = true
	u.received.Files++
	u.received.Bytes += ref.Size
	return nil
}

// keyProbe remembers how what is read through it begins.
type keyProbe struct {
	r    io.Reader
	head []byte
}

func (p *keyProbe) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if room := aplomb.KeyProbeBytes - len(p.head); room > 0 {
		p.head = append(p.head, b[:min(n, room)]...)
	}
	return n, err
}

// Abandon ends an upload without a release.
func (m *Manager) Abandon(ctx context.Context, id, why string) error {
	u, err := m.open(id)
	if err != nil {
		return err
	}
	defer u.mu.Unlock()
	m.giveUp(ctx, u, why)
	return nil
}

// giveUp ends an upload's rollout; the caller holds u.mu.
func (m *Manager) giveUp(ctx context.Context, u *upload, why string) {
	m.forget(u)
	err := u.d.do(context.WithoutCancel(ctx), func(ctx context.Context) error {
		_, err := u.d.apply(ctx, aplomb.Event{Kind: aplomb.EventAbandoned, At: m.cfg.Now(), Actor: u.ask.Actor, Why: why, Rollout: u.rollout})
		return err
	})
	if err != nil {
		m.lg.Warn("end of an upload not recorded", "site", u.d.name, "rollout", u.rollout, "err", err)
	}
	if u.created {
		m.takeBack(ctx, u.d, u.ask)
	}
}

// giveUpIdle ends the uploads from which nothing was heard for uploadIdle.
func (m *Manager) giveUpIdle(ctx context.Context) {
	m.mu.Lock()
	var idle []*upload
	for _, u := range m.uploads {
		idle = append(idle, u)
	}
	m.mu.Unlock()
	for _, u := range idle {
		if !u.mu.TryLock() {
			continue
		}
		if m.cfg.Now().Sub(u.lastByte) > uploadIdle {
			m.giveUp(ctx, u, fmt.Sprintf("nothing was heard for %s", uploadIdle))
		}
		u.mu.Unlock()
	}
}
