package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"aplomb"
	"aplomb/release"
)

// actTimeout bounds an act. It is generous: only an act that hangs meets it.
const actTimeout = 15 * time.Minute

// act makes an act of a handler: it runs detached from its request, so that a client that goes away never stops it
// half-way, and once per Idempotency-Key, so that a request sent twice acts once.
func (s *Server) act(do func(ctx context.Context, w http.ResponseWriter, r *request) (any, error)) func(http.ResponseWriter, *request) (any, error) {
	return func(w http.ResponseWriter, r *request) (any, error) {
		key := r.Header.Get("Idempotency-Key")
		if len(key) > maxKey {
			return nil, aplomb.NewError(aplomb.CodeRequest, "The request was not looked at",
				fmt.Sprintf("its Idempotency-Key is longer than %d bytes", maxKey), "aplomb version")
		}
		if key != "" {
			key = r.caller.id + " " + r.caller.name + " " + r.Method + " " + r.URL.Path + " " + key
		}
		return s.acts.once(r.Context(), key, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTimeout)
			defer cancel()
			return do(ctx, w, r)
		})
	}
}

// maxKey bounds an Idempotency-Key.
const maxKey = 128

// maxActs bounds how many answers are remembered.
const maxActs = 1000

// acts remembers the answers of acts by their keys. They are forgotten when the process ends: after a crash a client asks for
// the status, it does not repeat.
type acts struct {
	mu    sync.Mutex
	byKey map[string]*outcome
	order []string // keys, oldest first
}

type outcome struct {
	done   chan struct{} // closed when answer and err are set
	answer any
	err    error
}

func newActs() *acts { return &acts{byKey: map[string]*outcome{}} }

// once runs do unless an act with the same key was begun before, in which case it waits for that one's answer. An empty key
// always runs do.
func (a *acts) once(ctx context.Context, key string, do func() (any, error)) (any, error) {
	if key == "" {
		return do()
	}
	a.mu.Lock()
	o, begun := a.byKey[key]
	if !begun {
		o = &outcome{done: make(chan struct{}), err: fmt.Errorf("the act did not return")}
		a.byKey[key] = o
		if a.order = append(a.order, key); len(a.order) > maxActs {
			delete(a.byKey, a.order[0])
			a.order = a.order[1:]
		}
	}
	a.mu.Unlock()
	if !begun {
		defer close(o.done)
		o.answer, o.err = do()
		return o.answer, o.err
	}
	select {
	case <-o.done:
		return o.answer, o.err
	case <-ctx.Done():
		return nil, aplomb.NewError(aplomb.CodeCut, "The answer was not waited for", "the request was ended by its sender",
			"aplomb status").Because(ctx.Err())
	}
}

// The bodies of acts. Each names what its act needs and nothing else, so that an argument an act does not know is
// refused, not overlooked.
type (
	whyBody struct {
		Why string `json:"why,omitempty"`
	}
	releaseBody struct {
		Release aplomb.ReleaseID `json:"release"`
		Why     string           `json:"why,omitempty"`
	}
	noteBody struct {
		Release aplomb.ReleaseID `json:"release,omitempty"`
		Why     string           `json:"why"`
	}
	undoBody struct {
		Act int64  `json:"act,omitempty"`
		Why string `json:"why,omitempty"`
	}
)

func (s *Server) promote(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	body, err := decodeRelease(w, r)
	if err != nil {
		return nil, err
	}
	if err := s.checkPromote(ctx, r, body.Release); err != nil {
		return nil, err
	}
	return s.manager.Promote(ctx, r.ask(body.Why), r.site, body.Release)
}

// checkPromote asks for more than the right to deploy where a release was withdrawn: whoever may only deploy does not undo what
// took it back.
func (s *Server) checkPromote(ctx context.Context, r *request, id aplomb.ReleaseID) error {
	if r.caller.scope.Has(aplomb.ScopeRollback) {
		return nil
	}
	releases, err := s.manager.Releases(ctx, r.site)
	if err != nil {
		return err
	}
	for _, rel := range releases {
		if rel.ID == id && rel.State == aplomb.Bad {
			return lacksScope(r.caller, aplomb.ScopeRollback)
		}
	}
	return nil
}

func (s *Server) rollback(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body whyBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	return s.manager.Rollback(ctx, r.ask(body.Why), r.site)
}

func (s *Server) undo(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body undoBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	return s.manager.Undo(ctx, r.ask(body.Why), r.site, body.Act)
}

func (s *Server) retire(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	body, err := decodeRelease(w, r)
	if err != nil {
		return nil, err
	}
	return s.manager.Retire(ctx, r.ask(body.Why), r.site, body.Release)
}

func (s *Server) note(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body noteBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	if body.Release != "" {
		if err := checkRelease(body.Release); err != nil {
			return nil, err
		}
	}
	return s.manager.Note(ctx, r.ask(body.Why), r.site, body.Release)
}

func (s *Server) recover(ctx context.Context, w http.ResponseWriter, r *request) (any, error) {
	var body whyBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return nil, err
	}
	return s.manager.Recover(ctx, r.ask(body.Why), r.site)
}

// ask says who asks, and why.
func (r *request) ask(why string) release.Ask { return release.Ask{Actor: r.caller.name, Why: why} }

func decodeRelease(w http.ResponseWriter, r *request) (releaseBody, error) {
	var body releaseBody
	if err := decode(w, r, maxBody, &body); err != nil {
		return body, err
	}
	return body, checkRelease(body.Release)
}

func checkRelease(id aplomb.ReleaseID) error {
	if _, err := aplomb.ParseReleaseID(string(id)); err != nil {
		return aplomb.NewError(aplomb.CodeUsage, "No release can have that name", err.Error(), "aplomb releases")
	}
	return nil
}
