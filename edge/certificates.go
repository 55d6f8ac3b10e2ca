package edge

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"aplomb"
)

const (
	// lookEvery is how often a certificate is looked at whether it is due for renewal.
	lookEvery = 10 * time.Minute
	// readEvery is how often files with certificates are read again.
	readEvery = time.Minute
	// attemptsAtOnce bounds how many certificates are asked for at the same time.
	attemptsAtOnce = 4
)

// retryAfter are the waits after the first, second… failure in a row; the last one stays. Authorities refuse who fails more
// often, and an hour is how long a name that leads here at last waits for its certificate.
var retryAfter = []time.Duration{time.Minute, 5 * time.Minute, 20 * time.Minute, time.Hour}

// CertificateStatus is what there is to know of a host's certificate.
type CertificateStatus struct {
	Host aplomb.Host
	// Automatic says that it comes from the authority, not from a file.
	Automatic bool
	Issuer    string
	// NotBefore and NotAfter bound the time in which it is good; zero where there is none yet.
	NotBefore, NotAfter time.Time
	// Problem says what a person should look at, "" where all is well. Whatever it says, the host is served with the
	// certificate it had, and over plain HTTP.
	Problem string
}

// certificates says what handshakes are answered with, and keeps it good: files are read again, and where there is an
// authority, hosts of the table get theirs from it.
type certificates struct {
	lg   *slog.Logger
	kick chan struct{}
	// hosts returns the hosts that are served. Only these ever get a certificate.
	hosts func() []aplomb.Host
	// authority is nil where certificates come from files alone.
	authority *certificateAuthority
	// ask has the authority look at one host's certificate.
	ask      func(context.Context, aplomb.Host) (*tls.Certificate, error)
	redirect bool
	ports    ports // set before anything is served

	// served is what handshakes choose from. It is replaced as a whole.
	served atomic.Pointer[servedCertificates]

	mu      sync.Mutex // guards the rest
	own     []*ownCertificate
	managed map[aplomb.Host]*managedCertificate
	read    time.Time // when files were last read
}

// managedCertificate is a host's certificate from the authority.
type managedCertificate struct {
	cert     *tls.Certificate // nil until there is one
	due      time.Time        // when to look at it
	running  bool             // an attempt is under way
	failures int              // in a row
	problem  string           // of the last attempt
}

// servedCertificates finds the certificate for a name: "shop.example" or "*.example".
type servedCertificates struct {
	byName map[string][]*tls.Certificate
	// fallback answers whoever names no host, and with files alone also for hosts they do not name.
	fallback *tls.Certificate
	strict   bool
}

func newCertificates(lg *slog.Logger, cfg Config, hosts func() []aplomb.Host) *certificates {
	c := &certificates{lg: lg, kick: make(chan struct{}, 1), hosts: hosts, redirect: cfg.RedirectToHTTPS, managed: map[aplomb.Host]*managedCertificate{}}
	for _, files := range cfg.CertFiles {
		c.own = append(c.own, &ownCertificate{files: files})
	}
	if cfg.Authority != nil {
		c.authority = newCertificateAuthority(*cfg.Authority)
		c.ask = c.authority.attempt
	}
	c.served.Store(&servedCertificates{})
	return c
}

// open reads what there is, so that a start needs no authority. It fails where nothing could ever be served.
func (c *certificates) open(plain, secure []net.Listener) error {
	c.ports = portsOf(plain, secure)
	if len(secure) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	usable := c.authority != nil || len(plain) > 0
	c.readOwn()
	problem := "no certificate was named"
	for _, o := range c.own {
		usable = usable || o.cert != nil
		if o.problem != "" {
			problem = o.problem
		}
	}
	if !usable {
		return aplomb.NewError(aplomb.CodeConfig, "The certificate cannot be used", problem, "name the certificate and its key, both PEM, in machine.toml")
	}
	if c.authority != nil {
		c.authority.listening(plain, secure)
		c.follow(time.Now())
	}
	c.publish()
	return nil
}

func (c *certificates) readOwn() {
	c.read = time.Now()
	for _, o := range c.own {
		before := o.problem
		if o.read() {
			c.lg.Info("certificate read", "file", o.files.Cert, "until", o.cert.Leaf.NotAfter)
		}
		if o.problem != "" && o.problem != before {
			c.lg.Error("certificate not read, the one before is served on", "why", o.problem)
		}
	}
}

// follow makes the managed hosts those of the table: as many as no file covers and the authority may issue for.
func (c *certificates) follow(now time.Time) {
	wanted := map[aplomb.Host]bool{}
	for _, host := range c.hosts() {
		if c.authority.may(host) && c.ownOf(host) == nil {
			wanted[host] = true
		}
	}
	maps.DeleteFunc(c.managed, func(h aplomb.Host, m *managedCertificate) bool { return !wanted[h] && !m.running })
	for host := range wanted {
		if c.managed[host] == nil {
			c.managed[host] = &managedCertificate{cert: c.authority.store.stored(string(host)), due: now}
		}
	}
}

func (c *certificates) ownOf(host aplomb.Host) *ownCertificate {
	for _, o := range c.own {
		if o.cert != nil && covers(o.cert, host) {
			return o
		}
	}
	return nil
}

