package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aplomb"
	"aplomb/release"
)

// TokenAsk asks for a token.
type TokenAsk struct {
	Name   string          `json:"name"`
	Scopes aplomb.Scope    `json:"scopes"`
	Site   aplomb.SiteName `json:"site,omitempty"`
	// Seconds is how long it opens what it opens; 0 for until it is revoked.
	Seconds int64  `json:"seconds,omitempty"`
	Why     string `json:"why,omitempty"`
}

// Granted is a token that was just made. It is shown this once.
type Granted struct {
	Grant
	Token string `json:"token"`
}

func (s *Server) tokenList(_ http.ResponseWriter, r *request) (any, error) {
	return s.grants.list(r.URL.Query().Get("all") == "1"), nil
}

// addToken is no act: the answers of acts are remembered, and this one must not be.
func (s *Server) addToken(w http.ResponseWriter, r *request) (any, error) {
	var ask TokenAsk
	if err := decode(w, r, maxBody, &ask); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTimeout)
	defer cancel()
	if err := s.checkAsk(ctx, ask); err != nil {
		return nil, err
	}
	now := s.cfg.Now().UTC().Truncate(time.Second)
	g := Grant{Name: ask.Name, Scopes: ask.Scopes.Whole(), Site: ask.Site, Created: now, By: r.caller.name}
	if ask.Seconds > 0 {
		g.Expires = now.Add(time.Duration(ask.Seconds) * time.Second)
	}
	g, t, err := s.grants.add(g)
	if err != nil {
		return nil, err
	}
	s.audit(ctx, r, "added", g, ask.Why)
	return Granted{g, string(t)}, nil
}

// maxTokenYears bounds how long a token may be asked for; one without an end is asked for as such.
const maxTokenYears = 100

// checkAsk refuses what makes no sense, and a token for deploying that is not bound to one site that exists.
func (s *Server) checkAsk(ctx context.Context, ask TokenAsk) error {
	refuse := func(why, do string) error {
		return aplomb.NewError(aplomb.CodeTokenAsked, "Token not made", why, do).With(refused)
	}
	example := "aplomb token add ci --scope deploy --site shop --expires 90d"
	switch {
	case !tokenName(ask.Name):
		return refuse(fmt.Sprintf("%.80q is no name for one: want 1 to 40 of a-z, A-Z, 0-9 and, inside, . _ -", ask.Name), example)
	case ask.Scopes == 0:
		return refuse("it is not said what it is for: the scopes are "+strings.Join(aplomb.ScopeNames(), ", "), example)
	case ask.Seconds < 0 || ask.Seconds > maxTokenYears*366*24*3600:
		return refuse("the time until it expires is not one", example)
	case ask.Site == "" && ask.Scopes.Has(aplomb.ScopeDeploy) && !ask.Scopes.Has(aplomb.ScopeAdmin):
		return refuse("a token that deploys is for one site", example)
	case ask.Site == "":
		return nil
	}
	if _, err := aplomb.ParseSiteName(string(ask.Site)); err != nil {
		return refuse(err.Error(), "aplomb sites")
	}
	_, err := s.manager.Status(ctx, ask.Site)
	return err
}

// tokenName reports whether a token can be called so.
func tokenName(name string) bool {
	if name == "" || len(name) > 40 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("._-", c) >= 0 && i > 0 && i < len(name)-1:
		default:
			return false
		}
	}
	return true
}

func (s *Server) revokeToken(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body whyBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	name := r.PathValue("token")
	revoked, err := s.grants.revoke(r.caller.name, func(g Grant) bool { return g.Name == name })
	for _, g := range revoked {
		s.audit(ctx, r, "revoked", g, body.Why)
	}
	switch {
	case err != nil:
		return nil, err
	case len(revoked) == 0:
		return nil, aplomb.NewError(aplomb.CodeNoToken, "Nothing revoked", fmt.Sprintf("no token is called %.80q", name), "aplomb token list")
	}
	return revoked[0], nil
}

// revokeOf revokes the tokens of a site that has ended: whoever gets its name next did not give them.
func (s *Server) revokeOf(ctx context.Context, r *request, site aplomb.SiteName) {
	revoked, err := s.grants.revoke(r.caller.name, func(g Grant) bool { return g.Site == site })
	for _, g := range revoked {
		s.audit(ctx, r, "revoked", g, "the site was removed")
	}
	if err != nil {
		s.lg.Error("tokens of a removed site not revoked for good", "site", site, "err", err)
	}
}

// auditName is the file in the data folder that says who gave and revoked which token. It is only ever appended to.
const auditName = "tokens.log"

type auditLine struct {
	At    time.Time `json:"at"`
	Act   string    `json:"act"`
	Actor string    `json:"actor"`
	Why   string    `json:"why,omitempty"`
	Token Grant     `json:"token"`
}

// audit says in the server's log, in the file, and on the timeline of its site, that a token was added or revoked. It has
// happened: what cannot be written is said in the log.
func (s *Server) audit(ctx context.Context, r *request, act string, g Grant, why string) {
	s.lg.Info("token "+act, "token", g.Name, "id", g.ID, "scopes", g.Scopes.String(), "site", g.Site, "expires", g.Expires, "actor", r.caller.name, "why", why)
	line, err := json.Marshal(auditLine{s.cfg.Now().UTC(), act, r.caller.name, why, g})
	if err == nil {
		err = writeSynced(filepath.Join(s.cfg.Dir, auditName), os.O_APPEND, append(line, '\n'))
	}
	if err != nil {
		s.lg.Error("a token's line is not in the file", "token", g.Name, "act", act, "err", err)
	}
	if g.Site == "" {
		return
	}
	text := fmt.Sprintf("token %s %s (%s)", g.Name, act, g.Scopes)
	if !g.Expires.IsZero() && act == "added" {
		text += ", expires " + dateText(g.Expires)
	}
	if why != "" {
		text += ": " + why
	}
	_, err = s.manager.Note(ctx, release.Ask{Actor: r.caller.name, Why: text}, g.Site, "")
	if err != nil && !errors.Is(err, aplomb.ErrNotFound) { // a removed site has no timeline
		s.lg.Warn("a token's note is not on the timeline", "token", g.Name, "site", g.Site, "err", err)
	}
}

// Tokens lists the server's tokens; the revoked ones, too, where asked to.
func (c *Client) Tokens(ctx context.Context, revoked bool) ([]Grant, error) {
	path := "/v1/tokens"
	if revoked {
		path += "?all=1"
	}
	return get[[]Grant](ctx, c, path)
}

// AddToken makes a token.
func (c *Client) AddToken(ctx context.Context, ask TokenAsk) (Granted, error) {
	return post[Granted](ctx, c, "/v1/tokens", ask)
}

// RevokeToken ends a token at once.
func (c *Client) RevokeToken(ctx context.Context, why, name string) (Grant, error) {
	return send[Grant](ctx, c, "DELETE", "/v1/tokens/"+url.PathEscape(name), whyBody{why})
}
