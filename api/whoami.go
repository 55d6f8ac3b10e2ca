package api

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"time"

	"aplomb"
)

// Who says who a caller is to a server, and which server that is.
type Who struct {
	Actor   string          `json:"actor"`
	Token   string          `json:"token,omitempty"` // the name of the token that let them in
	Scopes  aplomb.Scope    `json:"scopes"`
	Site    aplomb.SiteName `json:"site,omitempty"` // "" for all sites and the server
	Door    string          `json:"door"`
	Expires time.Time       `json:"expires,omitzero"`
	Server  WhoServer       `json:"server"`
}

// WhoServer names a server.
type WhoServer struct {
	Name    string `json:"name"`
	Dir     string `json:"dir"`
	Version string `json:"version"`
}

// The doors.
const (
	doorSocket = "socket"
	doorTCP    = "tcp"
)

func (s *Server) whoami(_ http.ResponseWriter, r *request) (any, error) {
	name, err := os.Hostname()
	if err != nil {
		s.lg.Debug("the machine's name is not known", "err", err)
	}
	c := r.caller
	return Who{
		Actor: c.name, Token: c.token, Scopes: c.scope, Site: c.site, Door: c.door, Expires: c.expires,
		Server: WhoServer{Name: cmp.Or(name, "unknown"), Dir: s.cfg.Dir, Version: s.cfg.Version},
	}, nil
}

// Whoami asks who this client is to the server.
func (c *Client) Whoami(ctx context.Context) (Who, error) {
	return get[Who](ctx, c, "/v1/whoami")
}
