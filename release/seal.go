package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/rollout"
)

// Seal makes the upload a release and drives its rollout; it returns when the release is live, waits, or was taken back.
func (m *Manager) Seal(ctx context.Context, id string) (Deployed, error) {
	return m.SealTelling(ctx, id, func(Preview) {})
}

// SealTelling is Seal, and calls sealed with a link to the release before any visitor gets it.
func (m *Manager) SealTelling(ctx context.Context, id string, sealed func(Preview)) (Deployed, error) {
	u, err := m.open(id)
	if err != nil {
		return Deployed{}, err
	}
	defer u.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	rel, warnings, err := m.seal(ctx, u)
	if err != nil {
		m.giveUp(ctx, u, fmt.Sprintf("not sealed: %v", err))
		return Deployed{}, u.d.tell(err)
	}
	defer m.forget(u)
	out, err := m.goLive(ctx, u, rel, sealed)
	out.Warnings, out.FilesUploaded, out.BytesUploaded = warnings, u.received.Files, u.received.Bytes
	return out, u.d.tell(err)
}

// seal makes the blobs durable and puts the sealed manifest beside them.
func (m *Manager) seal(ctx context.Context, u *upload) (aplomb.Release, []aplomb.Warning, error) {
	if len(u.want) > 0 {
		return aplomb.Release{}, nil, aplomb.NewError(aplomb.CodeMissing, "release not made", fmt.Sprintf("%d of %d files are missing", u.missingFiles(), len(u.req.Files)), "aplomb deploy again")
	}
	if found := u.leaked(); len(found) > 0 {
		return aplomb.Release{}, nil, secretError(found)
	}
	if err := u.batch.Commit(); err != nil {
		return aplomb.Release{}, nil, fmt.Errorf("store the files: %w", err)
	}
	manifest, warnings, err := m.manifestOf(u.req)
	if err != nil {
		return aplomb.Release{}, nil, err
	}
	body := aplomb.EncodeManifest(manifest)
	digest := aplomb.Sum(body)
	if err := m.putBlob(ctx, digest, body); err != nil {
		return aplomb.Release{}, nil, fmt.Errorf("store the manifest: %w", err)
	}
	settings, err := json.Marshal(u.req.Settings)
	if err != nil {
		return aplomb.Release{}, nil, fmt.Errorf("encode the settings: %w", err)
	}
	m.manifests.keep(digest, int64(len(body)), manifest)
	m.encodeQuick(ctx, manifest, u.fresh)
	rel := aplomb.Release{Seal: aplomb.SealOf(u.req.Files, settings), Manifest: digest, Files: len(manifest.Files), By: u.ask.Actor, Note: u.req.Note}
	for _, f := range manifest.Files {
		rel.Bytes += f.Size
	}
	return rel, warnings, nil
}

func (u *upload) missingFiles() int {
	n := 0
	for _, f := range u.req.Files {
		if _, ok := u.want[f.Digest]; ok {
			n++
		}
	}
	return n
}

// leaked lists the paths of uploaded private keys that were not allowed by name.
func (u *upload) leaked() []string {
	var out []string
	for _, d := range u.keys {
		for _, f := range u.req.Files {
			if f.Digest == d && !contains(u.req.AllowSecrets, f.Path) {
				out = append(out, f.Path)
			}
		}
	}
	return out
}

// contains compares paths with and without their leading slash.
func contains(names []string, path string) bool {
	for _, n := range names {
		if n == path || "/"+n == path {
			return true
		}
	}
	return false
}

// manifestOf reads what of the files decides how they are served, and seals the list.
func (m *Manager) manifestOf(req UploadRequest) (aplomb.Manifest, []aplomb.Warning, error) {
	var headers, redirects []byte
	for _, f := range req.Files {
		var err error
		switch f.Path {
		case aplomb.HeadersFile:
			headers, err = m.readRules(f)
		case aplomb.RedirectsFile:
			redirects, err = m.readRules(f)
		}
		if err != nil {
			return aplomb.Manifest{}, nil, err
		}
	}
	workers := m.workers.find(m.cfg.Blobs, req.Files)
	return aplomb.SealedManifest(req.Files, req.Settings, headers, redirects, workers, m.cfg.Limits)
}

func (m *Manager) readRules(f aplomb.File) ([]byte, error) {
	if f.Size > m.cfg.Limits.RulesBytes {
		return nil, aplomb.NewError(aplomb.CodeLimit, "release not made", fmt.Sprintf("%s has %d bytes; %d are allowed", f.Path, f.Size, m.cfg.Limits.RulesBytes), "make it shorter")
	}
	b, err := readBlob(m.cfg.Blobs, f.Digest)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Path, err)
	}
	return b, nil
}

func readBlob(blobs blob.Reader, d aplomb.Digest) ([]byte, error) {
	f, size, err := blobs.Open(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Short(), err)
	}
	return b, nil
}

