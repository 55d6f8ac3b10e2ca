package edge

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"aplomb"
)

const previewKey = "a key for tests"

// previewed is an edge with r1 live and r2 kept, and a clock that tests move.
type previewed struct {
	e   *Edge
	now time.Time
}

func newPreviewed(t *testing.T) *previewed {
	w := newWorld(t)
	p := &previewed{now: time.Unix(1_800_000_000, 0)}
	e, err := Open(w.lg, Config{StateDir: t.TempDir(), Blobs: w.blobs, PreviewKey: []byte(previewKey)})
	if err != nil {
		t.Fatal(err)
	}
	e.table.Load().previews.now = func() time.Time { return p.now }
	one := w.release(1, content{"/index.html": "<p>one", "/assets/a-1.js": "1"})
	two := w.release(2, content{"/index.html": "<p>two", "/assets/b-2.js": "2", "/sw.js": "w"})
	w.perform(e, intent(route(1, one, two)))
	p.e = e
	return p
}

// link is the target of a link to a release of the site.
func (p *previewed) ticket(change ...func(*aplomb.PreviewTicket)) string {
	ticket := aplomb.PreviewTicket{Site: "shop", Release: "r2", Until: p.now.Add(aplomb.PreviewFor)}
	for _, f := range change {
		f(&ticket)
	}
	return aplomb.SignPreview([]byte(previewKey), ticket)
}

func (p *previewed) ask(method, host, target, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://"+host+target, strings.NewReader(body))
	r.RequestURI = target
	r.Header.Set("Sec-Fetch-Dest", "document")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	p.e.ServeHTTP(rec, r)
	return rec.Result()
}

const previewHost = "r2.preview.shop.localhost"

// cookie exchanges a ticket for a cookie, as the form does.
func (p *previewed) cookie(t *testing.T, host, ticket string) (*http.Cookie, int) {
	t.Helper()
	a := p.ask("POST", host, aplomb.PreviewPath, url.Values{"ticket": {ticket}}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", "http://"+host)
	if len(a.Cookies()) == 0 {
		return nil, a.StatusCode
	}
	return a.Cookies()[0], a.StatusCode
}

func TestPreviewIsServedToWhoeverHasTheLink(t *testing.T) {
	t.Parallel()
	p := newPreviewed(t)
	ticket := p.ticket()
	form := p.ask("GET", previewHost, aplomb.PreviewPath+"?ticket="+ticket, "")
	if page := bodyOf(t, form); form.StatusCode != 200 || !strings.Contains(page, ticket) || len(form.Cookies()) != 0 {
		t.Errorf("the link answers %d %s, cookies %v; want a form that has done nothing yet", form.StatusCode, page, form.Cookies())
	}
	for range 2 { // a link works again
		c, status := p.cookie(t, previewHost, ticket)
		if status != 303 || c == nil || !c.HttpOnly || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			t.Fatalf("the form answers %d, cookie %+v", status, c)
		}
		for target, want := range map[string]string{"/": "<p>two", "/assets/b-2.js": "2", "/assets/a-1.js": "1", "/sw.js": "w"} {
			a := p.ask("GET", previewHost, target, "", "Cookie", c.Name+"="+c.Value)
			if got := bodyOf(t, a); a.StatusCode != 200 || got != want {
				t.Errorf("%s: %d %q, want %q", target, a.StatusCode, got, want)
			}
			private(t, a)
		}
	}
	if live := p.ask("GET", shopHost, "/", ""); bodyOf(t, live) != "<p>one" || live.Header.Get("X-Robots-Tag") != "" {
		t.Errorf("the live site: %v", live.Header)
	}
}

// private fails unless an answer stays with whoever asked.
func private(t *testing.T, a *http.Response) {
	t.Helper()
	if got := a.Header; got.Get("Cache-Control") != "private, no-store" || got.Get("X-Robots-Tag") != "noindex, nofollow" || got.Get("Referrer-Policy") != "no-referrer" || got.Get(cdnCacheControl) != "no-store" {
		t.Errorf("headers %v, want private ones", got)
	}
}

func TestPreviewIsRefusedToEverybodyElse(t *testing.T) {
	t.Parallel()
	p := newPreviewed(t)
	good := p.ticket()
	for name, ticket := range map[string]string{
		"none": "", "altered": good[:len(good)-2], "another release": p.ticket(func(t *aplomb.PreviewTicket) { t.Release = "r1" }),
		"another site": p.ticket(func(t *aplomb.PreviewTicket) { t.Site = "blog" }), "over": p.ticket(func(t *aplomb.PreviewTicket) { t.Until = p.now }),
		"revoked":            p.ticket(func(t *aplomb.PreviewTicket) { t.Serial = -1 }),
		"of another machine": aplomb.SignPreview([]byte("another key"), aplomb.PreviewTicket{Site: "shop", Release: "r2", Until: p.now.Add(time.Hour)}),
	} {
		if c, status := p.cookie(t, previewHost, ticket); status != 403 || c != nil {
			t.Errorf("%s: the form answers %d, cookie %v", name, status, c)
		}
		for _, cookie := range []string{previewCookie, securePreviewCookie} {
			a := p.ask("GET", previewHost, "/", "", "Cookie", cookie+"="+ticket)
			if body := bodyOf(t, a); a.StatusCode != 401 || strings.Contains(body, "two") {
				t.Errorf("%s: %d %q", name, a.StatusCode, body)
			}
			private(t, a)
		}
	}
	for name, a := range map[string]*http.Response{
		"a release that is not kept": p.ask("GET", "r9.preview.shop.localhost", aplomb.PreviewPath+"?ticket="+good, ""),
		"the live host":              p.ask("GET", shopHost, aplomb.PreviewPath+"?ticket="+good, ""),
		"no release":                 p.ask("GET", "preview.shop.localhost", aplomb.PreviewPath+"?ticket="+good, ""),
	} {
		if a.StatusCode != 421 && a.StatusCode != 404 {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	other := p.ask("POST", previewHost, aplomb.PreviewPath, url.Values{"ticket": {good}}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", "http://evil.test")
	if other.StatusCode != 403 || len(other.Cookies()) != 0 {
		t.Errorf("another site's form: %d, cookies %v", other.StatusCode, other.Cookies())
	}
}
