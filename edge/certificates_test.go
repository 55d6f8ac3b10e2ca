package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aplomb"
)

// writePair writes a certificate and its key into files.
func writePair(t *testing.T, name string, life time.Duration, names ...string) CertificateFiles {
	t.Helper()
	dir := t.TempDir()
	f := CertificateFiles{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	rewrite(t, f, life, names...)
	return f
}

func rewrite(t *testing.T, f CertificateFiles, life time.Duration, names ...string) {
	t.Helper()
	cert, key := pemPair(t, time.Now().Add(-life/2), life, names...)
	for file, b := range map[string][]byte{f.Cert: cert, f.Key: key} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// listener has an address and no more.
type listener struct{ port int }

func (l listener) Addr() net.Addr          { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.port} }
func (listener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (listener) Close() error              { return nil }

func openCertificates(t *testing.T, cfg Config, hosts ...aplomb.Host) *certificates {
	t.Helper()
	c := newCertificates(slog.New(slog.DiscardHandler), cfg, func() []aplomb.Host { return hosts })
	if err := c.open([]net.Listener{listener{80}}, []net.Listener{listener{443}}); err != nil {
		t.Fatal(err)
	}
	return c
}

// chosen names the certificate that a handshake for a host gets by its first name, "" for none.
func chosen(t *testing.T, c *certificates, host string) string {
	t.Helper()
	cert, err := c.certificate(&tls.ClientHelloInfo{ServerName: host, SupportedVersions: []uint16{tls.VersionTLS13},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}})
	if err != nil {
		t.Fatal(err)
	}
	if cert == nil {
		return ""
	}
	return cert.Leaf.DNSNames[0]
}

func TestHandshakesGetTheCertificateOfTheirHost(t *testing.T) {
	t.Parallel()
	files := []CertificateFiles{
		writePair(t, "one", time.Hour, "one.test", "www.one.test"), writePair(t, "wild", time.Hour, "*.wild.test"), writePair(t, "two", time.Hour, "Two.test"),
	}
	alone := openCertificates(t, Config{CertFiles: files})
	beside := openCertificates(t, Config{CertFiles: files, Authority: &Authority{Dir: t.TempDir(), URL: "https://127.0.0.1:1/"}})
	for _, c := range []struct{ host, alone, beside string }{
		{"one.test", "one.test", "one.test"}, {"WWW.one.test.", "one.test", "one.test"}, {"a.wild.test", "*.wild.test", "*.wild.test"},
		{"two.test", "Two.test", "Two.test"}, {"", "one.test", "one.test"},
		// With files alone, who asks for another name gets the first: that is what was served before there were several.
		{"a.b.wild.test", "one.test", ""}, {"wild.test", "one.test", ""}, {"other.test", "one.test", ""},
	} {
		if got := chosen(t, alone, c.host); got != c.alone {
			t.Errorf("%q with files alone: %q, want %q", c.host, got, c.alone)
		}
		if got := chosen(t, beside, c.host); got != c.beside {
			t.Errorf("%q beside an authority: %q, want %q", c.host, got, c.beside)
		}
	}
}

func TestChangedFilesAreServedAndHalfWrittenOnesAreNot(t *testing.T) {
	t.Parallel()
	f := writePair(t, "one", time.Hour, "one.test")
	c := openCertificates(t, Config{CertFiles: []CertificateFiles{f}}, "one.test")
	lookAgain := func() { // as a minute later
		c.mu.Lock()
		c.read = time.Time{}
		c.mu.Unlock()
		c.look(t.Context(), nil)
	}
	first := c.served.Load().fallback
	if st := c.statuses(time.Now()); len(st) != 1 || st[0].Problem != "" || st[0].Automatic || !st[0].NotAfter.Equal(first.Leaf.NotAfter) {
		t.Errorf("status %+v, want one.test without a problem", st)
	}
	cert, key := pemPair(t, time.Now(), 3*time.Hour, "one.test")
	if err := os.WriteFile(f.Cert, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	lookAgain()
	if c.served.Load().fallback != first {
		t.Error("a certificate is served whose key is not there yet")
	}
	if st := c.statuses(time.Now()); !strings.Contains(st[0].Problem, f.Cert) || !c.secured("one.test", time.Now()) {
		t.Errorf("status %+v, want the files named, and the one before served", st)
	}
	if err := os.WriteFile(f.Key, key, 0o600); err != nil {
		t.Fatal(err)
	}
	lookAgain()
	if c.served.Load().fallback.Leaf.Equal(first.Leaf) || c.statuses(time.Now())[0].Problem != "" {
		t.Errorf("the new pair is not served: %+v", c.statuses(time.Now()))
	}
	if err := os.Remove(f.Key); err != nil {
		t.Fatal(err)
	}
	lookAgain()
	if !c.secured("one.test", time.Now()) || c.statuses(time.Now())[0].Problem == "" {
		t.Error("a file that is gone takes the certificate along, or is not said")
	}
}

func TestCertificateProblemsAreSaidEarly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := openCertificates(t, Config{CertFiles: []CertificateFiles{writePair(t, "one", 60*24*time.Hour, "one.test")}}, "one.test", "other.test")
	for _, at := range []struct {
		when    time.Duration
		problem string
		secured bool
	}{
		{0, "", true}, {15 * 24 * time.Hour, "", true}, {21 * 24 * time.Hour, "it ends at", true}, {31 * 24 * time.Hour, "it ended at", false},
		{-31 * 24 * time.Hour, "clock", false},
	} {
		st := c.statuses(now.Add(at.when))
		if len(st) != 2 || at.problem == "" && st[0].Problem != "" || !strings.Contains(st[0].Problem, at.problem) || c.secured("one.test", now.Add(at.when)) != at.secured {
			t.Errorf("%v later: %+v, secured %v; want a problem with %q, secured %v", at.when, st, c.secured("one.test", now.Add(at.when)), at.problem, at.secured)
		}
		if st[1].Host != "other.test" || st[1].Problem == "" {
			t.Errorf("a host that no certificate is for: %+v", st[1])
		}
	}
}

func TestOnlyHostsOfTheTableAreAskedFor(t *testing.T) {
	t.Parallel()
	private := newCertificateAuthority(Authority{URL: "https://ca.internal/dir"})
	public := newCertificateAuthority(Authority{})
	for _, c := range []struct {
		host            aplomb.Host
		private, public bool
	}{
		{"shop.example", true, true}, {"shop.localhost", true, false}, {"shop.internal", true, false}, {"shop", true, false},
		{"localhost", false, false}, {"127.0.0.1", false, false}, {"[::1]", false, false}, {"a_b.example", false, false},
	} {
		if private.may(c.host) != c.private || public.may(c.host) != c.public {
			t.Errorf("%s: private %v, public %v; want %v, %v", c.host, private.may(c.host), public.may(c.host), c.private, c.public)
		}
	}
}

// TestFailingAuthorityIsAskedLessAndLess has an authority that is down, beside a certificate that is about to end.
func TestFailingAuthorityIsAskedLessAndLess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts := []aplomb.Host{"old.test", "new.test", "127.0.0.1"}
		var mu sync.Mutex // guards hosts, asked and answer
		asked := map[aplomb.Host][]time.Duration{}
		answer := func(aplomb.Host) (*tls.Certificate, error) {
			return nil, errors.New("dial tcp 192.0.2.1:443:\n connection refused")
		}
		began := time.Now()
		c := newCertificates(slog.New(slog.DiscardHandler), Config{Authority: &Authority{Dir: t.TempDir(), URL: "https://ca.test/"}}, func() []aplomb.Host {
			mu.Lock()
			defer mu.Unlock()
			return append([]aplomb.Host(nil), hosts...)
		})
		storedCert, storedKey := pemPair(t, began.Add(-24*time.Hour), 30*time.Hour, "old.test")
		if err := storeAll(t.Context(), c.authority.store, "certificates/ca/old.test/old.test", storedCert, storedKey); err != nil {
			t.Fatal(err)
		}
		c.ask = func(_ context.Context, host aplomb.Host) (*tls.Certificate, error) {
			mu.Lock()
			defer mu.Unlock()
			asked[host] = append(asked[host], time.Since(began))
			return answer(host)
		}
		if err := c.open([]net.Listener{listener{80}}, []net.Listener{listener{443}}); err != nil {
			t.Fatal(err)
		}
		if !c.secured("old.test", time.Now()) {
			t.Error("the stored certificate is not served before the authority was asked")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.keep(ctx) }()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		mu.Lock()
		if n := len(asked["new.test"]); n != 5 {
			t.Errorf("asked %d times in two hours: %v; want five, further and further apart", n, asked["new.test"])
		}
		if len(asked["127.0.0.1"]) > 0 {
			t.Error("asked for an address")
		}
		mu.Unlock()
		byHost := map[aplomb.Host]CertificateStatus{}
		for _, st := range c.statuses(time.Now()) {
			byHost[st.Host] = st
		}
		if st := byHost["new.test"]; st.Problem != "no certificate yet: dial tcp 192.0.2.1:443: connection refused" || c.secured("new.test", time.Now()) || chosen(t, c, "new.test") != "" {
			t.Errorf("without a certificate: %+v", st)
		}
		if st := byHost["old.test"]; !strings.Contains(st.Problem, "it ends at") || !strings.Contains(st.Problem, "refused") || !c.secured("old.test", time.Now()) {
			t.Errorf("about to end: %+v", st)
		}
		time.Sleep(5 * time.Hour)
		if chosen(t, c, "old.test") != "old.test" || c.secured("old.test", time.Now()) {
			t.Error("a certificate that ended is not served on, or plain requests are led to it")
		}

		mu.Lock()
		cert, key := pemPair(t, time.Now(), 90*24*time.Hour, "old.test", "new.test")
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		answer = func(aplomb.Host) (*tls.Certificate, error) { return &pair, nil }
		mu.Unlock()
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		for _, st := range c.statuses(time.Now()) {
			if st.Host != "127.0.0.1" && (st.Problem != "" || !c.secured(st.Host, time.Now())) {
				t.Errorf("after the authority came back: %+v", st)
			}
		}

		mu.Lock()
		hosts = []aplomb.Host{"old.test"}
		clear(asked)
		mu.Unlock()
		c.wake()
		time.Sleep(time.Hour)
		synctest.Wait()
		mu.Lock()
		if len(asked["new.test"]) > 0 || len(asked["old.test"]) < 5 || chosen(t, c, "new.test") != "" {
			t.Errorf("after a host left the table: asked %v, served %q", asked, chosen(t, c, "new.test"))
		}
		mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestReasonsArePlain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ err, want string }{
		{"failed storage check: write x: no space left on device - storage is probably misconfigured", "the disk is full"},
		{"x509: certificate has expired or is not yet valid: current time", "clock says"},
		{strings.Repeat("a very long reason ", 100), "…"},
	} {
		if got := plainReason(errors.New(c.err)); !strings.Contains(got, c.want) || len(got) > 500 {
			t.Errorf("plainReason(%.40q) = %q, want %q in it", c.err, got, c.want)
		}
	}
}

