package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"aplomb"
)

const problemType = "application/problem+json"

// problem is an error as it travels: RFC 9457, with the five parts of aplomb.Error as members.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	aplomb.Error
}

func newProblem(e *aplomb.Error) problem {
	return problem{
		Type:   "urn:aplomb:error:" + string(e.Code),
		Title:  aplomb.Codes[e.Code].Title,
		Status: status(e),
		Detail: e.What + ": " + e.Why,
		Error:  *e,
	}
}

// error returns what the problem says. A code that this program does not know keeps the kind its status tells.
func (p problem) error() *aplomb.Error {
	e := p.Error
	if _, known := aplomb.Codes[e.Code]; !known {
		return e.Because(kindOf(p.Status))
	}
	return &e
}

// fail answers a request with an error.
func (s *Server) fail(w http.ResponseWriter, r *request, err error) {
	writeProblem(w, s.tell(r, err))
}

// tell makes an error fit for people: all five parts, the last of them what production is now. An error that was not meant
// for people is our bug: its text goes to the log alone, under the request's ID.
func (s *Server) tell(r *request, err error) *aplomb.Error {
	e, told := errors.AsType[*aplomb.Error](err)
	if !told || e.Code == aplomb.CodeInternal {
		s.lg.Error("a request failed", "request", r.id, "method", r.Method, "path", r.URL.Path, "err", err)
		bug := aplomb.NewError(aplomb.CodeInternal, "The server could not do this",
			"something in Aplomb went wrong; its log has the details under request "+r.id,
			"aplomb status")
		if told {
			bug.Production = e.Production
		}
		e = bug
	}
	if e.Production == "" {
		e = e.With(s.production(r))
	}
	return e
}

func writeProblem(w http.ResponseWriter, e *aplomb.Error) {
	body, err := json.Marshal(newProblem(e))
	if err != nil {
		body = []byte(`{}`) // strings alone: cannot happen
	}
	limitWrite(w)
	h := w.Header()
	h.Set("Content-Type", problemType)
	switch e.Code {
	case aplomb.CodeDenied:
		h.Set("WWW-Authenticate", `Bearer realm="aplomb"`)
	case aplomb.CodeTokenEnded:
		h.Set("WWW-Authenticate", `Bearer realm="aplomb", error="invalid_token"`)
	case aplomb.CodeBusy:
		h.Set("Retry-After", "1")
	case aplomb.CodeAttempts:
		h.Set("Retry-After", strconv.Itoa(int(attemptsIn/time.Second)))
	}
	w.WriteHeader(status(e))
	w.Write(append(body, '\n'))
}

// refused is what production is for a request that was refused before it was looked at.
const refused = "Production is unchanged: this request did nothing."

// production says what production is after a request failed. It asks what is live now; a release that became live only
// after the request began is never called unchanged.
func (s *Server) production(r *request) string {
	if r.site == "" {
		return refused
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 2*time.Second)
	defer cancel()
	st, err := s.manager.Status(ctx, r.site)
	switch {
	case errors.Is(err, aplomb.ErrNotFound):
		return fmt.Sprintf("Production is unchanged: there is no site %s.", r.site)
	case err != nil:
		s.lg.Error("no status after a failed request", "request", r.id, "site", r.site, "err", err)
		return fmt.Sprintf("Production: not known from here; ask with aplomb status --site %s.", r.site)
	}
	return st.Production(r.began, s.cfg.Now())
}