func covers(cert *tls.Certificate, host aplomb.Host) bool {
	return cert.Leaf != nil && cert.Leaf.VerifyHostname(string(host)) == nil
}

// publish puts what there is in front of handshakes.
func (c *certificates) publish() {
	next := &servedCertificates{byName: map[string][]*tls.Certificate{}, strict: c.authority != nil}
	for _, o := range c.own {
		if o.cert == nil {
			continue
		}
		next.fallback = cmp.Or(next.fallback, o.cert)
		names := o.cert.Leaf.DNSNames
		for _, ip := range o.cert.Leaf.IPAddresses {
			names = append(slices.Clip(names), ip.String())
		}
		for _, name := range names {
			name = strings.ToLower(name)
			next.byName[name] = append(next.byName[name], o.cert)
		}
	}
	for host, m := range c.managed {
		if m.cert != nil {
			next.byName[string(host)] = append(next.byName[string(host)], m.cert)
		}
	}
	c.served.Store(next)
}

// certificate chooses what a handshake is answered with. Without one the client is told that the name is not known here.
func (c *certificates) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	served := c.served.Load()
	if c.authority != nil && slices.Equal(hello.SupportedProtos, challengeProtos) {
		return c.authority.prove(hello)
	}
	choices := served.choices(name)
	if len(choices) == 0 {
		if served.strict && name != "" {
			return nil, nil
		}
		return served.fallback, nil
	}
	for _, cert := range choices[:len(choices)-1] {
		if hello.SupportsCertificate(cert) == nil {
			return cert, nil
		}
	}
	return choices[len(choices)-1], nil
}

func (s *servedCertificates) choices(name string) []*tls.Certificate {
	if found := s.byName[name]; len(found) > 0 {
		return found
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		return s.byName["*."+parent]
	}
	return nil
}

// challengeProtos is what an authority's handshake offers, and nothing else.
var challengeProtos = []string{"acme-tls/1"}

func (c *certificates) tlsConfig() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.certificate}
	if c.authority != nil {
		cfg.NextProtos = []string{"h2", "http/1.1", challengeProtos[0]}
	}
	return cfg
}

// wake has the hosts looked at soon: the table changed.
func (c *certificates) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// keep keeps certificates good until ctx ends, and returns when every attempt has.
func (c *certificates) keep(ctx context.Context) error {
	var attempts sync.WaitGroup
	defer func() {
		attempts.Wait()
		if c.authority != nil {
			c.authority.close()
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.kick:
		case <-timer.C:
		}
		timer.Reset(c.look(ctx, &attempts))
	}
}

// look does what is due and returns how long nothing will be.
func (c *certificates) look(ctx context.Context, attempts *sync.WaitGroup) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.own) > 0 && now.Sub(c.read) >= readEvery {
		c.readOwn()
	}
	wait := readEvery
	if c.authority != nil {
		c.follow(now)
		running := 0
		for _, m := range c.managed {
			if m.running {
				running++
			}
		}
		for _, host := range slices.SortedFunc(maps.Keys(c.managed), func(a, b aplomb.Host) int { return c.managed[a].due.Compare(c.managed[b].due) }) {
			m := c.managed[host]
			if m.running {
				continue
			}
			if running == attemptsAtOnce {
				break // the end of each wakes
			}
			if left := m.due.Sub(now); left > 0 {
				wait = min(wait, left)
				break
			}
			m.running = true
			running++
			attempts.Go(func() { c.attempt(ctx, host) })
		}
	}
	c.publish()
	return wait
}

// attempt has the authority look at one host.
func (c *certificates) attempt(ctx context.Context, host aplomb.Host) {
	cert, err := c.ask(ctx, host)
	defer c.wake()
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.managed[host]
	m.running = false
	if cert != nil {
		if m.cert == nil || !m.cert.Leaf.Equal(cert.Leaf) {
			c.lg.Info("certificate in use", "host", host, "issuer", issuerOf(cert), "until", cert.Leaf.NotAfter)
		}
		m.cert = cert
	}
	if err == nil {
		m.failures, m.problem, m.due = 0, "", time.Now().Add(c.authority.every)
		return
	}
	wait := retryAfter[min(m.failures, len(retryAfter)-1)]
	m.failures++
	m.due = time.Now().Add(wait)
	if ctx.Err() != nil {
		return
	}
	m.problem = plainReason(err)
	c.lg.Error("no new certificate, what there is is served on", "host", host, "why", m.problem, "again_in", wait)
}

// plainReason says in one line why an authority's certificate was not had.
func plainReason(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	switch {
	case isFull(err) || strings.Contains(text, syscall.ENOSPC.Error()):
		return "the disk is full: a certificate could not be kept"
	case strings.Contains(text, "certificate has expired or is not yet valid"):
		text += fmt.Sprintf(" (this machine's clock says %s)", time.Now().UTC().Format(time.RFC3339))
	}
	if len(text) > 400 {
		text = strings.ToValidUTF8(text[:400], "") + "…"
	}
	return text
}

func issuerOf(cert *tls.Certificate) string {
	return cmp.Or(cert.Leaf.Issuer.CommonName, cert.Leaf.Issuer.String())
}
