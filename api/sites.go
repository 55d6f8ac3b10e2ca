package api

import (
	"context"
	"net/http"

	"aplomb"
	"aplomb/release"
)

// The bodies of a site's own acts.
type (
	hostsBody struct {
		Hosts []string `json:"hosts"`
		Why   string   `json:"why,omitempty"`
	}
	rulesBody struct {
		release.SiteChange
		Why string `json:"why,omitempty"`
	}
	removeBody struct {
		Confirm string `json:"confirm"`
		Why     string `json:"why,omitempty"`
	}
	offlineBody struct {
		RetryAfter int    `json:"retry_after,omitempty"`
		Why        string `json:"why"`
	}
	forgetBody struct {
		What string `json:"what"` // a URL, a path, or the name of a release
		Why  string `json:"why"`
	}
)

func (s *Server) addSite(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body hostsBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	return s.manager.AddSite(ctx, r.ask(body.Why), r.site, body.Hosts)
}

func (s *Server) removeSite(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body removeBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	removed, err := s.manager.RemoveSite(ctx, r.ask(body.Why), r.site, body.Confirm)
	if err == nil {
		s.revokeOf(ctx, r, r.site)
	}
	return removed, err
}

func (s *Server) rules(_ http.ResponseWriter, r *request) (any, error) {
	return s.manager.Site(r.Context(), r.site)
}

func (s *Server) setRules(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body rulesBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	return s.manager.SetSite(ctx, r.ask(body.Why), r.site, body.SiteChange)
}

func (s *Server) offline(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body offlineBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	return s.manager.Offline(ctx, r.ask(body.Why), r.site, body.RetryAfter)
}

func (s *Server) online(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body whyBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	return s.manager.Online(ctx, r.ask(body.Why), r.site)
}

func (s *Server) forget(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body forgetBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	return s.manager.Forget(ctx, r.ask(body.Why), r.site, body.What)
}

func (s *Server) usage(_ http.ResponseWriter, r *request) (any, error) {
	return s.manager.Usage(r.Context(), r.site)
}

func (s *Server) collect(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body struct{}
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	freed, err := s.manager.Collect(ctx)
	if err != nil {
		return nil, aplomb.NewError(aplomb.CodeInternal, "not collected", err.Error(), "aplomb status, then try again").Because(err)
	}
	return freed, nil
}
