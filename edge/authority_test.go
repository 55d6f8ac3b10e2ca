package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"aplomb"
	"aplomb/edge/pebbletest"
)

// automatic is a served site whose certificates come from Pebble.
type automatic struct {
	*world
	t     *testing.T
	ca    *pebbletest.CA
	state string // the edge's folder
	certs string // where certificates are kept
	site  aplomb.Site
}

func newAutomatic(t *testing.T, hosts ...aplomb.Host) *automatic {
	t.Helper()
	return &automatic{world: newWorld(t), t: t, ca: pebbletest.New(t), state: t.TempDir(), certs: filepath.Join(t.TempDir(), "certificates"),
		site: aplomb.Site{Name: "shop", Hosts: hosts}}
}

// open opens an edge on free ports. change may alter how certificates are had before it runs.
func (a *automatic) open(change func(*certificateAuthority)) *Edge {
	a.t.Helper()
	e, err := Open(a.lg, Config{StateDir: a.state, Blobs: a.blobs, Listen: []string{"127.0.0.1:0"}, ListenTLS: []string{"127.0.0.1:0"},
		Authority: &Authority{Dir: a.certs, URL: a.ca.URL, RootsFile: a.ca.RootsFile}, RedirectToHTTPS: true})
	if err != nil {
		a.t.Fatal(err)
	}
	e.certs.authority.every = time.Second
	if change != nil {
		change(e.certs.authority)
	}
	return e
}

// startCA lets Pebble prove hosts at this edge.
func (a *automatic) startCA(e *Edge) {
	a.ca.Start(e.certs.ports.plain, e.certs.ports.secure)
}

func (a *automatic) serve(e *Edge) {
	r := route(1, a.release(1, content{"/index.html": "home"}))
	r.Site = a.site
	a.perform(e, intent(r))
}

// waitFor waits until a host's status is as wanted.
func (a *automatic) waitFor(e *Edge, host aplomb.Host, what string, wanted func(CertificateStatus) bool) CertificateStatus {
	a.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	var st CertificateStatus
	for {
		for _, st = range e.Certificates() {
			if st.Host == host && wanted(st) {
				return st
			}
		}
		select {
		case <-tick.C:
		case <-late:
			a.t.Fatalf("%s has not come: %+v\n%s", what, e.Certificates(), a.log)
		}
	}
}

func isSecured(st CertificateStatus) bool { return st.Problem == "" && !st.NotAfter.IsZero() }
func hasProblem(text string) func(CertificateStatus) bool {
	return func(st CertificateStatus) bool { return strings.Contains(st.Problem, text) }
}

// client asks an edge for hosts wherever they lead.
func (a *automatic) client(e *Edge, roots *x509.CertPool) *http.Client {
	byPort := func(ctx context.Context, network, addr string) (net.Conn, error) {
		at := e.Addrs()[0]
		if _, port, _ := net.SplitHostPort(addr); port != "80" {
			at = e.Addrs()[1]
		}
		return (&net.Dialer{}).DialContext(ctx, network, at.String())
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	transport := &http.Transport{DialContext: byPort, Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: roots}}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func fetchPage(ctx context.Context, client *http.Client, url string) (status int, proto string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode == 200 && string(b) != "home" {
		return 0, "", fmt.Errorf("body %q: %w", b, err)
	}
	return resp.StatusCode, resp.Proto, nil
}

// handshake returns the error of a TLS handshake for a host.
func handshake(e *Edge, host string, roots *x509.CertPool) error {
	c, err := tls.Dial("tcp", e.Addrs()[1].String(), &tls.Config{ServerName: host, RootCAs: roots})
	if err == nil {
		c.Close()
	}
	return err
}

func TestAuthorityIssuesByEitherChallenge(t *testing.T) {
	t.Parallel()
	for _, only := range []string{httpChallenge, tlsChallenge} {
		t.Run(only, func(t *testing.T) {
			t.Parallel()
			host := aplomb.Host(only + ".shop.test")
			a := newAutomatic(t, host, "www."+host, "127.0.0.1")
			a.site.RedirectTo = map[aplomb.Host]aplomb.Host{"www." + host: host}
			e := a.open(func(c *certificateAuthority) { c.only = only })
			run(t, e)
			a.startCA(e)
			a.serve(e)
			st := a.waitFor(e, host, "the certificate", isSecured)
			a.waitFor(e, "www."+host, "the redirecting host's certificate", isSecured)
			if !st.Automatic || !strings.Contains(st.Issuer, "Pebble") || time.Until(st.NotAfter) < 24*time.Hour {
				t.Errorf("status %+v", st)
			}
			client := a.client(e, a.ca.Roots())
			if status, proto, err := fetchPage(t.Context(), client, "https://"+string(host)+"/"); status != 200 || proto != "HTTP/2.0" || err != nil {
				t.Errorf("over TLS: %d %s %v", status, proto, err)
			}
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			if status, _, err := fetchPage(t.Context(), client, "http://"+string(host)+"/"); status != 308 || err != nil {
				t.Errorf("in the clear: %d %v, want 308", status, err)
			}
			if status, _, err := fetchPage(t.Context(), client, "http://127.0.0.1/"); status != 200 || err != nil {
				t.Errorf("a host that gets no certificate, in the clear: %d %v, want 200", status, err)
			}
			if err := handshake(e, "unknown.test", nil); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("a host that is not served: %v, want the alert that it is unknown", err)
			}
			if got := e.Certificates(); len(got) != 3 {
				t.Errorf("certificates %+v, want one for each host and no other", got)
			}
		})
	}
}

