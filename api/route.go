package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"aplomb"
)

// The content types of writes. Neither can be sent by a form.
const (
	jsonType  = "application/json"
	blobsType = "application/vnd.aplomb.blobs"
)

// route is one address of the API. Its handler returns the answer, which is sent as JSON, or nil when it has written it itself.
type route struct {
	method, pattern string
	scope           aplomb.Scope
	media           string // what a write must be sent as
	handle          func(w http.ResponseWriter, r *request) (any, error)
}

// routes is the whole API.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/v1/health", aplomb.ScopeRead, "", s.health},
		{"GET", "/v1/whoami", aplomb.ScopeRead, "", s.whoami},
		{"GET", "/v1/tokens", aplomb.ScopeAdmin, "", s.tokenList},
		{"POST", "/v1/tokens", aplomb.ScopeAdmin, jsonType, s.addToken},
		{"DELETE", "/v1/tokens/{token}", aplomb.ScopeAdmin, jsonType, s.act(s.revokeToken)},
		{"GET", "/metrics", aplomb.ScopeRead, "", s.metrics},
		{"GET", "/v1/log-level", aplomb.ScopeRead, "", s.level},
		{"PUT", "/v1/log-level", aplomb.ScopeAdmin, jsonType, s.act(s.setLevel)},
		{"GET", "/v1/sites", aplomb.ScopeRead, "", s.sites},
		{"GET", "/v1/sites/{site}", aplomb.ScopeRead, "", s.siteStatus},
		{"GET", "/v1/sites/{site}/releases", aplomb.ScopeRead, "", s.releases},
		{"GET", "/v1/sites/{site}/facts", aplomb.ScopeRead, "", s.facts},
		{"GET", "/v1/verify", aplomb.ScopeRead, "", s.verify},
		{"POST", "/v1/sites/{site}/uploads", aplomb.ScopeDeploy, jsonType, s.begin},
		{"PUT", "/v1/uploads/{upload}/blobs", aplomb.ScopeDeploy, blobsType, s.receive},
		{"POST", "/v1/uploads/{upload}/seal", aplomb.ScopeDeploy, jsonType, s.act(s.seal)},
		{"DELETE", "/v1/uploads/{upload}", aplomb.ScopeDeploy, jsonType, s.act(s.abandon)},
		{"POST", "/v1/sites/{site}/promote", aplomb.ScopeDeploy, jsonType, s.act(s.promote)},
		{"POST", "/v1/sites/{site}/rollback", aplomb.ScopeRollback, jsonType, s.act(s.rollback)},
		{"POST", "/v1/sites/{site}/undo", aplomb.ScopeRollback, jsonType, s.act(s.undo)},
		{"POST", "/v1/sites/{site}/retire", aplomb.ScopeRollback, jsonType, s.act(s.retire)},
		{"POST", "/v1/sites/{site}/note", aplomb.ScopeDeploy, jsonType, s.act(s.note)},
		{"POST", "/v1/sites/{site}/releases/{release}/preview", aplomb.ScopeDeploy, jsonType, s.act(s.preview)},
		{"POST", "/v1/sites/{site}/recover", aplomb.ScopeAdmin, jsonType, s.act(s.recover)},
		{"POST", "/v1/sites/{site}", aplomb.ScopeAdmin, jsonType, s.act(s.addSite)},
		{"DELETE", "/v1/sites/{site}", aplomb.ScopeAdmin, jsonType, s.act(s.removeSite)},
		{"GET", "/v1/sites/{site}/rules", aplomb.ScopeRead, "", s.rules},
		{"POST", "/v1/sites/{site}/rules", aplomb.ScopeAdmin, jsonType, s.act(s.setRules)},
		{"POST", "/v1/sites/{site}/offline", aplomb.ScopeRollback, jsonType, s.act(s.offline)},
		{"POST", "/v1/sites/{site}/online", aplomb.ScopeRollback, jsonType, s.act(s.online)},
		{"POST", "/v1/sites/{site}/forget", aplomb.ScopeAdmin, jsonType, s.act(s.forget)},
		{"GET", "/v1/sites/{site}/usage", aplomb.ScopeRead, "", s.usage},
		{"POST", "/v1/collect", aplomb.ScopeAdmin, jsonType, s.act(s.collect)},
		{"GET", "/v1/backup", aplomb.ScopeAdmin, "", s.backup},
	}
}

