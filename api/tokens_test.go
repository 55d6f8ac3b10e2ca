package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aplomb"
)

// scopeTable is the contract: what each address needs. A route that is not here fails the tests.
var scopeTable = map[string]aplomb.Scope{
	"GET /v1/health":                                   aplomb.ScopeRead,
	"GET /v1/whoami":                                   aplomb.ScopeRead,
	"GET /metrics":                                     aplomb.ScopeRead,
	"GET /v1/log-level":                                aplomb.ScopeRead,
	"GET /v1/sites":                                    aplomb.ScopeRead,
	"GET /v1/sites/{site}":                             aplomb.ScopeRead,
	"GET /v1/sites/{site}/releases":                    aplomb.ScopeRead,
	"GET /v1/sites/{site}/facts":                       aplomb.ScopeRead,
	"GET /v1/sites/{site}/rules":                       aplomb.ScopeRead,
	"GET /v1/sites/{site}/usage":                       aplomb.ScopeRead,
	"GET /v1/verify":                                   aplomb.ScopeRead,
	"POST /v1/sites/{site}/uploads":                    aplomb.ScopeDeploy,
	"PUT /v1/uploads/{upload}/blobs":                   aplomb.ScopeDeploy,
	"POST /v1/uploads/{upload}/seal":                   aplomb.ScopeDeploy,
	"DELETE /v1/uploads/{upload}":                      aplomb.ScopeDeploy,
	"POST /v1/sites/{site}/promote":                    aplomb.ScopeDeploy,
	"POST /v1/sites/{site}/note":                       aplomb.ScopeDeploy,
	"POST /v1/sites/{site}/releases/{release}/preview": aplomb.ScopeDeploy,
	"POST /v1/sites/{site}/rollback":                   aplomb.ScopeRollback,
	"POST /v1/sites/{site}/undo":                       aplomb.ScopeRollback,
	"POST /v1/sites/{site}/retire":                     aplomb.ScopeRollback,
	"POST /v1/sites/{site}/offline":                    aplomb.ScopeRollback,
	"POST /v1/sites/{site}/online":                     aplomb.ScopeRollback,
	"PUT /v1/log-level":                                aplomb.ScopeAdmin,
	"POST /v1/sites/{site}/recover":                    aplomb.ScopeAdmin,
	"POST /v1/sites/{site}":                            aplomb.ScopeAdmin,
	"DELETE /v1/sites/{site}":                          aplomb.ScopeAdmin,
	"POST /v1/sites/{site}/rules":                      aplomb.ScopeAdmin,
	"POST /v1/sites/{site}/forget":                     aplomb.ScopeAdmin,
	"POST /v1/collect":                                 aplomb.ScopeAdmin,
	"GET /v1/backup":                                   aplomb.ScopeAdmin,
	"GET /v1/tokens":                                   aplomb.ScopeAdmin,
	"POST /v1/tokens":                                  aplomb.ScopeAdmin,
	"DELETE /v1/tokens/{token}":                        aplomb.ScopeAdmin,
}

// forOneSite are the addresses about the whole server that a token of one site may ask; they answer with that site alone.
var forOneSite = []string{"GET /v1/health", "GET /v1/whoami", "GET /v1/sites", "GET /v1/verify"}

func TestEveryRouteHasTheScopeOfTheContract(t *testing.T) {
	t.Parallel()
	s, _ := bareServer(t, Config{})
	seen := map[string]bool{}
	for _, rt := range s.routes() {
		name := rt.method + " " + rt.pattern
		seen[name] = true
		if bits.OnesCount8(uint8(rt.scope)) != 1 || !aplomb.ScopeAll.Has(rt.scope) {
			t.Errorf("%s has the scope %q, want one", name, rt.scope)
		}
		if want, listed := scopeTable[name]; !listed || rt.scope != want {
			t.Errorf("%s has the scope %q, want %q (listed: %t)", name, rt.scope, want, listed)
		}
	}
	for name := range scopeTable {
		if !seen[name] {
			t.Errorf("%s is in the contract and not in the API", name)
		}
	}
}