func TestStoredCertificateNeedsNoAuthority(t *testing.T) {
	t.Parallel()
	a := newAutomatic(t, "stored.shop.test")
	e := a.open(nil)
	stop := run(t, e)
	a.startCA(e)
	a.serve(e)
	first := a.waitFor(e, "stored.shop.test", "the certificate", isSecured)
	roots := a.ca.Roots()
	stop()
	a.ca.Stop()

	e = a.open(nil)
	run(t, e)
	if status, _, err := fetchPage(t.Context(), a.client(e, roots), "https://stored.shop.test/"); status != 200 || err != nil {
		t.Errorf("right after a start, without the authority: %d %v", status, err)
	}
	e.certs.wake()
	if st := a.waitFor(e, "stored.shop.test", "a look without a problem", isSecured); !st.NotAfter.Equal(first.NotAfter) {
		t.Errorf("another certificate: %+v, want %+v", st, first)
	}
}

// TestAuthorityThatIsDownTakesNothingAway stops the authority before a host has a certificate, and before one is renewed.
func TestAuthorityThatIsDownTakesNothingAway(t *testing.T) {
	t.Parallel()
	a := newAutomatic(t, "down.shop.test")
	a.ca.Life = time.Hour
	e := a.open(nil)
	stop := run(t, e)
	a.startCA(e)
	a.serve(e)
	a.waitFor(e, "down.shop.test", "the certificate", isSecured)
	roots := a.ca.Roots()
	stop()
	a.ca.Stop()

	a.site.Hosts = append(a.site.Hosts, "late.shop.test")
	// Looked at once an hour, a certificate of an hour is due at once.
	e = a.open(func(c *certificateAuthority) { c.every = time.Hour })
	run(t, e)
	r := e.Routes()[0]
	r.Site, r.Head = a.site, head(2)
	a.perform(e, intent(r))
	if st := a.waitFor(e, "down.shop.test", "the failed renewal", hasProblem("not renewed")); !strings.Contains(st.Problem, "refused") || !e.Secured(st.Host) {
		t.Errorf("status %+v, want why, and the certificate it has", st)
	}
	a.waitFor(e, "late.shop.test", "the failed attempt", hasProblem("no certificate yet: "))
	client := a.client(e, roots)
	if status, _, err := fetchPage(t.Context(), client, "https://down.shop.test/"); status != 200 || err != nil {
		t.Errorf("the old certificate: %d %v", status, err)
	}
	if status, _, err := fetchPage(t.Context(), client, "http://late.shop.test/"); status != 200 || err != nil {
		t.Errorf("without a certificate, in the clear: %d %v, want 200", status, err)
	}
	if err := handshake(e, "late.shop.test", roots); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("handshake without a certificate: %v, want the alert that the name is unknown", err)
	}
	if e.Secured("late.shop.test") {
		t.Error("a host without a certificate counts as secured")
	}
}

