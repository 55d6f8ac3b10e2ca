package api

import (
	"net/http"
	"os"
	"slices"
	"time"

	"aplomb"
	"aplomb/release"
)

// Health is what a server says of itself.
type Health struct {
	Version  string                     `json:"version"`
	PID      int                        `json:"pid"`
	Dir      string                     `json:"dir"`
	Started  time.Time                  `json:"started"`
	Sites    int                        `json:"sites"`
	Degraded map[aplomb.SiteName]string `json:"degraded"` // sites whose ledger refuses to write, with the reason
}

func (s *Server) health(_ http.ResponseWriter, r *request) (any, error) {
	sites, err := s.manager.Sites(r.Context())
	if err != nil {
		return nil, err
	}
	h := Health{
		Version: s.cfg.Version, PID: os.Getpid(), Dir: s.cfg.Dir, Started: s.started,
		Sites: len(ofCaller(r, sites, siteOfStatus)), Degraded: map[aplomb.SiteName]string{},
	}
	for site, why := range s.manager.Degraded() {
		if r.caller.sees(site) {
			h.Degraded[site] = why
		}
	}
	return h, nil
}

func (s *Server) sites(_ http.ResponseWriter, r *request) (any, error) {
	sites, err := s.manager.Sites(r.Context())
	return list(ofCaller(r, sites, siteOfStatus), err)
}

func (s *Server) siteStatus(_ http.ResponseWriter, r *request) (any, error) {
	return s.manager.Status(r.Context(), r.site)
}

func (s *Server) releases(_ http.ResponseWriter, r *request) (any, error) {
	return list(s.manager.Releases(r.Context(), r.site))
}

func (s *Server) verify(_ http.ResponseWriter, r *request) (any, error) {
	chains, err := s.manager.Verify(r.Context())
	return list(ofCaller(r, chains, func(v release.Verified) aplomb.SiteName { return v.Site }), err)
}

func siteOfStatus(st release.SiteStatus) aplomb.SiteName { return st.Site }

// ofCaller leaves out what is about sites that a caller must not see.
func ofCaller[T any](r *request, of []T, site func(T) aplomb.SiteName) []T {
	return slices.DeleteFunc(of, func(v T) bool { return !r.caller.sees(site(v)) })
}

// sees reports whether a site is the caller's to know of.
func (c caller) sees(site aplomb.SiteName) bool { return c.site == "" || c.site == site }

// list makes an empty list [] in JSON, never null.
func list[T any](of []T, err error) (any, error) {
	if of == nil {
		of = []T{}
	}
	return of, err
}
