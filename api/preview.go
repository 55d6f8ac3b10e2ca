package api

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"

	"aplomb"
	"aplomb/release"
)

// preview makes a link to a release. Whoever has it sees the release for a day, so it is for those who may deploy.
func (s *Server) preview(_ context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body whyBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	id, err := aplomb.ParseReleaseID(r.PathValue("release"))
	if err != nil {
		return nil, aplomb.NewError(aplomb.CodeRequest, "No link made", err.Error(), "aplomb releases")
	}
	return s.manager.Preview(r.ask(body.Why), r.site, id)
}

// previewRel is the relation under which an upload's early answer names the link to its release.
const previewRel = `>; rel="preview"`

// earlyPreview sends a link ahead of the answer, as an early hint: the release is sealed, and its visitors are next.
func earlyPreview(w http.ResponseWriter) func(release.Preview) {
	return func(p release.Preview) {
		w.Header().Set("Link", "<"+p.URL+previewRel)
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
	}
}

// Preview makes a link to a release.
func (c *Client) Preview(ctx context.Context, site aplomb.SiteName, id aplomb.ReleaseID) (release.Preview, error) {
	return post[release.Preview](ctx, c, sitePath(site, "/releases/"+string(id)+"/preview"), whyBody{})
}

// SealTelling is Seal, and calls sealed with a link to the release as soon as there is one, before its visitors get it.
func (c *Client) SealTelling(ctx context.Context, upload string, sealed func(url string)) (release.Deployed, error) {
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		link, ok := strings.CutSuffix(h.Get("Link"), previewRel)
		if code == http.StatusEarlyHints && ok && strings.HasPrefix(link, "<") {
			sealed(link[1:])
		}
		return nil
	}}
	return c.Seal(httptrace.WithClientTrace(ctx, trace), upload)
}
