package api

import (
	"net/http"
	"os"
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
		Sites: len(sites), Degraded: s.manager.Degraded(),
	}
	if h.Degraded == nil {
		h.Degraded = map[aplomb.SiteName]string{}
	}
	return h, nil
}

func (s *Server) sites(_ http.ResponseWriter, r *request) (any, error) {
	return list(s.manager.Sites(r.Context()))
}

func (s *Server) siteStatus(_ http.ResponseWriter, r *request) (any, error) {
	return s.manager.Status(r.Context(), r.site)
}

func (s *Server) releases(_ http.ResponseWriter, r *request) (any, error) {
	return list(s.manager.Releases(r.Context(), r.site))
}

func (s *Server) verify(_ http.ResponseWriter, r *request) (any, error) {
	return list[release.Verified](s.manager.Verify(r.Context()))
}

// list makes an empty list [] in JSON, never null.
func list[T any](of []T, err error) (any, error) {
	if of == nil {
		of = []T{}
	}
	return of, err
}
