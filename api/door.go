package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"aplomb"
)

const (
	// maxRequests and maxFollowers bound what runs at once for TCP. Followers are counted apart: they stay for hours
	// and must not keep a rollback out.
	maxRequests  = 64
	maxFollowers = 128
)

// throughSocket lets in processes of the server's own user, and root's. The kernel says whose they are.
func (s *Server) throughSocket(next http.Handler) http.Handler {
	return s.gate(next, func(r *http.Request) (caller, *aplomb.Error) {
		p, ok := r.Context().Value(peerKey{}).(peer)
		switch {
		case !ok || p.err != nil:
			s.lg.Error("the socket's peer is not known", "err", p.err)
			return caller{}, aplomb.NewError(aplomb.CodeForbidden, "Not allowed",
				"the system did not say which user asks", "aplomb status --api ADDRESS")
		case p.uid != s.uid && p.uid != 0:
			return caller{}, aplomb.NewError(aplomb.CodeForbidden, "Not allowed",
				fmt.Sprintf("this server belongs to user %d; the request came from user %d", s.uid, p.uid),
				"run the command as the user that runs aplomb up")
		}
		return ownUser(r, p.uid, doorSocket), nil
	})
}

// throughTCP lets in requests for one of this server's own names that carry a token.
func (s *Server) throughTCP(at net.Addr, next http.Handler) http.Handler {
	names := ownNames(s.cfg.Listen, at)
	requests, followers := make(chan struct{}, maxRequests), make(chan struct{}, maxFollowers)
	return s.gate(limited(s, requests, followers, next), func(r *http.Request) (caller, *aplomb.Error) {
		if !names[strings.ToLower(r.Host)] {
			return caller{}, aplomb.NewError(aplomb.CodeHostName, "The request was not looked at",
				fmt.Sprintf("the API does not answer under the name %.80q", r.Host), "call it as "+reachable(at.String()))
		}
		return s.withToken(r)
	})
}

// withToken returns who a request's token lets in: the machine's own user by the token that up wrote, or the bearer of one that
// was given away.
func (s *Server) withToken(r *http.Request) (caller, *aplomb.Error) {
	c, refusal := s.tokenCaller(r)
	if refusal == nil || refusal.Code != aplomb.CodeDenied {
		return c, refusal
	}
	switch n := s.attempts.failed(r.RemoteAddr, s.cfg.Now()); {
	case n <= maxAttempts:
		return caller{}, refusal
	case n == maxAttempts+1:
		s.lg.Warn("more attempts with wrong tokens are not logged one by one", "remote", r.RemoteAddr, "most", maxAttempts, "in", attemptsIn)
	}
	return caller{}, aplomb.NewError(aplomb.CodeAttempts, "The request was not looked at",
		fmt.Sprintf("%d requests from this address were not let in within a minute", maxAttempts),
		"wait a minute, then look at the token: aplomb whoami")
}

func (s *Server) tokenCaller(r *http.Request) (caller, *aplomb.Error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return caller{}, denied("the API's TCP address asks for a token, and none came")
	}
	if strings.HasPrefix(token, tokenMark) {
		k, refusal := s.grants.find(token)
		if refusal != nil {
			return caller{}, refusal
		}
		return bearer(k.Grant), nil
	}
	// Sums are compared, so that neither the token's length nor its first wrong byte shows in the time it takes.
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], s.token[:]) != 1 {
		return caller{}, denied("it is not the token that aplomb up wrote for its own user, which is made anew at each start")
	}
	return ownUser(r, s.uid, doorTCP), nil
}

// gate is what both doors share: headers that keep answers out of browsers and caches, no request that a foreign page
// made, and then the door's own check.
func (s *Server) gate(next http.Handler, let func(*http.Request) (caller, *aplomb.Error)) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if r.Body != http.NoBody {
			limitRest(w) // until a handler wants it
		}
		c, refusal := let(r)
		if cross.Check(r) != nil || fromElsewhere(r) {
			refusal = aplomb.NewError(aplomb.CodeForbidden, "The request was not looked at",
				"a page of another site made it", "aplomb status")
		}
		if refusal != nil {
			if refusal.Code != aplomb.CodeAttempts {
				s.lg.Warn("the API refused a request", "code", refusal.Code, "why", refusal.Why, "remote", r.RemoteAddr)
			}
			writeProblem(w, refusal.With(refused))
			return
		}
		r, done := s.whileGranted(withCaller(r, c), c)
		defer done()
		next.ServeHTTP(w, r)
	})
}

// whileGranted ends what is streamed to a token's bearer when the token is revoked.
func (s *Server) whileGranted(r *http.Request, c caller) (*http.Request, func()) {
	k := (*s.grants.table.Load())[c.id]
	if k == nil {
		return r, func() {}
	}
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(k.life, cancel)
	return r.WithContext(ctx), func() { stop(); cancel() }
}

// fromElsewhere reports whether a browser says that a page of another origin made the request, whatever its method.
func fromElsewhere(r *http.Request) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return true
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	return false
}

// limited answers at most so many requests at once, and says so to the others.
func limited(s *Server, requests, followers chan struct{}, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slots := requests
		if r.URL.Query().Get("follow") == "1" {
			slots = followers
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			s.lg.Warn("the API has too many requests at once", "most", cap(slots))
			writeProblem(w, aplomb.NewError(aplomb.CodeBusy, "The request was not looked at",
				fmt.Sprintf("%d requests are being answered over TCP", cap(slots)),
				"try again in a moment; the socket has no such limit").With(refused))
		}
	})
}

// ownNames lists the Host values under which the door at an address answers: loopback and the configured name, each with
// the door's port. Any other name means that somebody's DNS points here.
func ownNames(listen string, at net.Addr) map[string]bool {
	_, port, _ := net.SplitHostPort(at.String())
	configured, _, _ := net.SplitHostPort(listen)
	names := map[string]bool{}
	for _, host := range []string{"127.0.0.1", "::1", "localhost", strings.ToLower(configured)} {
		if host == "" {
			continue
		}
		names[net.JoinHostPort(host, port)] = true
		if port == "80" {
			names[strings.TrimSuffix(net.JoinHostPort(host, port), ":80")] = true
		}
	}
	return names
}

func listenTCP(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, cannotListen(addr, err)
	}
	return l, nil
}

// loopbackOnly reports whether only processes of this machine reach an address.
func loopbackOnly(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