// request is an HTTP request with what the way in found out about it.
type request struct {
	*http.Request
	id     string
	began  time.Time
	caller caller
	site   aplomb.SiteName // "" where none is concerned, or none is known
}

// handler answers every request that passed a door: the routes, and a problem for everything else.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		mux.Handle(rt.method+" "+rt.pattern, s.serve(rt))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern == "" {
			s.fail(w, s.newRequest(r), noRoute(w, mux, r))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// noRoute says that there is nothing at an address, or what else can be done there.
func noRoute(w http.ResponseWriter, mux *http.ServeMux, r *http.Request) error {
	var allowed []string
	for _, m := range []string{"GET", "POST", "PUT", "DELETE"} {
		probe := &http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(probe); pattern != "" {
			allowed = append(allowed, m)
		}
	}
	if allowed == nil {
		return aplomb.NewError(aplomb.CodeRoute, fmt.Sprintf("Nothing answers at %.200q", r.URL.Path),
			"this server's API has no such address", "aplomb version")
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return aplomb.NewError(aplomb.CodeMethod, fmt.Sprintf("%.20s is not possible at %.200q", r.Method, r.URL.Path),
		"this address answers "+strings.Join(allowed, ", "), "aplomb version")
}

func (s *Server) newRequest(r *http.Request) *request {
	var id [6]byte
	rand.Read(id[:])
	return &request{Request: r, id: hex.EncodeToString(id[:]), began: s.cfg.Now(), caller: callerOf(r.Context())}
}

// serve answers one route.
func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := s.newRequest(hr)
		defer s.caught(w, r)
		if err := s.admit(rt, r); err != nil {
			s.fail(w, r, err)
			return
		}
		answer, err := rt.handle(w, r)
		switch {
		case err != nil:
			s.fail(w, r, err)
		case answer != nil:
			writeJSON(w, answer)
		}
	})
}

// caught turns a bug into an answer that says what production is.
func (s *Server) caught(w http.ResponseWriter, r *request) {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		s.lg.Error("a handler panicked", "request", r.id, "panic", p, "stack", string(debug.Stack()))
		s.fail(w, r, fmt.Errorf("panic: %v", p))
	}
}

// admit checks a request against its route, and finds the site it is about.
func (s *Server) admit(rt route, r *request) error {
	if !r.caller.scope.Has(rt.scope) {
		return lacksScope(r.caller, rt.scope)
	}
	if name := r.PathValue("site"); name != "" {
		site, err := aplomb.ParseSiteName(name)
		if err != nil {
			return aplomb.NewError(aplomb.CodeUsage, "No site can have that name", err.Error(), "aplomb status").With(refused)
		}
		r.site = site
	}
	if id := r.PathValue("upload"); id != "" {
		r.site = s.uploads.site(id)
	}
	if err := rt.checkSite(r); err != nil {
		return err
	}
	if rt.media != "" {
		if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != rt.media {
			return aplomb.NewError(aplomb.CodeMedia, "The request was not looked at",
				fmt.Sprintf("its Content-Type is %.80q", r.Header.Get("Content-Type")), "send it as "+rt.media).With(refused)
		}
	}
	return nil
}

// narrows reports whether a route about the whole server leaves out what a caller of one site must not see.
func (rt route) narrows() bool {
	switch rt.method + " " + rt.pattern {
	case "GET /v1/health", "GET /v1/whoami", "GET /v1/sites", "GET /v1/verify":
		return true
	}
	return false
}

// creates reports whether a route makes a site.
func (rt route) creates() bool { return rt.method+" "+rt.pattern == "POST /v1/sites/{site}" }

