package api

import (
	"context"
	"log/slog"
	"net/http"

	"aplomb"
)

// Level is how much a server's log says.
type Level struct {
	Level slog.Level `json:"level"`
}

func (s *Server) level(http.ResponseWriter, *request) (any, error) {
	if s.cfg.Level == nil {
		return nil, noLevel()
	}
	return Level{s.cfg.Level.Level()}, nil
}

func (s *Server) setLevel(_ context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body Level
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	if s.cfg.Level == nil {
		return nil, noLevel()
	}
	was := s.cfg.Level.Level()
	s.cfg.Level.Set(body.Level)
	s.lg.Warn("the log's level was changed", "from", was, "to", body.Level, "actor", r.ask("").Actor)
	return body, nil
}

func noLevel() error {
	return aplomb.NewError(aplomb.CodeRoute, "The log's level cannot be changed", "this server was started without one", "aplomb up --log-level debug")
}

// Level returns how much the server's log says.
func (c *Client) Level(ctx context.Context) (Level, error) {
	return get[Level](ctx, c, "/v1/log-level")
}

// SetLevel changes how much the server's log says, until it ends.
func (c *Client) SetLevel(ctx context.Context, l slog.Level) (Level, error) {
	return send[Level](ctx, c, "PUT", "/v1/log-level", Level{l})
}