func TestFullDiskKeepsTheCertificateThereIs(t *testing.T) {
	t.Parallel()
	a := newAutomatic(t, "full.shop.test")
	a.ca.Life = time.Hour
	e := a.open(nil)
	stop := run(t, e)
	a.startCA(e)
	a.serve(e)
	first := a.waitFor(e, "full.shop.test", "the certificate", isSecured)
	roots := a.ca.Roots()
	stop()
	a.ca.Stop()

	for _, room := range []int{0, 11 << 10} { // none; enough for the test of the disk and a key, not for a certificate
		left := room
		e = a.open(func(c *certificateAuthority) {
			c.every = time.Hour
			c.store.try = func(op string, act func() error) error {
				if op == "write" {
					if left -= 3700; left < 0 {
						return &net.OpError{Op: "write", Err: syscall.ENOSPC}
					}
				}
				return act()
			}
		})
		stop = run(t, e)
		a.startCA(e)
		roots.AddCert(a.ca.Root())
		a.waitFor(e, "full.shop.test", "the failed renewal", hasProblem("the disk is full"))
		if status, _, err := fetchPage(t.Context(), a.client(e, roots), "https://full.shop.test/"); status != 200 || err != nil {
			t.Errorf("room for %d: %d %v", room, status, err)
		}
		stop()
		a.ca.Stop()
		if cert := newCertificateStore(a.certs).stored("full.shop.test"); cert == nil || !cert.Leaf.NotAfter.Equal(first.NotAfter) {
			t.Errorf("room for %d: what is stored is not the certificate before", room)
		}
	}
}

// TestRenewalFailsNoRequest lives through several renewals under load: every request opens a connection of its own.
func TestRenewalFailsNoRequest(t *testing.T) {
	t.Parallel()
	a := newAutomatic(t, "busy.shop.test")
	a.ca.Life = 9 * time.Second
	e := a.open(func(c *certificateAuthority) { c.every = time.Second }) // and so renewed five seconds before its end
	run(t, e)
	a.startCA(e)
	a.serve(e)
	a.waitFor(e, "busy.shop.test", "the certificate", func(st CertificateStatus) bool { return !st.NotAfter.IsZero() })
	client := a.client(e, a.ca.Roots())
	client.Transport.(*http.Transport).DisableKeepAlives = true

	const wanted = 3
	var serials sync.Map
	var seen, requests atomic.Int32
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for seen.Load() < wanted && ctx.Err() == nil {
				traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{TLSHandshakeDone: func(state tls.ConnectionState, err error) {
					if err == nil {
						if _, known := serials.LoadOrStore(state.PeerCertificates[0].SerialNumber.String(), true); !known {
							seen.Add(1)
						}
					}
				}})
				if status, _, err := fetchPage(traced, client, "https://busy.shop.test/"); status != 200 || err != nil {
					t.Errorf("request %d: %d %v", requests.Load(), status, err)
					return
				}
				requests.Add(1)
			}
		})
	}
	all.Wait()
	if seen.Load() < wanted {
		t.Errorf("%d certificates in %d requests, want %d\n%s", seen.Load(), requests.Load(), wanted, a.log)
	}
	t.Logf("%d requests over %d certificates", requests.Load(), seen.Load())
}

// TestHungAuthorityHoldsNothingUp has an authority that takes connections and never answers.
func TestHungAuthorityHoldsNothingUp(t *testing.T) {
	t.Parallel()
	hung, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	reached := make(chan net.Conn, 64)
	go func() {
		defer close(reached)
		for {
			c, err := hung.Accept()
			if err != nil {
				return
			}
			reached <- c
		}
	}()
	w := newWorld(t)
	e := listening(t, w, Config{Listen: []string{"127.0.0.1:0"}, ListenTLS: []string{"127.0.0.1:0"}, RedirectToHTTPS: true,
		Authority: &Authority{Dir: filepath.Join(t.TempDir(), "certificates"), URL: "https://" + hung.Addr().String() + "/dir"}})
	stop := run(t, e)
	r := route(1, w.release(1, content{"/index.html": "home"}))
	r.Site.Hosts = []aplomb.Host{"hung.shop.test", shopHost}
	w.perform(e, intent(r))
	first := <-reached
	defer first.Close()
	if resp := get(e, "/"); resp.StatusCode != 200 {
		t.Errorf("meanwhile in the clear: %d", resp.StatusCode)
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	hung.Close()
	for c := range reached {
		c.Close()
	}
}
