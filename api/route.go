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

// Scope is a set of what a caller may do.
type Scope uint8

// The scopes. Reading is in none of the others.
const (
	ScopeRead Scope = 1 << iota
	ScopeDeploy
	ScopeRollback
	ScopeAdmin

	// ScopeAll is what the machine's own user has.
	ScopeAll = ScopeRead | ScopeDeploy | ScopeRollback | ScopeAdmin
)

// String names the scope as tokens and documents do.
func (s Scope) String() string {
	var names []string
	for i, name := range []string{"read", "deploy", "rollback", "admin"} {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// The content types of writes. Neither can be sent by a form.
const (
	jsonType  = "application/json"
	blobsType = "application/vnd.aplomb.blobs"
)

// route is one address of the API. Its handler returns the answer, which is sent as JSON, or nil when it has written it itself.
type route struct {
	method, pattern string
	scope           Scope
	media           string // what a write must be sent as
	handle          func(w http.ResponseWriter, r *request) (any, error)
}

// routes is the whole API.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/v1/health", ScopeRead, "", s.health},
		{"GET", "/metrics", ScopeRead, "", s.metrics},
		{"GET", "/v1/log-level", ScopeRead, "", s.level},
		{"PUT", "/v1/log-level", ScopeAdmin, jsonType, s.act(s.setLevel)},
		{"GET", "/v1/sites", ScopeRead, "", s.sites},
		{"GET", "/v1/sites/{site}", ScopeRead, "", s.siteStatus},
		{"GET", "/v1/sites/{site}/releases", ScopeRead, "", s.releases},
		{"GET", "/v1/sites/{site}/facts", ScopeRead, "", s.facts},
		{"GET", "/v1/verify", ScopeRead, "", s.verify},
		{"POST", "/v1/sites/{site}/uploads", ScopeDeploy, jsonType, s.begin},
		{"PUT", "/v1/uploads/{upload}/blobs", ScopeDeploy, blobsType, s.receive},
		{"POST", "/v1/uploads/{upload}/seal", ScopeDeploy, jsonType, s.act(s.seal)},
		{"DELETE", "/v1/uploads/{upload}", ScopeDeploy, jsonType, s.act(s.abandon)},
		{"POST", "/v1/sites/{site}/promote", ScopeDeploy, jsonType, s.act(s.promote)},
		{"POST", "/v1/sites/{site}/rollback", ScopeRollback, jsonType, s.act(s.rollback)},
		{"POST", "/v1/sites/{site}/undo", ScopeRollback, jsonType, s.act(s.undo)},
		{"POST", "/v1/sites/{site}/retire", ScopeRollback, jsonType, s.act(s.retire)},
		{"POST", "/v1/sites/{site}/note", ScopeDeploy, jsonType, s.act(s.note)},
		{"POST", "/v1/sites/{site}/releases/{release}/preview", ScopeDeploy, jsonType, s.act(s.preview)},
		{"POST", "/v1/sites/{site}/recover", ScopeAdmin, jsonType, s.act(s.recover)},
		{"POST", "/v1/sites/{site}", ScopeAdmin, jsonType, s.act(s.addSite)},
		{"DELETE", "/v1/sites/{site}", ScopeAdmin, jsonType, s.act(s.removeSite)},
		{"GET", "/v1/sites/{site}/rules", ScopeRead, "", s.rules},
		{"POST", "/v1/sites/{site}/rules", ScopeAdmin, jsonType, s.act(s.setRules)},
		{"POST", "/v1/sites/{site}/offline", ScopeRollback, jsonType, s.act(s.offline)},
		{"POST", "/v1/sites/{site}/online", ScopeRollback, jsonType, s.act(s.online)},
		{"POST", "/v1/sites/{site}/forget", ScopeAdmin, jsonType, s.act(s.forget)},
		{"GET", "/v1/sites/{site}/usage", ScopeRead, "", s.usage},
		{"POST", "/v1/collect", ScopeAdmin, jsonType, s.act(s.collect)},
		{"GET", "/v1/backup", ScopeAdmin, "", s.backup},
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
	if r.caller.scope&rt.scope == 0 {
		return aplomb.NewError(aplomb.CodeForbidden, "Not allowed",
			fmt.Sprintf("this needs the scope %s; %s has %s", rt.scope, r.caller.name, r.caller.scope), "aplomb status").With(refused)
	}
	if rt.media != "" {
		if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != rt.media {
			return aplomb.NewError(aplomb.CodeMedia, "The request was not looked at",
				fmt.Sprintf("its Content-Type is %.80q", r.Header.Get("Content-Type")), "send it as "+rt.media).With(refused)
		}
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
	return nil
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