// give makes a token past the checks of its route.
func (h *house) give(t testing.TB, g Grant) Token {
	t.Helper()
	g.By, g.Created = "mia", time.Now()
	if g.Scopes == 0 {
		g.Scopes = aplomb.ScopeAll
	}
	_, token, err := h.s.grants.add(g)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// bearer is a client that comes with a token.
func (h *house) bearer(t testing.TB, token Token) *Client {
	return h.dial(t, Endpoint{API: h.s.Endpoint().API, Token: token})
}

// askRoute asks for a route, for the site shop, with a token, under a Host.
func (h *house) askRoute(t testing.TB, rt route, token Token, host string) *http.Response {
	t.Helper()
	path := strings.NewReplacer("{site}", "shop", "{upload}", "none", "{release}", "r1", "{token}", "none").Replace(rt.pattern)
	req, err := http.NewRequestWithContext(t.Context(), rt.method, "http://"+h.s.Endpoint().API+path, strings.NewReader(exampleBody(rt)))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	req.Header.Set("Authorization", "Bearer "+string(token))
	req.Header.Set("Content-Type", rt.media)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestEveryRouteByEveryToken asks for every route with a token of every scope: for the route's site, for another one, for all.
func TestEveryRouteByEveryToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	n := 0
	for _, scope := range []aplomb.Scope{aplomb.ScopeRead, aplomb.ScopeDeploy, aplomb.ScopeApprove, aplomb.ScopeRollback, aplomb.ScopeAdmin} {
		for _, site := range []aplomb.SiteName{"", "shop", "blog"} {
			token := h.give(t, Grant{Name: fmt.Sprintf("t-%s-%s-x", scope, site), Scopes: scope.Whole(), Site: site})
			for _, rt := range h.s.routes() {
				n++
				name := rt.method + " " + rt.pattern
				resp := h.askRoute(t, rt, token, h.s.Endpoint().API)
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if got, want := resp.StatusCode != 403 && resp.StatusCode != 401, mayAsk(name, scope, site); got != want {
					t.Errorf("%s with %s for %q: %d, let in = %t, want %t: %s", name, scope, site, resp.StatusCode, got, want, body)
				}
				if resp.StatusCode == 403 {
					checkRefusal(t, name, scope, site, body)
				}
			}
		}
	}
	if n < 15*len(scopeTable) {
		t.Errorf("%d requests, want every route by every token", n)
	}
}

// mayAsk is the contract in a few words, apart from the code.
func mayAsk(name string, has aplomb.Scope, site aplomb.SiteName) bool {
	need := scopeTable[name]
	if has != need && has != aplomb.ScopeAdmin && need != aplomb.ScopeRead {
		return false
	}
	switch {
	case site == "", strings.Contains(name, "{upload}"):
		return true // an upload that is not known is gone, whoever asks
	case !strings.Contains(name, "{site}"):
		return strings.Contains(strings.Join(forOneSite, "\n")+"\n", name+"\n")
	}
	return site == "shop" && name != "POST /v1/sites/{site}"
}

func checkRefusal(t *testing.T, name string, has aplomb.Scope, site aplomb.SiteName, body []byte) {
	t.Helper()
	p := parseProblem(t, body)
	if p.Code != aplomb.CodeForbidden || p.Production != refused || !strings.Contains(p.Do, "aplomb ") {
		t.Errorf("%s with %s for %q: %s", name, has, site, body)
	}
	if need := scopeTable[name]; !has.Whole().Has(need) && (!strings.Contains(p.Why, "scope "+need.String()) || !strings.Contains(p.Do, "--scope "+need.String())) {
		t.Errorf("%s with %s does not name the scope that is missing: %s", name, has, body)
	}
	if site == "blog" && strings.Contains(string(body), "live since") {
		t.Errorf("%s tells a token of another site what is live: %s", name, body)
	}
}

func TestTokensThatEndedOpenNothingAndSayWhy(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	expired := h.give(t, Grant{Name: "old", Expires: time.Now().Add(-time.Second)})
	revoked := h.give(t, Grant{Name: "leaked"})
	if _, err := h.socket(t).RevokeToken(t.Context(), "it was in a log", "leaked"); err != nil {
		t.Fatal(err)
	}
	for _, rt := range h.s.routes() {
		for token, why := range map[Token]string{expired: "the token old has expired on ", revoked: "the token leaked was revoked by "} {
			resp := h.askRoute(t, rt, token, h.s.Endpoint().API)
			if p := checkProblem(t, resp, 401, aplomb.CodeTokenEnded); !strings.Contains(p.Why, why) {
				t.Errorf("%s %s: why = %q, want %q", rt.method, rt.pattern, p.Why, why)
			}
			if !strings.Contains(resp.Header.Get("WWW-Authenticate"), "invalid_token") {
				t.Errorf("WWW-Authenticate = %q", resp.Header.Get("WWW-Authenticate"))
			}
		}
	}
	// Who only knows the name of a token is not told what became of it.
	id, _, _ := ParseToken(string(revoked))
	_, other := mintToken()
	body := tokenMark + id + string(other)[len(tokenMark)+tokenIDLen:tokenLen-checksumLen]
	_, err := h.bearer(t, Token(body+checksum(body))).Health(t.Context())
	if e := whole(t, err, aplomb.CodeDenied); strings.Contains(e.Why, "revoked") {
		t.Errorf("a guess was told %q", e.Why)
	}
}

func TestStolenTokenIsOfNoUseUnderAnotherName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token := h.give(t, Grant{Name: "admin"})
	for _, rt := range h.s.routes() {
		checkProblem(t, h.askRoute(t, rt, token, "evil.example"), 421, aplomb.CodeHostName)
	}
	if g := h.s.grants.list(false); !g[0].LastUsed.IsZero() {
		t.Errorf("the token counts as used: %+v", g)
	}
}

