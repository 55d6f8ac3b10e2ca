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
	// Now is the clock.
	Now func() time.Time
}

// Server answers the API on a unix socket and, where asked to, on TCP.
type Server struct {
	lg      *slog.Logger
	manager *release.Manager
	cfg     Config
	uid     int // whose processes may use the socket, root's apart
	started time.Time
	places  places
	acts    *acts
	uploads *uploads

	// set by Open, read-only afterwards
	token    [sha256.Size]byte // the sha-256 of the token that TCP asks for
	doors    []door
	endpoint Endpoint
	files    []string // where the endpoint is written down
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
	}
}

// Open listens on both doors, makes a token, and writes down where the same user's commands find them. After it,
// connections wait until Run answers them; without Run, Close undoes it.
func (s *Server) Open() (err error) {
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	token := newToken()
	s.token = sha256.Sum256([]byte(token))
	socket, err := listenSocket(s.cfg.Dir)
	if err != nil {
		return err
	}
	routes := s.handler()
	s.doors = append(s.doors, door{socket, s.probed(s.throughSocket(routes)), socket.remove})
	s.endpoint = Endpoint{Socket: socket.path, Dir: s.cfg.Dir, PID: os.Getpid(), Started: s.started}
	if s.cfg.Listen != "" {
		l, err := listenTCP(s.cfg.Listen)
		if err != nil {
			return err
		}
		s.doors = append(s.doors, door{l, s.probed(s.throughTCP(l.Addr(), routes)), func() {}})
		s.endpoint.API, s.endpoint.Token = reachable(l.Addr().String()), token
		if !loopbackOnly(l.Addr()) {
			s.lg.Warn("the API is reachable from other machines without TLS", "api", l.Addr().String())
		}
	}
	s.files, err = s.places.write(s.endpoint)
	return err
}

// Endpoint says where the doors are. It is valid after Open.
func (s *Server) Endpoint() Endpoint { return s.endpoint }

// Run answers requests until ctx ends. It then takes in no more, ends streams, waits for acts that are under way, and
// removes the socket and the endpoint's files.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	g, ctx := errgroup.WithContext(ctx)
	for _, d := range s.doors {
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
	return g.Wait()
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