func TestPlainRequestsAreLedToHTTPSWhereItAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := []CertificateFiles{writePair(t, "shop", time.Hour, shopHost)}
	for _, c := range []struct {
		name          string
		plain, secure int
		host          string
		header        []string
		to            string // "" for an answer in the clear
	}{
		{"the well-known ports", 80, 443, "shop.test", nil, "https://shop.test/a%20b?q=1"},
		{"ports of one's own", 8080, 8443, "shop.test:8080", nil, "https://shop.test:8443/a%20b?q=1"},
		{"only HTTPS has one of its own", 80, 8443, "shop.test", nil, "https://shop.test:8443/a%20b?q=1"},
		{"well-known ports led here", 8080, 8443, "SHOP.test", nil, "https://shop.test/a%20b?q=1"},
		{"TLS ended in front", 80, 443, "shop.test", []string{"X-Forwarded-Proto", "https"}, ""},
		{"a host without a certificate", 80, 443, "127.0.0.1", nil, ""},
	} {
		e := listening(t, w, Config{CertFiles: files, RedirectToHTTPS: true})
		if err := e.certs.open([]net.Listener{listener{c.plain}}, []net.Listener{listener{c.secure}}); err != nil {
			t.Fatal(err)
		}
		w.perform(e, intent(route(1, w.release(1, content{"/a b": "text"}))))
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := request(method, "/a%20b?q=1", c.header...)
			r.Host = c.host
			resp := do(e, r)
			if c.to == "" && resp.StatusCode != 200 || c.to != "" && (resp.StatusCode != 308 || resp.Header.Get("Location") != c.to) {
				t.Errorf("%s, %s: %d to %q, want %q", c.name, method, resp.StatusCode, resp.Header.Get("Location"), c.to)
			}
		}
		r := request(http.MethodGet, "/a%20b?q=1")
		r.TLS = &tls.ConnectionState{}
		if resp := do(e, r); resp.StatusCode != 200 {
			t.Errorf("%s: over TLS %d", c.name, resp.StatusCode)
		}
		e.certs.redirect = false
		r = request(http.MethodGet, "/a%20b?q=1")
		if resp := do(e, r); resp.StatusCode != 200 {
			t.Errorf("%s: %d where nobody is to be led", c.name, resp.StatusCode)
		}
	}
}

func TestUnusableCertificateNeverKeepsPlainHTTPFromBeingServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := listening(t, w, Config{Listen: []string{"127.0.0.1:0"}, ListenTLS: []string{"127.0.0.1:0"}, CertFiles: []CertificateFiles{{"none.pem", "none.key"}}, RedirectToHTTPS: true})
	run(t, e)
	w.perform(e, intent(route(1, w.release(1, content{"/index.html": "home"}))))
	if resp := get(e, "/"); resp.StatusCode != 200 {
		t.Errorf("in the clear: %d", resp.StatusCode)
	}
	_, err := tls.Dial("tcp", e.Addrs()[1].String(), &tls.Config{ServerName: shopHost, RootCAs: x509.NewCertPool()})
	if alert, ok := errors.AsType[*net.OpError](err); !ok || !strings.Contains(alert.Error(), "unrecognized name") {
		t.Errorf("handshake: %v, want the alert that the name is not known", err)
	}
	for _, st := range e.Certificates() {
		if !strings.Contains(st.Problem, "none.pem") {
			t.Errorf("%+v, want the file named", st)
		}
	}
}
