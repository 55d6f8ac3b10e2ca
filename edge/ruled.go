package edge

import (
	"net"
	"net/http"
	"strconv"

	"aplomb"
)

// siteRules are what a site's owner set that comes before whatever its releases hold. nil means nothing of that kind.
type siteRules struct {
	redirectTo map[aplomb.Host]aplomb.Host
	offline    *aplomb.Offline
	gone       map[string]bool
}

func newSiteRules(s aplomb.Site) *siteRules {
	if len(s.RedirectTo) == 0 && s.Offline == nil && len(s.Gone) == 0 {
		return nil
	}
	r := &siteRules{redirectTo: s.RedirectTo, offline: s.Offline, gone: make(map[string]bool, len(s.Gone))}
	for _, path := range s.Gone {
		r.gone[path] = true
	}
	return r
}

// answerByRule answers where a rule of the site's owner decides. What a person made forgotten is gone even while the site is
// offline; what open pages still load of hashed files they get.
func (t *Table) answerByRule(w http.ResponseWriter, r *http.Request, s *site, host aplomb.Host) bool {
	if to, ok := s.rules.redirectTo[host]; ok {
		t.out.sendMoved(w, answer{status: http.StatusPermanentRedirect, to: atHost(r, to)})
		return true
	}
	if s.rules.gone[r.URL.Path] {
		t.out.refuse(w, r, host, gone)
		return true
	}
	if s.rules.offline == nil || s.union.hashed(r.URL.Path) {
		return false
	}
	t.out.sendOffline(w, r, host, s)
	return true
}

// atHost returns the request's URL under another host, with the scheme and port it came by.
func atHost(r *http.Request, to aplomb.Host) string {
	scheme, host := "http", string(to)
	if r.TLS != nil {
		scheme = "https"
	}
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" {
		host += ":" + port
	}
	target := r.URL.EscapedPath()
	if target == "" || target[0] != '/' || len(target) > 1 && target[1] == '/' {
		target = "/" // never somebody else's host
	}
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	return scheme + "://" + host + target
}

// offlinePages are where a release may have a maintenance page of its own.
var offlinePages = [...]string{"/503.html", "/offline.html", "/maintenance.html"}

// offlineText is the maintenance page where the release has none.
const offlineText = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Back soon</title>` +
	`<style>:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto;padding:0 1rem}</style>` +
	`<h1>Back soon</h1><p>This site is being worked on. Please try again in a few minutes.</p>`

// sendOffline says that the site is offline: with a page to whoever may get one.
func (o *sender) sendOffline(w http.ResponseWriter, r *http.Request, host aplomb.Host, s *site) {
	h := w.Header()
	setHeaders(h, policies[aplomb.KindMissing])
	h["Retry-After"] = []string{strconv.Itoa(s.rules.offline.RetryAfter)}
	if !mayGetPage(r) {
		o.refuse(w, r, host, offline)
		return
	}
	if s.live != nil {
		for _, path := range offlinePages {
			e := s.live.files[path]
			if e == nil || e.kind != aplomb.KindDocument {
				continue
			}
			b, ok := o.open(r, e, parseAccepted(r.Header["Accept-Encoding"]))
			if !ok {
				break
			}
			defer b.close()
			setType(h, e)
			setCoding(h, e, b.coding)
			h["Content-Length"] = b.length
			w.WriteHeader(http.StatusServiceUnavailable)
			if r.Method != http.MethodHead {
				o.write(w, r, host, b, 0, b.size)
			}
			o.report(w, r, host, http.StatusServiceUnavailable, CauseOffline)
			return
		}
	}
	h["Content-Type"] = []string{"text/html; charset=utf-8"}
	h["Content-Length"] = []string{strconv.Itoa(len(offlineText))}
	w.WriteHeader(http.StatusServiceUnavailable)
	if r.Method != http.MethodHead {
		writeString(w, offlineText)
	}
	o.report(w, r, host, http.StatusServiceUnavailable, CauseOffline)
}
