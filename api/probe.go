package api

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"aplomb"
)

// probed answers the questions of load balancers and monitors, which bring no token and get to know nothing but the
// answer: is the process alive, and does it serve its sites. A ledger that refuses to write is no reason to send visitors
// elsewhere, so it is said and not failed.
func (s *Server) probed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := ""
		switch r.URL.Path {
		case "/healthz":
			answer = "ok\n"
		case "/readyz":
			answer = "ready\n"
			if len(s.manager.Degraded()) > 0 {
				answer = "ready, degraded\n"
			}
		}
		if answer == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Length", fmt.Sprint(len(answer)))
		io.WriteString(w, answer)
	})
}

// metrics answers in the text format of Prometheus.
func (s *Server) metrics(w http.ResponseWriter, r *request) (any, error) {
	if s.cfg.Metrics == nil {
		return nil, aplomb.NewError(aplomb.CodeRoute, "There are no metrics", "this server was not told to count", "aplomb version")
	}
	s.cfg.Metrics.ServeHTTP(w, r.Request)
	return nil, nil
}

// Metrics copies the server's metrics to w, in the text format of Prometheus.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	req, err := c.request(ctx, "GET", "/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := c.answer(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return c.failed(req, err)
	}
	return nil
}
