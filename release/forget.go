package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"aplomb"
	"aplomb/rollout"
)

// Forgotten is the result of forgetting a URL or a release.
type Forgotten struct {
	Site    aplomb.SiteName  `json:"site"`
	Release aplomb.ReleaseID `json:"release,omitempty"`
	// Gone are the URL paths that answer 410 because of it.
	Gone []string `json:"gone"`
	N    int64    `json:"n,omitempty"` // n of its fact; 0 where it was forgotten before
	// Blobs and Bytes are what was deleted from the store, encoded forms included.
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
	// Shared are bytes that stay, because they are served under other names too.
	Shared []SharedBytes `json:"shared,omitempty"`
	// Pending says why bytes are still there; they are deleted as soon as that is over.
	Pending string  `json:"pending,omitempty"`
	Proof   []Proof `json:"proof"`
}

// SharedBytes are bytes that one name was forgotten for and others have.
type SharedBytes struct {
	Path string   `json:"path"`
	At   []string `json:"at"` // up to five of them: "shop r3/logo.png"
}

// Proof is something that was looked at afterwards, and what was found.
type Proof struct {
	What  string `json:"what"`
	Found string `json:"found"`
	OK    bool   `json:"ok"`
}

// forgetting is one act of forgetting under way.
type forgetting struct {
	release aplomb.ReleaseID
	gone    []string
	doomed  map[aplomb.Digest]string // a path that it stood under
}

// Forget makes a URL of a site, or what only one release has, answer 410, and deletes the bytes wherever they are. It
// returns when the edge says so, with proof. Only bytes that other names need stay, and are named.
func (m *Manager) Forget(ctx context.Context, ask Ask, site aplomb.SiteName, what string) (Forgotten, error) {
	d, err := m.driver(site)
	if err != nil {
		return Forgotten{}, err
	}
	var out Forgotten
	var f forgetting
	err = d.do(ctx, func(ctx context.Context) error {
		if err := d.catchUp(ctx); err != nil {
			return err
		}
		if f, err = d.find(what); err != nil {
			return err
		}
		out = Forgotten{Site: site, Release: f.release, Gone: f.gone}
		o, err := d.apply(ctx, aplomb.Event{Kind: aplomb.EventForget, At: m.cfg.Now(), Actor: ask.Actor, Why: ask.Why, Release: f.release, Gone: f.gone})
		if err != nil && !errors.Is(err, rollout.ErrNothing) {
			return err
		}
		out.N = o.Fact.N
		if err := d.refresh(ctx, true); err != nil {
			return fmt.Errorf("it is recorded: %w", err)
		}
		return nil
	})
	if err != nil {
		return out, d.tell(err)
	}
	ctx = context.WithoutCancel(ctx)
	deleted := m.erase(ctx, f.doomed, &out)
	m.prove(ctx, d.view.Load().state.Site, deleted, &out)
	return out, nil
}

// find says what is meant: a release, or a URL of this site that a kept release answers with a file.
func (d *driver) find(what string) (forgetting, error) {
	if id, err := aplomb.ParseReleaseID(what); err == nil {
		return d.findRelease(id)
	}
	path, err := d.pathOf(what)
	if err != nil {
		return forgetting{}, err
	}
	f := forgetting{doomed: map[aplomb.Digest]string{}}
	for _, r := range d.state.Releases {
		if r.Collected {
			continue
		}
		for _, file := range d.manifest(r).Files {
			forms := urlForms(file.Path)
			if !slices.Contains(forms, path) {
				continue
			}
			f.doomed[file.Digest] = file.Path
			for _, form := range forms {
				if !slices.Contains(f.gone, form) {
					f.gone = append(f.gone, form)
				}
			}
		}
	}
	if len(f.doomed) == 0 {
		return f, aplomb.NewError(aplomb.CodeForget, "nothing forgotten", fmt.Sprintf("no release of %s that is kept has a file at %s", d.name, path), "aplomb releases, and the path as visitors ask for it")
	}
	slices.Sort(f.gone)
	return f, nil
}

