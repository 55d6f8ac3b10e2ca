package edge

import (
	"html"
	"io"
	"net/http"
	"strconv"
	"time"

	"aplomb"
)

// previewCookie holds a preview's ticket. It is bound to the one host, and over TLS its name says so.
const (
	previewCookie       = "aplomb_preview"
	securePreviewCookie = "__Host-aplomb_preview"
)

// maxPreviewForm bounds the body of the form that exchanges a link for a cookie.
const maxPreviewForm = 4 << 10

// previews answers for the hosts under which single releases are looked at before, or after, visitors get them.
type previews struct {
	key   []byte
	now   func() time.Time
	shelf *shelf
	hosts map[aplomb.Host]*site // by the part of the host after the release's name
}

// find returns the site and the release of a preview's host.
func (p *previews) find(host aplomb.Host) (*site, aplomb.KeptRelease, bool) {
	if p == nil || len(p.key) == 0 {
		return nil, aplomb.KeptRelease{}, false
	}
	id, rest, ok := aplomb.SplitPreviewHost(host)
	if !ok || p.hosts[rest] == nil {
		return nil, aplomb.KeptRelease{}, false
	}
	s := p.hosts[rest]
	kept, ok := s.route.Find(id)
	return s, kept, ok
}

// allows reports whether a signed ticket is for this release of the site, and still good.
func (p *previews) allows(s *site, kept aplomb.KeptRelease, signed string) (aplomb.PreviewTicket, bool) {
	t, err := aplomb.OpenPreview(p.key, signed, p.now())
	return t, err == nil && t.Site == s.route.Site.Name && t.Release == kept.ID && t.Serial == s.route.Site.PreviewSerial
}

// servePreview answers on a preview's host, if the request's is one. What it answers is nobody's but the asker's: not
// stored, not indexed, not named to other sites.
func (t *Table) servePreview(w http.ResponseWriter, r *http.Request) bool {
	host, err := aplomb.ParseHost(r.Host)
	if err != nil {
		return false
	}
	s, kept, ok := t.previews.find(host)
	if !ok {
		return false
	}
	as := &site{route: s.route, union: s.union, rules: goneOnly(s.rules)}
	as.route.Live = kept.ID
	answeredBy(w, as, host)
	w = &privateWriter{ResponseWriter: w}
	if r.URL.Path == aplomb.PreviewPath {
		t.enterPreview(w, r, s, kept)
		return true
	}
	for _, c := range r.Cookies() {
		if c.Name != previewCookie && c.Name != securePreviewCookie {
			continue
		}
		if _, ok := t.previews.allows(s, kept, c.Value); ok {
			t.answerPreview(w, r, host, as, near(s))
			return true
		}
	}
	sayPreview(w, r, http.StatusUnauthorized, "This preview is private", "Open it with its link. A link is good for a day; aplomb preview "+string(kept.ID)+" prints a new one.", "")
	return true
}

// enterPreview shows the form of a link, and takes it back: following a link alone, as scanners of mail do, changes
// nothing.
func (t *Table) enterPreview(w http.ResponseWriter, r *http.Request, s *site, kept aplomb.KeptRelease) {
	signed := r.URL.Query().Get("ticket")
	if r.Method == http.MethodPost {
		if http.NewCrossOriginProtection().Check(r) != nil {
			sayPreview(w, r, http.StatusForbidden, "Not from here", "Another site asked for this preview.", "")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxPreviewForm)
		signed = r.PostFormValue("ticket")
	}
	ticket, ok := t.previews.allows(s, kept, signed)
	switch {
	case !ok:
		sayPreview(w, r, http.StatusForbidden, "This link is not good any more", "It was good for a day, or was revoked. aplomb preview "+string(kept.ID)+" prints a new one.", "")
	case r.Method != http.MethodPost:
		sayPreview(w, r, http.StatusOK, string(kept.ID)+" of "+string(s.route.Site.Name), "A preview, for you alone.", signed)
	default:
		c := &http.Cookie{Name: previewCookie, Value: signed, Path: "/", Expires: ticket.Until, HttpOnly: true, SameSite: http.SameSiteLaxMode}
		if r.TLS != nil {
			c.Name, c.Secure = securePreviewCookie, true
		}
		http.SetCookie(w, c)
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusSeeOther)
	}
}

// answerPreview serves the release as if it were live.
func (t *Table) answerPreview(w http.ResponseWriter, r *http.Request, host aplomb.Host, as *site, near []*fileTable) {
	kept, _ := as.route.Find(as.route.Live)
	if _, as.live, as.unreadable = t.previews.shelf.load(kept.Manifest, true, near); as.unreadable != nil {
		as.live = nil
	} else {
		as.apps = t.apps.routes(as.route.Site, as.live.app)
	}
	t.answer(w, r, as, host)
}

// goneOnly is what of a site's rules binds its previews too.
func goneOnly(r *siteRules) *siteRules {
	if r == nil || len(r.gone) == 0 {
		return nil
	}
	return &siteRules{gone: r.gone}
}

func near(s *site) []*fileTable {
	if s.live == nil {
		return nil
	}
	return []*fileTable{s.live}
}

// sayPreview answers with a page of its own: a sentence, and the form where there is a ticket to send.
func sayPreview(w http.ResponseWriter, r *http.Request, status int, title, text, ticket string) {
	form := ""
	if ticket != "" {
		form = `<form method="post" action="` + aplomb.PreviewPath + `"><input type="hidden" name="ticket" value="` + html.EscapeString(ticket) + `"><button autofocus>Open the preview</button></form>`
	}
	page := `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>` + html.EscapeString(title) +
		`</title><style>:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto;padding:0 1rem}button{font:inherit;padding:.5em 1em}</style><h1>` +
		html.EscapeString(title) + `</h1><p>` + html.EscapeString(text) + `</p>` + form
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		writeString(w, page)
	}
}

// privateWriter makes every answer one that nobody else gets to see, whatever it says of itself.
type privateWriter struct {
	http.ResponseWriter
	begun bool
}

// Unwrap lets http.ResponseController reach what is below.
func (p *privateWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader sends the header with the fields that keep it private.
func (p *privateWriter) WriteHeader(status int) {
	if !p.begun && status >= 200 {
		p.begun = true
		h := p.Header()
		h[cacheControl], h[cdnCacheControl] = []string{"private, no-store"}, noStore
		h["X-Robots-Tag"] = []string{"noindex, nofollow"}
		h["Referrer-Policy"] = []string{"no-referrer"}
	}
	p.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the body.
func (p *privateWriter) Write(b []byte) (int, error) {
	if !p.begun {
		p.WriteHeader(http.StatusOK)
	}
	return p.ResponseWriter.Write(b)
}

// ReadFrom keeps the short way from a file to the connection.
func (p *privateWriter) ReadFrom(r io.Reader) (int64, error) {
	if !p.begun {
		p.WriteHeader(http.StatusOK)
	}
	return io.Copy(p.ResponseWriter, r)
}

// with returns the previews of a table in which one site is replaced. A host that two sites claim stays with the first.
func (p *previews) with(s *site) *previews {
	if p == nil {
		return nil
	}
	next := &previews{key: p.key, now: p.now, shelf: p.shelf, hosts: make(map[aplomb.Host]*site, len(p.hosts)+1)}
	for host, other := range p.hosts {
		if other.route.Site.Name != s.route.Site.Name {
			next.hosts[host] = other
		}
	}
	for _, host := range s.route.Site.PreviewHosts() {
		if next.hosts[host] == nil {
			next.hosts[host] = s
		}
	}
	return next
}
