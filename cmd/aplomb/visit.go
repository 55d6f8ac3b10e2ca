package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"

	"aplomb"
)

// visit asks the edge for a path of a site, as a visitor of its first host does, and returns the status.
func (h *house) visit(ctx context.Context, site aplomb.Site, path string) (int, error) {
	host := aplomb.Host("")
	for _, known := range site.Hosts {
		if _, led := site.RedirectTo[known]; !led {
			host = known
			break
		}
	}
	if host == "" {
		return 0, fmt.Errorf("site %s has no host that is answered", site.Name)
	}
	at := url.URL{Scheme: "https", Host: string(host), Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("ask for %s: %w", path, err)
	}
	req.RequestURI, req.RemoteAddr = at.RequestURI(), "127.0.0.1:0"
	req.TLS = &tls.ConnectionState{ServerName: string(host)}
	req.Header.Set("User-Agent", "aplomb forget")
	var got statusOnly
	h.edge.ServeHTTP(&got, req)
	return got.status, nil
}

// statusOnly takes an answer and keeps its status.
type statusOnly struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (w *statusOnly) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *statusOnly) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *statusOnly) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(b), nil
}