// twoSites has the sites shop and blog, one release each.
func twoSites(t *testing.T) *house {
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	if _, err := h.socket(t).AddSite(t.Context(), "", "blog", []string{"blog.localhost"}); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestTokenOfOneSiteSeesNoOther(t *testing.T) {
	t.Parallel()
	h := twoSites(t)
	c := h.bearer(t, h.give(t, Grant{Name: "ci", Scopes: aplomb.ScopeDeploy.Whole(), Site: "blog"}))
	if sites, err := c.Sites(t.Context()); err != nil || len(sites) != 1 || sites[0].Site != "blog" {
		t.Errorf("sites = %+v, %v, want blog alone", sites, err)
	}
	if v, err := c.Verify(t.Context()); err != nil || len(v) != 1 || v[0].Site != "blog" {
		t.Errorf("verify = %+v, %v, want blog alone", v, err)
	}
	if health, err := c.Health(t.Context()); err != nil || health.Sites != 1 {
		t.Errorf("health = %+v, %v, want one site", health, err)
	}
	_, there := c.Status(t.Context(), "shop")
	_, notThere := c.Status(t.Context(), "attic")
	a, b := whole(t, there, aplomb.CodeForbidden), whole(t, notThere, aplomb.CodeForbidden)
	if strings.ReplaceAll(a.Do, "shop", "x") != strings.ReplaceAll(b.Do, "attic", "x") || a.Why != b.Why || a.Production != b.Production {
		t.Errorf("whether a site exists is told: %+v, %+v", a, b)
	}
	// An upload is its site's: its name alone opens nothing.
	up, err := h.socket(t).Begin(t.Context(), "", listing(page("two")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Send(t.Context(), up.ID, stream(t, page("two"), up.Missing))
	whole(t, err, aplomb.CodeForbidden)
	_, err = c.Seal(t.Context(), up.ID)
	whole(t, err, aplomb.CodeForbidden)
	whole(t, c.Abandon(t.Context(), up.ID, ""), aplomb.CodeForbidden)
}

func TestTokenThatDeploysCreatesNoSite(t *testing.T) {
	t.Parallel()
	h := twoSites(t)
	for name, g := range map[string]Grant{
		"its own site, which has gone": {Name: "one", Scopes: aplomb.ScopeDeploy.Whole(), Site: "attic"},
		"all sites":                    {Name: "two", Scopes: aplomb.ScopeDeploy.Whole()},
		"admin of one site":            {Name: "three", Scopes: aplomb.ScopeAll, Site: "attic"},
	} {
		req := listing(page("one"))
		req.Site, req.Hosts = "attic", []string{"attic.localhost"}
		_, err := h.bearer(t, h.give(t, g)).Begin(t.Context(), "", req)
		if e := whole(t, err, aplomb.CodeForbidden); !strings.Contains(e.Why, "creates none") {
			t.Errorf("%s: %+v", name, e)
		}
		if _, err := h.socket(t).Status(t.Context(), "attic"); !isKind(err, aplomb.ErrNotFound) {
			t.Errorf("%s: the site is there (%v)", name, err)
		}
	}
	// Its own site's hosts may be named; others not.
	c := h.bearer(t, h.give(t, Grant{Name: "four", Scopes: aplomb.ScopeDeploy.Whole(), Site: "shop"}))
	if d := deploy(t, c, page("two")); d.Release != "r2" || d.State != aplomb.Live {
		t.Errorf("deploy = %+v", d)
	}
	req := listing(page("three"))
	req.Hosts = []string{"other.localhost"}
	_, err := c.Begin(t.Context(), "", req)
	whole(t, err, aplomb.CodeHosts)
}

func TestWithdrawnReleaseNeedsTheScopeThatTakesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	deploy(t, h.socket(t), page("two"))
	if _, err := h.socket(t).Rollback(t.Context(), "", "shop"); err != nil {
		t.Fatal(err)
	}
	ci := h.bearer(t, h.give(t, Grant{Name: "ci", Scopes: aplomb.ScopeDeploy.Whole(), Site: "shop"}))
	_, err := ci.Promote(t.Context(), "I know better", "shop", "r2")
	if e := whole(t, err, aplomb.CodeForbidden); !strings.Contains(e.Why, "scope rollback") {
		t.Errorf("promote of a bad release = %+v", e)
	}
	both := h.bearer(t, h.give(t, Grant{Name: "zoe", Scopes: (aplomb.ScopeDeploy | aplomb.ScopeRollback).Whole(), Site: "shop"}))
	_, err = both.Promote(t.Context(), "", "shop", "r2")
	whole(t, err, aplomb.CodeReason) // a reason is needed all the same
	if d, err := both.Promote(t.Context(), "it was the cache", "shop", "r2"); err != nil || d.State != aplomb.Live {
		t.Errorf("promote = %+v, %v", d, err)
	}
}

func TestTokenChoosesNoName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	c := h.bearer(t, h.give(t, Grant{Name: "ci", Scopes: aplomb.ScopeDeploy.Whole(), Site: "shop"}))
	c.Actor = "mia"
	if f, err := c.Note(t.Context(), "hello", "shop", ""); err != nil || f.Actor != "ci@token" {
		t.Errorf("note = %+v, %v, want it by ci@token", f, err)
	}
	own := h.socket(t)
	own.Actor = "ci@token"
	if f, err := own.Note(t.Context(), "hello", "shop", ""); err != nil || f.Actor != userName(os.Getuid()) {
		t.Errorf("note = %+v, %v, want it by this user: only tokens are named so", f, err)
	}
	who, err := c.Whoami(t.Context())
	if err != nil || who.Actor != "ci@token" || who.Token != "ci" || who.Site != "shop" || who.Door != "tcp" || who.Server.Version != "1.2.3" || who.Server.Dir == "" {
		t.Errorf("whoami = %+v, %v", who, err)
	}
}

func TestTokensAreAskedForSensibly(t *testing.T) {
	t.Parallel()
	h := twoSites(t)
	c := h.socket(t)
	for name, ask := range map[string]TokenAsk{
		"no name":           {Scopes: aplomb.ScopeRead},
		"a bad name":        {Name: "ci ", Scopes: aplomb.ScopeRead},
		"a name of a mail":  {Name: "ci@token", Scopes: aplomb.ScopeRead},
		"a long name":       {Name: strings.Repeat("x", 41), Scopes: aplomb.ScopeRead},
		"no scope":          {Name: "ci"},
		"deploys anywhere":  {Name: "ci", Scopes: aplomb.ScopeDeploy},
		"an end before now": {Name: "ci", Scopes: aplomb.ScopeRead, Seconds: -1},
		"an end too far":    {Name: "ci", Scopes: aplomb.ScopeRead, Seconds: 1 << 60},
		"a bad site":        {Name: "ci", Scopes: aplomb.ScopeDeploy, Site: "No Site"},
	} {
		if _, err := c.AddToken(t.Context(), ask); !isCode(err, aplomb.CodeTokenAsked) {
			t.Errorf("%s: %v, want %s", name, err, aplomb.CodeTokenAsked)
		}
	}
	if _, err := c.AddToken(t.Context(), TokenAsk{Name: "ci", Scopes: aplomb.ScopeDeploy, Site: "attic"}); !isCode(err, aplomb.CodeNoSite) {
		t.Errorf("for a site that is not there: %v", err)
	}
	g, err := c.AddToken(t.Context(), TokenAsk{Name: "ci", Scopes: aplomb.ScopeDeploy, Site: "shop", Seconds: 60, Why: "for the pipeline"})
	if err != nil || g.Scopes != aplomb.ScopeRead|aplomb.ScopeDeploy || g.Expires.Sub(g.Created) != time.Minute {
		t.Fatalf("add = %+v, %v", g, err)
	}
	if strings.Contains(h.log.String(), g.Token) {
		t.Error("the token is in the log")
	}
	audit, err := os.ReadFile(filepath.Join(h.s.cfg.Dir, auditName))
	if err != nil || !strings.Contains(string(audit), `"act":"added"`) || strings.Contains(string(audit), g.Token) {
		t.Errorf("the audit file = %s, %v", audit, err)
	}
	found := false
	for f, err := range c.Facts(t.Context(), "shop", 0, false) {
		found = found || err == nil && f.Kind == aplomb.FactNote && strings.Contains(f.Why, "token ci added (read,deploy)")
	}
	if !found {
		t.Error("the site's timeline does not say that a token was given for it")
	}
}

func TestTokensOfARemovedSiteEndWithIt(t *testing.T) {
	t.Parallel()
	h := twoSites(t)
	c := h.bearer(t, h.give(t, Grant{Name: "ci", Scopes: aplomb.ScopeDeploy.Whole(), Site: "blog"}))
	if _, err := h.socket(t).RemoveSite(t.Context(), "", "blog", "blog"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.socket(t).AddSite(t.Context(), "", "blog", []string{"blog.localhost"}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Status(t.Context(), "blog")
	whole(t, err, aplomb.CodeTokenEnded)
}

func TestRevocationEndsWhatIsStreamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	token := h.give(t, Grant{Name: "watcher", Scopes: aplomb.ScopeRead, Site: "shop"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+h.s.Endpoint().API+"/v1/sites/shop/facts?follow=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := h.socket(t).RevokeToken(t.Context(), "", "watcher"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(lines); ctx.Err() != nil { // a follower's stream ends only when it is ended
		t.Errorf("the stream went on after the token was revoked: %v", err)
	}
}

func TestWrongTokensAreAnsweredInShortAfterAWhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	right := h.give(t, Grant{Name: "oncall", Scopes: aplomb.ScopeRollback.Whole()})
	for range maxAttempts {
		_, wrong := mintToken()
		_, err := h.bearer(t, wrong).Health(t.Context())
		whole(t, err, aplomb.CodeDenied)
	}
	before := len(h.log.String())
	for range 5 {
		resp := h.askRoute(t, h.s.routes()[0], "aplomb_x", h.s.Endpoint().API)
		retry := resp.Header.Get("Retry-After")
		if checkProblem(t, resp, 429, aplomb.CodeAttempts); retry != "60" {
			t.Errorf("Retry-After = %q", retry)
		}
	}
	if said := h.log.String()[before:]; strings.Count(said, "\n") != 1 {
		t.Errorf("the log says of five more attempts:\n%s", said)
	}
	if _, err := h.bearer(t, right).Health(t.Context()); err != nil {
		t.Errorf("a right token beside the guesses: %v", err)
	}
	if _, err := h.tcp(t).Health(t.Context()); err != nil {
		t.Errorf("the machine's own token beside the guesses: %v", err)
	}
}

func TestAnswersOfActsAreTheirBearersAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	deploy(t, h.socket(t), page("one"))
	facts := map[string]bool{}
	for _, name := range []string{"one", "two"} {
		token := h.give(t, Grant{Name: name, Scopes: aplomb.ScopeDeploy.Whole(), Site: "shop"})
		for range 2 {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+h.s.Endpoint().API+"/v1/sites/shop/note", strings.NewReader(`{"why":"x"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"Authorization": {"Bearer " + string(token)}, "Content-Type": {jsonType}, "Idempotency-Key": {"same"}}
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if !strings.Contains(string(body), name+"@token") {
				t.Errorf("%s was answered %s", name, body)
			}
			facts[string(body)] = true
		}
	}
	if len(facts) != 2 {
		t.Errorf("%d answers, want one a token: %v", len(facts), facts)
	}
}