// pathOf reads a URL of the site, or a path, as the edge compares it: decoded, without a query.
func (d *driver) pathOf(what string) (string, error) {
	u, err := url.Parse(what)
	if err != nil || !strings.HasPrefix(u.Path, "/") {
		return "", aplomb.NewError(aplomb.CodeUsage, "nothing forgotten", fmt.Sprintf("%.200q is neither a URL nor a path nor the name of a release", what), "aplomb forget /path/of/the/file --reason \"…\"")
	}
	if u.Host != "" {
		host, err := aplomb.ParseHost(u.Host)
		if err != nil || !slices.Contains(rollout.Claimed(d.state.Site), host) {
			return "", aplomb.NewError(aplomb.CodeUsage, "nothing forgotten", fmt.Sprintf("%.200s is not a host of site %s", u.Host, d.name), "aplomb sites (it lists hosts)")
		}
	}
	return u.Path, nil
}

// urlForms lists the URL paths under which a file is served, its own first.
func urlForms(file string) []string {
	if folder, ok := strings.CutSuffix(file, "/index.html"); ok {
		if folder == "" {
			return []string{file, "/"}
		}
		return []string{file, folder + "/", folder}
	}
	if page, ok := strings.CutSuffix(file, ".html"); ok {
		return []string{file, page}
	}
	return []string{file}
}

// findRelease says what only one release has: its hashed URLs that no other kept release has become gone.
func (d *driver) findRelease(id aplomb.ReleaseID) (forgetting, error) {
	rel, ok := d.state.Releases[id]
	if !ok {
		return forgetting{}, aplomb.NewError(aplomb.CodeNoRelease, fmt.Sprintf("no release %q on site %s", id, d.name), fmt.Sprintf("the newest is r%d", d.state.Last), "aplomb releases")
	}
	f := forgetting{release: id, doomed: map[aplomb.Digest]string{rel.Manifest: "the manifest of " + string(id)}}
	others := map[string]bool{}
	for _, r := range d.state.Releases {
		if r.ID == id || r.Collected {
			continue
		}
		for _, file := range d.manifest(r).Files {
			others[file.Path] = true
		}
	}
	for _, file := range d.manifest(rel).Files {
		f.doomed[file.Digest] = file.Path
		if file.Hashed && !others[file.Path] {
			f.gone = append(f.gone, file.Path)
		}
	}
	slices.Sort(f.gone)
	return f, nil
}

// erase deletes bytes from the store at once, and their encoded forms with them, but for those that are needed under
// names that are not forgotten. It returns what was deleted.
func (m *Manager) erase(ctx context.Context, doomed map[aplomb.Digest]string, out *Forgotten) []aplomb.Digest {
	m.collecting.Lock()
	defer m.collecting.Unlock()
	keep := map[aplomb.Digest]bool{}
	for _, d := range m.all() {
		if err := d.do(ctx, func(context.Context) error { return d.keepAll(keep, m.cfg.Now()) }); err != nil {
			m.owe(doomed, out, fmt.Sprintf("what other releases need is not known: %v", err))
			return nil
		}
	}
	going := map[aplomb.Digest]bool{}
	for _, digest := range slices.SortedFunc(maps.Keys(doomed), func(a, b aplomb.Digest) int { return strings.Compare(doomed[a], doomed[b]) }) {
		if keep[digest] {
			if at := m.namedAt(digest); len(at) > 0 {
				out.Shared = append(out.Shared, SharedBytes{Path: doomed[digest], At: at})
			}
			continue
		}
		going[digest] = true
		for _, form := range m.cfg.Blobs.Encodings(digest) {
			if form.Level > 0 && !keep[form.Digest] {
				going[form.Digest] = true
			}
		}
	}
	done, err := m.cfg.Blobs.Collect(ctx, func(d aplomb.Digest) bool { return !going[d] }, evenTheYoungest)
	out.Blobs, out.Bytes = out.Blobs+done.Blobs, out.Bytes+done.Bytes
	switch {
	case err != nil:
		m.owe(doomed, out, err.Error())
	case done.Skipped:
		m.owe(doomed, out, "an upload is open, or files are being compressed")
	}
	return slices.Collect(maps.Keys(going))
}

