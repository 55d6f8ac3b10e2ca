package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"aplomb"
)

const (
	headerTime     = 10 * time.Second // for a request's header
	idleTime       = 2 * time.Minute  // between requests of a connection
	drainTime      = 10 * time.Second // for answers under way when the edge stops
	maxHeaderBytes = 64 << 10
	saveAgainTime  = 5 * time.Second
)

// Ready is closed when every address is listened on.
func (e *Edge) Ready() <-chan struct{} { return e.ready }

// Addrs returns the addresses listened on, plain ones first. Valid once Ready is closed.
func (e *Edge) Addrs() []net.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.addrs
}

// Run listens and serves until ctx ends. Then it accepts nothing more, lets answers under way finish for a bounded time,
// and returns when all its goroutines have. It is called once.
func (e *Edge) Run(ctx context.Context) error {
	plain, secure, err := e.listen()
	if err != nil {
		return err
	}
	if err := e.certs.open(plain, secure); err != nil {
		closeAll(plain)
		closeAll(secure)
		return err
	}
	e.mu.Lock()
	for _, l := range append(plain, secure...) {
		e.addrs = append(e.addrs, l.Addr())
	}
	e.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	e.serve(ctx, group, plain, nil)
	e.serve(ctx, group, secure, e.certs.tlsConfig())
	if len(secure) > 0 {
		group.Go(func() error { return e.certs.keep(ctx) })
	}
	group.Go(func() error { return e.keep(ctx) })
	group.Go(func() error { return e.shelf.apps.run(ctx) })
	defer e.shelf.apps.close()
	close(e.ready)
	return group.Wait()
}

func (e *Edge) listen() (plain, secure []net.Listener, err error) {
	open := func(addrs []string) (out []net.Listener) {
		for _, addr := range addrs {
			l, listenErr := net.Listen("tcp", addr)
			if listenErr != nil {
				err = errors.Join(err, aplomb.NewError(aplomb.CodeListen, fmt.Sprintf("%s is not listened on", addr), listenErr.Error(),
					"choose another address with --listen").Because(listenErr))
				continue
			}
			out = append(out, l)
		}
		return out
	}
	plain, secure = open(e.cfg.Listen), open(e.cfg.ListenTLS)
	if err != nil {
		closeAll(plain)
		closeAll(secure)
		return nil, nil, err
	}
	return plain, secure, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// serve answers on listeners with one server, which is stopped when ctx ends.
func (e *Edge) serve(ctx context.Context, group *errgroup.Group, listeners []net.Listener, cert *tls.Config) {
	if len(listeners) == 0 {
		return
	}
	s := newServer(e.lg, e, cert)
	for _, l := range listeners {
		group.Go(func() error {
			var err error
			if cert == nil {
				err = s.Serve(l)
			} else {
				err = s.ServeTLS(l, "", "")
			}
			if !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		s.stop(drainTime)
		return nil
	})
}

// server is an http.Server that can tell when its last connection has ended.
type server struct {
	http.Server
	conns sync.WaitGroup
}

func newServer(lg *slog.Logger, h http.Handler, cert *tls.Config) *server {
	s := &server{Server: http.Server{
		Handler:           h,
		TLSConfig:         cert,
		ReadHeaderTimeout: headerTime,
		WriteTimeout:      sendTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		// "OPTIONS *" is answered like any other: by host.
		DisableGeneralOptionsHandler: true,

		ErrorLog:  slog.NewLogLogger(lg.Handler(), slog.LevelDebug),
		Protocols: new(http.Protocols),
	}}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(cert != nil)
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.conns.Done()
		}
	}
	return s
}

// stop accepts nothing more, waits for answers under way, cuts off what is left then, and returns when every
// connection has ended.
func (s *server) stop(drain time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
	s.conns.Wait()
}

// keep does what no request waits for: it writes routes again that could not be written, and reads the releases that
// the next rollbacks would choose.
func (e *Edge) keep(ctx context.Context) error {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.kick:
		case <-again.C:
		}
		if !e.saveAgain() {
			again.Reset(saveAgainTime)
		}
		e.warmTargets(ctx)
	}
}