// checkSite keeps a caller of one site to it. Whether another site exists is not told.
func (rt route) checkSite(r *request) error {
	bound := r.caller.site
	switch {
	case bound == "":
		return nil
	case strings.Contains(rt.pattern, "{upload}") && r.site == "":
		return aplomb.NewError(aplomb.CodeUploadGone, "the upload cannot go on", "it was sealed, given up, or lost in a restart",
			"aplomb deploy again: what has arrived is not sent twice").With(refused)
	case r.site == bound && !rt.creates(), r.site == "" && rt.narrows():
		return nil
	case r.site == bound:
		return forbidden(fmt.Sprintf("%s is for the site %s and creates none; aplomb site add needs the scope admin for all sites", r.caller.name, bound),
			"ask whoever runs aplomb up: aplomb site add "+string(bound)+" --host HOST")
	case r.site == "":
		return forbidden(fmt.Sprintf("this is about the whole server; %s is for the site %s", r.caller.name, bound),
			fmt.Sprintf("ask whoever runs aplomb up: aplomb token add NAME --scope %s", rt.scope))
	}
	return forbidden(fmt.Sprintf("%s is for the site %s", r.caller.name, bound),
		fmt.Sprintf("ask whoever runs aplomb up: aplomb token add NAME --scope %s --site %s", rt.scope, r.site))
}

func forbidden(why, do string) error {
	return aplomb.NewError(aplomb.CodeForbidden, "Not allowed", why, do).With(refused)
}

// lacksScope says which scope a caller would need, and who can give it.
func lacksScope(c caller, need aplomb.Scope) error {
	site := ""
	if c.site != "" && need != aplomb.ScopeAdmin {
		site = " --site " + string(c.site)
	}
	has := c.scope.String()
	if has == "" {
		has = "none"
	}
	return forbidden(fmt.Sprintf("this needs the scope %s; %s has %s", need, c.name, has),
		fmt.Sprintf("ask whoever runs aplomb up, or has the scope admin: aplomb token add NAME --scope %s%s", need, site))
}

func writeJSON(w http.ResponseWriter, answer any) {
	limitWrite(w)
	w.Header().Set("Content-Type", jsonType)
	json.NewEncoder(w).Encode(answer) // an error is the client gone: there is nobody left to tell
}

// limitWrite bounds what is written next. The deadline of an earlier answer on the connection ends with it.
func limitWrite(w http.ResponseWriter) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
}

// limitRest bounds how long net/http waits for what a handler left of a body, which it reads before the next request.
func limitRest(w http.ResponseWriter) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(restTimeout))
}

// maxBody bounds the JSON of an act.
const maxBody = 64 << 10

// decode reads a JSON body of at most max bytes into v: one value, no unknown fields, nothing after it. An empty body
// leaves v as it is, so that an act without arguments needs none.
func decode(w http.ResponseWriter, r *request, max int64, v any) error {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	stop := context.AfterFunc(r.Context(), func() { rc.SetReadDeadline(time.Unix(1, 0)) })
	err := decodeStrictly(http.MaxBytesReader(w, r.Body, max), v)
	stop()
	if err == nil {
		rc.SetReadDeadline(time.Time{}) // the body is whole; a deadline would end the request while its act runs
		return nil
	}
	limitRest(w)
	if big, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return aplomb.NewError(aplomb.CodeLimit, "The request is too large",
			fmt.Sprintf("its body is larger than %d bytes", big.Limit), "send less at once")
	}
	if r.Context().Err() != nil {
		return aplomb.NewError(aplomb.CodeCut, "The request did not arrive whole",
			"its sender or this server ended it", "send it again").Because(err)
	}
	return aplomb.NewError(aplomb.CodeRequest, "The request cannot be read", strings.TrimPrefix(err.Error(), "json: "),
		"aplomb version").Because(err)
}

func decodeStrictly(body io.Reader, v any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	switch err := d.Decode(v); err {
	case nil:
	case io.EOF:
		return nil
	default:
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more after the JSON value")
	}
	return nil
}
