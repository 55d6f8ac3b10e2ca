// Package api is the HTTP API of an Aplomb server: its two doors, its handlers and the Go client, side by side. It decides
// nothing about releases: every act is one call of release.Manager, and every failure says what production is now.
package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"aplomb/release"
)

// Config is what a Server needs to know.
type Config struct {
	// Dir is the data folder. The socket is Dir/api.sock.
	Dir string
	// Listen is the TCP address, such as "127.0.0.1:9400"; "" leaves the socket as the only door.
	Listen string
	// Version is the program's version, as health tells it.
	Version string
	// Metrics answers GET /metrics; nil where nothing is counted.
	Metrics http.Handler
	// Level is how much the log says; nil where that does not change.
	Level *slog.LevelVar
	// Backup makes a backup ready; nil where there is no ledger to back up.
	Backup func(ctx context.Context, ask BackupAsk) (Backup, error)
	// Now is the clock.
	Now func() time.Time
}

// Server answers the API on a unix socket and, where asked to, on TCP.
type Server struct {
	lg       *slog.Logger
	manager  *release.Manager
	cfg      Config
	uid      int // whose processes may use the socket, root's apart
	started  time.Time
	places   places
	acts     *acts
	uploads  *uploads
	grants   *grants
	attempts *attempts

	// set by Open; where doors were shut Run adds them
	token    [sha256.Size]byte // the sha-256 of the token that TCP asks for
	doors    []door
	shut     []func() (door, error) // doors that could not be opened yet; Run's alone once it runs
	mu       sync.Mutex             // guards endpoint
	endpoint Endpoint
	files    []string // where the endpoint is written down
	unread   error    // why the tokens cannot be read

	missing atomic.Pointer[[]error] // replaced as a whole: whoever asks never waits for a door
}

// door is a listener with the gates that every request through it passes.
type door struct {
	listener net.Listener
	handler  http.Handler
	close    func()
}

// New returns a server that listens to nothing until Open.
func New(lg *slog.Logger, m *release.Manager, c Config) *Server {
	return &Server{
		lg: lg, manager: m, cfg: c, uid: os.Getuid(), started: c.Now().UTC(),
		places: userPlaces(os.Getenv), acts: newActs(), uploads: newUploads(),
		grants: newGrants(lg, c.Dir, c.Now), attempts: newAttempts(),
	}
}

// Open listens on both doors, makes a token, and writes down where the same user's commands find them. After it,
// connections wait until Run answers them; without Run, Close undoes it.
func (s *Server) Open() error {
	if missing := s.OpenSome(); len(missing) > 0 {
		s.Close()
		return missing[0]
	}
	return nil
}

// OpenSome is Open for a server that has sites to serve: it opens what it can, says what it could not, and Run tries that
// again.
func (s *Server) OpenSome() (missing []error) {
	token := newToken()
	s.token = sha256.Sum256([]byte(token))
	s.endpoint = Endpoint{Dir: s.cfg.Dir, PID: os.Getpid(), Started: s.started}
	routes := s.handler()
	s.shut = append(s.shut, func() (door, error) {
		socket, err := listenSocket(s.cfg.Dir)
		if err != nil {
			return door{}, err
		}
		s.endpoint.Socket = socket.path
		return door{socket, s.probed(s.throughSocket(routes)), socket.remove}, nil
	})
	if s.cfg.Listen != "" {
		s.shut = append(s.shut, func() (door, error) {
			l, err := listenTCP(s.cfg.Listen)
			if err != nil {
				return door{}, err
			}
			s.endpoint.API, s.endpoint.Token = reachable(l.Addr().String()), token
			if !loopbackOnly(l.Addr()) {
				s.lg.Warn("the API is reachable from other machines without TLS", "api", l.Addr().String())
			}
			return door{l, s.probed(s.throughTCP(l.Addr(), routes)), func() {}}, nil
		})
	}
	opened, missing := s.tryDoors()
	s.doors = append(s.doors, opened...)
	s.unread = s.grants.load()
	return s.lacks(missing)
}