// evenTheYoungest lets a collection delete what was put a moment ago.
var evenTheYoungest = time.Unix(1<<35, 0)

// owe remembers bytes that could not be deleted yet.
func (m *Manager) owe(doomed map[aplomb.Digest]string, out *Forgotten, why string) {
	out.Pending = why
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.owed, doomed)
}

// eraseOwed deletes what was forgotten and could not be deleted then. At the first call it looks for what a restart left.
func (m *Manager) eraseOwed(ctx context.Context) {
	m.mu.Lock()
	owed, first := m.owed, !m.swept
	m.owed, m.swept = map[aplomb.Digest]string{}, true
	m.mu.Unlock()
	if first {
		for _, d := range m.all() {
			maps.Copy(owed, d.forgottenFiles())
		}
	}
	if len(owed) == 0 {
		return
	}
	var out Forgotten
	m.erase(ctx, owed, &out)
	m.lg.Info("forgotten bytes deleted", "blobs", out.Blobs, "bytes", out.Bytes, "pending", out.Pending)
}

// forgottenFiles lists what a site's kept releases have at paths that are gone, and what releases that were forgotten
// had, as far as their manifests are still there.
func (d *driver) forgottenFiles() map[aplomb.Digest]string {
	s := d.view.Load().state
	gone, out := goneOf(s.Site), map[aplomb.Digest]string{}
	for _, r := range s.Releases {
		whole := r.Collected && r.State == aplomb.Retired
		if r.Collected && !whole || !whole && len(gone) == 0 {
			continue
		}
		b, err := readBlob(d.m.cfg.Blobs, r.Manifest)
		if err != nil {
			continue // with it went all that it named, or its damage is named elsewhere
		}
		m, err := aplomb.DecodeManifest(b)
		if err != nil {
			continue
		}
		for _, f := range m.Files {
			if whole || gone[f.Path] {
				out[f.Digest] = f.Path
			}
		}
	}
	return out
}

// namedAt lists up to five names under which bytes are served.
func (m *Manager) namedAt(digest aplomb.Digest) []string {
	var out []string
	for _, d := range m.all() {
		for _, name := range d.naming(digest) {
			out = append(out, fmt.Sprintf("%s %s", d.name, name))
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 5)]
}

// proofs is how many URLs of a forgotten release are asked for.
const proofs = 20

// prove looks for what was forgotten: in the store, and as a visitor.
func (m *Manager) prove(ctx context.Context, site aplomb.Site, deleted []aplomb.Digest, out *Forgotten) {
	out.Proof = []Proof{}
	if len(deleted) > 0 {
		left := 0
		for _, digest := range deleted {
			f, _, err := m.cfg.Blobs.Open(digest)
			if err == nil {
				f.Close() // it was only looked for
			}
			if !errors.Is(err, aplomb.ErrNotFound) {
				left++
			}
		}
		p := Proof{What: fmt.Sprintf("the store, for %d blobs", len(deleted)), Found: "none of them is there", OK: left == 0}
		if left > 0 {
			p.Found = fmt.Sprintf("%d of them are still there", left)
		}
		out.Proof = append(out.Proof, p)
	}
	if m.cfg.Visit == nil {
		return
	}
	for _, path := range out.Gone[:min(len(out.Gone), proofs)] {
		status, err := m.cfg.Visit(ctx, site, path)
		p := Proof{What: "GET " + path, Found: fmt.Sprint(status), OK: status == 410 || status == 503 && site.Offline != nil}
		if err != nil {
			p.Found, p.OK = err.Error(), false
		}
		out.Proof = append(out.Proof, p)
	}
}