// putBlob stores one blob, durably.
func (m *Manager) putBlob(ctx context.Context, d aplomb.Digest, b []byte) error {
	batch, err := m.cfg.Blobs.Begin(ctx)
	if err != nil {
		return err
	}
	defer batch.Close()
	if err := batch.Put(blob.Ref{Digest: d, Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
		return err
	}
	return batch.Commit()
}

// goLive records the sealed release and drives its rollout.
func (m *Manager) goLive(ctx context.Context, u *upload, rel aplomb.Release, sealed func(Preview)) (Deployed, error) {
	d := u.d
	var out Deployed
	var link Preview
	err := d.do(ctx, func(ctx context.Context) error {
		now := m.cfg.Now()
		sealing := now.Sub(u.begun) - u.sent
		ev := aplomb.Event{
			Kind: aplomb.EventSealed, At: now, Actor: u.ask.Actor, Why: u.req.Note, Rollout: u.rollout, Sealed: rel, NoLive: u.req.NoLive,
			Done: []aplomb.Done{{What: "upload", MS: ms(u.sent)}, {What: "seal", MS: ms(sealing)}},
		}
		before := d.state.Live
		o, err := d.apply(ctx, ev)
		if err != nil {
			return err
		}
		id := o.Fact.Release
		if link = m.previewOf(d.state.Site, id); link.URL != "" && id != before {
			// The edge answers for it from here on, whatever becomes of the rollout.
			if err := d.refresh(ctx, false); err == nil {
				sealed(link)
			}
		}
		if o.Refused != nil {
			out = d.deployed(id, before, u.begun)
			return o.Refused
		}
		if u.req.NoLive || o.Fact.Kind == aplomb.FactEnded {
			out = d.deployed(id, before, u.begun)
			out.Known = o.Fact.Kind == aplomb.FactEnded
			d.goOn(ctx)
			return nil
		}
		out, err = d.settleFor(ctx, u.rollout, id, before, u.begun)
		d.remember(u.sent, sealing, m.cfg.Now().Sub(now))
		out.Known = o.Fact.Kind == aplomb.FactUploaded && !d.state.Releases[id].Sealed.Equal(now)
		return err
	})
	if out.State != aplomb.Live {
		out.Preview = link.URL
	}
	return out, err
}

// phases is how long the parts of one deploy took.
type phases struct{ upload, seal, switching time.Duration }

// remember keeps the times of the newest 20 deploys.
func (d *driver) remember(upload, seal, switching time.Duration) {
	d.took = append(d.took, phases{upload, seal, switching})
	if len(d.took) > 20 {
		d.took = d.took[len(d.took)-20:]
	}
	d.publish()
}

// usual returns the median of each phase in milliseconds, nil when there is nothing to go by.
func usual(took []phases) map[string]float64 {
	if len(took) == 0 {
		return nil
	}
	return map[string]float64{
		"upload": median(took, func(p phases) time.Duration { return p.upload }),
		"seal":   median(took, func(p phases) time.Duration { return p.seal }),
		"switch": median(took, func(p phases) time.Duration { return p.switching }),
	}
}

// explain turns any error into one with all five parts but the last.
func explain(err error) *aplomb.Error {
	var known *aplomb.Error
	if errors.As(err, &known) {
		return known
	}
	switch {
	case errors.Is(err, aplomb.ErrNoSpace):
		return aplomb.NewError(aplomb.CodeNoSpace, "not done", "the disk that holds the data folder is full", "df -h, make room, then try again; aplomb rollback works meanwhile").Because(err)
	case errors.Is(err, errFailed):
		return aplomb.NewError(aplomb.CodeSwitch, "the edge did not switch", err.Error(), "aplomb status, then try again").Because(err)
	case errors.Is(err, aplomb.ErrDegraded):
		return aplomb.NewError(aplomb.CodeDegraded, "nothing is written", err.Error(), "aplomb recover; aplomb rollback works meanwhile").Because(err)
	case errors.Is(err, aplomb.ErrDamaged):
		return aplomb.NewError(aplomb.CodeDamaged, "not done", err.Error(), "aplomb deploy again: damaged files are sent anew").Because(err)
	case errors.Is(err, aplomb.ErrInvalid):
		return aplomb.NewError(aplomb.CodeBlob, "the upload cannot be used", err.Error(), "aplomb deploy again").Because(err)
	case errors.Is(err, aplomb.ErrNotFound):
		return aplomb.NewError(aplomb.CodeNoSite, "not done", err.Error(), "aplomb sites").Because(err)
	case errors.Is(err, rollout.ErrNothing):
		return aplomb.NewError(aplomb.CodeNothing, "nothing changed", "it is so already", "aplomb log").Because(err)
	}
	return aplomb.NewError(aplomb.CodeInternal, "not done", err.Error(), "aplomb status, then try again").Because(err)
}
