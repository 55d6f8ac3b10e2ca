package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"aplomb"
	"aplomb/release"
)

// maxUploadRequest bounds the list of files of an upload: 100,000 files fit.
const maxUploadRequest = 64 << 20

// uploadBody is the request that opens an upload, and why it is made.
type uploadBody struct {
	release.UploadRequest
	Why string `json:"why,omitempty"`
}

func (s *Server) begin(w http.ResponseWriter, r *request) (any, error) {
	var body uploadBody
	if err := decode(w, r, maxUploadRequest, &body); err != nil {
		return nil, err
	}
	if body.Site != "" && body.Site != r.site {
		return nil, aplomb.NewError(aplomb.CodeRequest, "The upload names two sites",
			"the address says "+string(r.site)+", the request says "+string(body.Site), "aplomb status")
	}
	body.Site = r.site
	// Detached: an upload that was recorded must not lose the answer that names it to a cut connection half-way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTimeout)
	defer cancel()
	if err := s.checkHosts(ctx, r, &body.UploadRequest); err != nil {
		return nil, err
	}
	up, err := s.manager.Begin(ctx, r.ask(body.Why), body.UploadRequest)
	if err != nil {
		return nil, err
	}
	s.uploads.opened(up.ID, r.site)
	if up.Missing == nil {
		up.Missing = []aplomb.Digest{}
	}
	return up, nil
}

// checkHosts keeps those who may not create a site from it: their upload is for a site that exists, under the hosts it has.
func (s *Server) checkHosts(ctx context.Context, r *request, req *release.UploadRequest) error {
	if r.caller.scope.Has(aplomb.ScopeAdmin) && r.caller.site == "" {
		return nil
	}
	st, err := s.manager.Status(ctx, r.site)
	switch {
	case errors.Is(err, aplomb.ErrNotFound):
		return forbidden(fmt.Sprintf("there is no site %s, and %s creates none: that needs the scope admin for all sites", r.site, r.caller.name),
			fmt.Sprintf("ask whoever runs aplomb up: aplomb site add %s --host HOST", r.site))
	case err != nil:
		return err
	}
	for _, name := range req.Hosts {
		if host, err := aplomb.ParseHost(name); err != nil || !slices.Contains(st.Hosts, host) {
			return aplomb.NewError(aplomb.CodeHosts, "Nothing uploaded", fmt.Sprintf("host %.80q is not one of %s's hosts: %v", name, r.site, st.Hosts),
				"aplomb deploy DIR --site "+string(r.site))
		}
	}
	req.Hosts = nil // with which a site that is being removed meanwhile would be made anew
	return nil
}

// receive passes a stream of blobs on. It has no limit but the manager's: the stream may be long, only silence ends it.
func (s *Server) receive(w http.ResponseWriter, r *request) (any, error) {
	rc := http.NewResponseController(w)
	// The answer to a bad stream must be able to overtake the rest of it.
	if err := rc.EnableFullDuplex(); err != nil {
		return nil, err
	}
	body := &steadyBody{body: r.Body, deadline: rc.SetReadDeadline}
	stop := context.AfterFunc(r.Context(), body.end)
	defer limitRest(w)
	defer stop()
	got, err := s.manager.Receive(r.Context(), r.PathValue("upload"), body)
	if err != nil {
		s.fail(w, r, err)
		rc.Flush()
		drain(body)
		return nil, nil
	}
	return got, nil
}

// drain reads what a client still sends after it was refused: closing on it would reset the connection, and the answer
// could be lost on the way.
func drain(body *steadyBody) {
	limit := time.Now().Add(drainTimeout)
	buf := make([]byte, 64<<10)
	for time.Now().Before(limit) {
		if _, err := body.Read(buf); err != nil {
			return
		}
	}
}

const drainTimeout = 10 * time.Second

// steadyBody is a request's body that may go on for as long as it keeps coming.
type steadyBody struct {
	body     io.Reader
	deadline func(time.Time) error

	mu    sync.Mutex
	ended bool
}

// Read waits for more, but not longer than bodyTimeout.
func (b *steadyBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if !b.ended {
		b.deadline(time.Now().Add(bodyTimeout))
	}
	b.mu.Unlock()
	return b.body.Read(p)
}

// end makes the Read under way, and every later one, fail at once.
func (b *steadyBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.deadline(time.Unix(1, 0))
}

func (s *Server) seal(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	if err := decode(w, r, maxBody, &struct{}{}); err != nil {
		return nil, err
	}
	return s.manager.SealTelling(ctx, r.PathValue("upload"), earlyPreview(w))
}

func (s *Server) abandon(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body whyBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	return struct{}{}, s.manager.Abandon(ctx, r.PathValue("upload"), body.Why)
}

// uploads remembers which site an upload is for, so that a failure can say what that site is now.
type uploads struct {
	mu    sync.Mutex
	sites map[string]aplomb.SiteName
	order []string // oldest first
}

func newUploads() *uploads { return &uploads{sites: map[string]aplomb.SiteName{}} }

func (u *uploads) opened(id string, site aplomb.SiteName) {
	const most = 1000
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sites[id] = site
	if u.order = append(u.order, id); len(u.order) > most {
		delete(u.sites, u.order[0])
		u.order = u.order[1:]
	}
}

// site returns the site of an upload, or "" when it is not known.
func (u *uploads) site(id string) aplomb.SiteName {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sites[id]
}