// lacks writes down where the doors are, and publishes what is missing: doors, the place where that is written down, tokens.
func (s *Server) lacks(missing []error) []error {
	if err := s.writeDown(); err != nil {
		missing = append(missing, err)
	}
	if s.unread != nil {
		missing = append(missing, s.unread)
	}
	s.missing.Store(&missing)
	return missing
}

// Missing says which doors are not open now, and whether commands are not told where the others are.
func (s *Server) Missing() []error {
	if missing := s.missing.Load(); missing != nil {
		return *missing
	}
	return nil
}

// tryDoors opens the doors that are shut, as far as it can.
func (s *Server) tryDoors() (opened []door, missing []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var shut []func() (door, error)
	for _, open := range s.shut {
		d, err := open()
		if err != nil {
			shut, missing = append(shut, open), append(missing, err)
			continue
		}
		opened = append(opened, d)
	}
	s.shut = shut
	return opened, missing
}

// writeDown says where the doors are, in the files that the same user's commands read.
func (s *Server) writeDown() (err error) {
	if s.endpoint.Socket == "" && s.endpoint.API == "" {
		return nil
	}
	s.files, err = s.places.write(s.endpoint)
	return err
}

// Endpoint says where the doors are. It is valid after Open.
func (s *Server) Endpoint() Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endpoint
}

// retryEvery is how often a door that could not be opened is tried again.
const retryEvery = 5 * time.Second

// Run answers requests until ctx ends. It then takes in no more, ends streams, waits for acts that are under way, and
// removes the socket and the endpoint's files.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range s.doors {
		s.answer(ctx, g, d)
	}
	g.Go(func() error { s.grants.flush(ctx); return nil })
	if len(s.shut) > 0 {
		g.Go(func() error { s.retry(ctx, g); return nil })
	}
	return g.Wait()
}

// retry opens the doors that were shut at the start, until all are open or ctx ends.
func (s *Server) retry(ctx context.Context, g *errgroup.Group) {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for len(s.shut) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		opened, missing := s.tryDoors()
		for _, d := range opened {
			s.lg.Info("the API answers now", "at", d.listener.Addr().String())
			s.doors = append(s.doors, d)
			s.answer(ctx, g, d)
		}
		if len(opened) > 0 {
			s.lacks(missing)
		}
	}
}

// answer lets requests in through a door until ctx ends.
func (s *Server) answer(ctx context.Context, g *errgroup.Group, d door) {
	srv := s.httpServer(ctx, d.handler)
	g.Go(func() error {
		if err := srv.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("answer on %s: %w", d.listener.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		// No limit here: requests end with ctx, acts have their own limit, every write and read has a deadline.
		return srv.Shutdown(context.WithoutCancel(ctx))
	})
}

// Close closes the doors and removes the socket and the endpoint's files.
func (s *Server) Close() {
	for _, file := range s.files {
		removeEndpoint(file, s.endpoint)
	}
	s.files = nil
	for _, d := range s.doors {
		d.listener.Close()
		d.close()
	}
	s.doors = nil
}

const (
	headerTimeout  = 5 * time.Second
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
	// bodyTimeout bounds reading a JSON body, and each silence within a stream of blobs.
	bodyTimeout = 2 * time.Minute
	// restTimeout bounds waiting for a body that nobody reads.
	restTimeout = time.Second
	// writeTimeout bounds writing an answer, and each line of a stream of facts.
	writeTimeout = 30 * time.Second
)

func (s *Server) httpServer(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(s.lg.Handler(), slog.LevelDebug),
	}
}

// newToken returns 256 random bits.
func newToken() Token {
	b := make([]byte, 32)
	rand.Read(b)
	return Token(base64.RawURLEncoding.EncodeToString(b))
}
