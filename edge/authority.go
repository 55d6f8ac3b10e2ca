package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"aplomb"
)

// Authority is who issues certificates by itself (ACME), and where they are kept.
type Authority struct {
	// Dir is the folder of the account, the keys and the certificates. It is made if it is not there.
	Dir string
	// URL is the authority's directory; "" is Let's Encrypt. Whoever sets an Authority agrees to its terms.
	URL string
	// RootsFile holds the certificates (PEM) by which the authority itself is known, "" where the system knows it.
	RootsFile string
	// Email is where the authority writes to; it may be "".
	Email string
}

// attemptTime bounds one attempt to get a certificate.
const attemptTime = 5 * time.Minute

// certificateAuthority gets and renews certificates, one host at a time, when it is asked to.
type certificateAuthority struct {
	cfg   Authority
	store *certificateStore
	// every is how often a certificate is looked at: it decides how soon before its end one is renewed at the latest.
	every time.Duration
	// only is the one way in which hosts are proved, for tests; "" for all that are possible.
	only string

	mu sync.Mutex // guards the rest
	// plainAddr and secureAddr are listened on already: what proves a host is answered there. nil where nothing is.
	plainAddr, secureAddr *net.TCPAddr
	cache                 *certmagic.Cache
	magic                 *certmagic.Config
	issuer                *certmagic.ACMEIssuer
}

func newCertificateAuthority(cfg Authority) *certificateAuthority {
	return &certificateAuthority{cfg: cfg, store: newCertificateStore(cfg.Dir), every: lookEvery}
}

// may reports whether the authority would issue a certificate for a host.
func (a *certificateAuthority) may(host aplomb.Host) bool {
	name := string(host)
	if name == "localhost" || strings.HasPrefix(name, "[") || net.ParseIP(name) != nil || strings.Contains(name, "_") {
		return false
	}
	if a.cfg.URL == "" {
		return strings.Contains(name, ".") && certmagic.SubjectQualifiesForPublicCert(name)
	}
	return certmagic.SubjectQualifiesForCert(name)
}

// listening tells on which addresses hosts can be proved.
func (a *certificateAuthority) listening(plain, secure []net.Listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(plain) > 0 && a.only != tlsChallenge {
		a.plainAddr, _ = plain[0].Addr().(*net.TCPAddr)
	}
	if len(secure) > 0 && a.only != httpChallenge {
		a.secureAddr, _ = secure[0].Addr().(*net.TCPAddr)
	}
}

const (
	httpChallenge = "http-01"
	tlsChallenge  = "tls-alpn-01"
)

// errOwnPace keeps certmagic's cache from renewing by itself: certificates are looked at one by one, so that each failure is
// known, and nothing runs on when the edge has ended.
var errOwnPace = errors.New("certificates are renewed at the edge's own pace")

// open makes ready whatever an attempt needs, once.
func (a *certificateAuthority) open() (*certmagic.Config, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.magic != nil {
		return a.magic, nil
	}
	if err := a.store.open(); err != nil {
		return nil, fmt.Errorf("open the folder of certificates: %w", err)
	}
	var roots *x509.CertPool
	if a.cfg.RootsFile != "" {
		text, err := os.ReadFile(a.cfg.RootsFile)
		if err != nil {
			return nil, fmt.Errorf("read the authority's roots: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", a.cfg.RootsFile)
		}
	}
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return nil, errOwnPace },
		RenewCheckInterval: a.every, OCSPCheckInterval: 24 * time.Hour, Logger: zap.NewNop(),
	})
	magic := certmagic.New(a.cache, certmagic.Config{Storage: a.store, Logger: zap.NewNop()})
	form := certmagic.ACMEIssuer{
		CA: a.cfg.URL, TrustedRoots: roots, Agreed: true, Logger: zap.NewNop(),
		// Without an address it would ask for one at the terminal; a blank is one, and none.
		Email: a.cfg.Email + " ",
		// A challenge is answered by the process that asked for it.
		DisableDistributedSolvers: true,
		DisableHTTPChallenge:      a.plainAddr == nil,
		DisableTLSALPNChallenge:   a.secureAddr == nil,
	}
	if a.cfg.URL == "" {
		form.CA = certmagic.LetsEncryptProductionCA
	}
	// Another authority to try on would be one more that can be down. The waits between attempts spare this one.
	form.TestCA = form.CA
	// These ports are taken by the edge, which is how certmagic knows that it need not listen itself.
	if a.plainAddr != nil {
		form.ListenHost, form.AltHTTPPort = listenHost(a.plainAddr), a.plainAddr.Port
	}
	if a.secureAddr != nil {
		form.ListenHost, form.AltTLSALPNPort = listenHost(a.secureAddr), a.secureAddr.Port
	}
	a.issuer = certmagic.NewACMEIssuer(magic, form)
	magic.Issuers = []certmagic.Issuer{a.issuer}
	a.magic = magic
	return magic, nil
}

func listenHost(at *net.TCPAddr) string {
	if at.IP.IsUnspecified() {
		return ""
	}
	return at.IP.String()
}

func (a *certificateAuthority) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cache != nil {
		a.cache.Stop()
	}
}

// attempt sees to it that a host has a certificate that is not due for renewal. After an error it returns the one it has,
// if there is one.
func (a *certificateAuthority) attempt(ctx context.Context, host aplomb.Host) (*tls.Certificate, error) {
	magic, err := a.open()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	name := string(host)
	_ = a.store.stored(name) // puts back in place what a full disk or a crash took apart
	a.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
	err = magic.ManageSync(ctx, []string{name})
	if err != nil && strings.Contains(err.Error(), "creating new order") {
		// A renewal says which certificate it replaces. An authority that does not know that one refuses the order: then it
		// is asked as for a first one.
		again := 1
		a.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
		err = magic.ManageSync(context.WithValue(ctx, certmagic.AttemptsCtxKey, &again), []string{name})
	}
	cert := a.newest(name)
	if err == nil && cert == nil {
		err = errors.New("it was issued and cannot be read")
	}
	if cert == nil {
		return nil, err
	}
	// Whoever asks again at once, because by this machine's clock no certificate is ever good, is soon refused.
	if now := time.Now(); err == nil && (now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter)) {
		err = fmt.Errorf("the certificate just issued is good from %s to %s: is this machine's clock right?",
			cert.Leaf.NotBefore.UTC().Format(time.RFC3339), cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return &cert.Certificate, err
}

func (a *certificateAuthority) newest(name string) *certmagic.Certificate {
	var best *certmagic.Certificate
	for _, c := range a.cache.AllMatchingCertificates(name) {
		if c.Leaf != nil && (best == nil || c.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = &c
		}
	}
	return best
}

// prove answers the handshake by which the authority sees that a host leads here.
func (a *certificateAuthority) prove(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	magic := a.magic
	a.mu.Unlock()
	if magic == nil {
		return nil, nil
	}
	return magic.GetCertificate(hello)
}

// provePlain answers the request by which the authority sees that a host leads here. It reports whether r is one.
func (a *certificateAuthority) provePlain(w http.ResponseWriter, r *http.Request, host aplomb.Host) bool {
	if !strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
		return false
	}
	a.mu.Lock()
	issuer := a.issuer
	a.mu.Unlock()
	if issuer == nil {
		return false
	}
	// Without a challenge under way the path is the site's own.
	if _, asked := certmagic.GetACMEChallenge(string(host)); !asked {
		return false
	}
	return issuer.HandleHTTPChallenge(w, r)
}
