package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"aplomb/edge/pebbletest"
)

// secureMachine is a machine whose certificates come from Pebble.
type secureMachine struct {
	*machine
	ca        *pebbletest.CA
	listenTLS string
}

func newSecureMachine(t *testing.T) *secureMachine {
	t.Helper()
	m := &secureMachine{machine: newMachine(t), ca: pebbletest.New(t), listenTLS: freeAddr(t)}
	settings := fmt.Sprintf("listen_tls = [%q]\nacme = true\nacme_ca = %q\nacme_ca_roots = %q\n", m.listenTLS, m.ca.URL, m.ca.RootsFile)
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(m.dir, "machine.toml"), []byte(settings))
	return m
}

func (m *secureMachine) startCA(t *testing.T) {
	t.Helper()
	m.ca.Start(portOf(t, m.listen), portOf(t, m.listenTLS))
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// browser asks this machine whatever the host, and follows nothing.
func (m *secureMachine) browser(t *testing.T, roots *x509.CertPool) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
		Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: roots},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// readPage asks for an address and returns the answer with its marker.
func readPage(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return resp, markerOf(b)
}

// siteStatus is what status --json says of a site.
type siteStatus struct {
	Site    string   `json:"site"`
	URL     string   `json:"url"`
	Missing []string `json:"missing"`
}

// waitForURL waits until status names an address that begins so.
func (m *secureMachine) waitForURL(t *testing.T, prefix string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		st := list[siteStatus](t, m.machine, "status")
		if len(st) == 1 && strings.HasPrefix(st[0].URL, prefix) {
			return st[0].URL
		}
		select {
		case <-ctx.Done():
			t.Fatalf("status %+v, want an address that begins with %s", st, prefix)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestSiteGetsItsCertificateByItself goes from a bare machine to a page over HTTPS, and through a power cut while the
// authority is away.
func TestSiteGetsItsCertificateByItself(t *testing.T) {
	t.Parallel()
	m := newSecureMachine(t)
	one, two := newFrontEnd(t, "one", 2, nil), newFrontEnd(t, "two", 2, nil)
	m.start(t)
	var d deployed
	began := time.Now()
	m.run(t, &d, "deploy", one.dir, "--site", "shop", "--host", "shop.test", "--host", "www.shop.test")
	plain, secure := "http://shop.test:"+strconv.Itoa(portOf(t, m.listen))+"/", "https://shop.test:"+strconv.Itoa(portOf(t, m.listenTLS))+"/"
	client := m.browser(t, nil)
	if resp, marker := readPage(t, client, plain); resp.StatusCode != 200 || marker != "one" {
		t.Errorf("before there is a certificate: %d with %q; want it served in the clear", resp.StatusCode, marker)
	}
	m.says(t, `"msg":"no new certificate`)
	if st := list[siteStatus](t, m.machine, "status"); len(st) != 1 || !strings.Contains(strings.Join(st[0].Missing, " "), "HTTPS of shop.test: no certificate yet") {
		t.Errorf("status while the authority is away: %+v", st)
	}
	m.stop(t)

	m.startCA(t)
	m.start(t)
	if url := m.waitForURL(t, "https://"); url != secure {
		t.Errorf("status says %s, want %s", url, secure)
	}
	t.Logf("%v from the first deploy on", time.Since(began).Round(time.Millisecond))
	roots := m.ca.Roots()
	client = m.browser(t, roots)
	if resp, marker := readPage(t, client, secure); resp.StatusCode != 200 || marker != "one" || resp.Proto != "HTTP/2.0" {
		t.Errorf("over HTTPS: %s %d with %q", resp.Proto, resp.StatusCode, marker)
	}
	if resp, _ := readPage(t, client, plain+"a?b=c"); resp.StatusCode != 308 || resp.Header.Get("Location") != secure+"a?b=c" {
		t.Errorf("in the clear: %d to %q, want 308 to %sa?b=c", resp.StatusCode, resp.Header.Get("Location"), secure)
	}
	m.says(t, `"host":"www.shop.test"`)

	m.ca.Stop()
	m.kill(t)
	m.start(t)
	client = m.browser(t, roots)
	if resp, marker := readPage(t, client, secure); resp.StatusCode != 200 || marker != "one" {
		t.Errorf("right after a power cut: %d with %q", resp.StatusCode, marker)
	}
	m.run(t, &d, "deploy", two.dir, "--site", "shop")
	if d.URL != secure {
		t.Errorf("deploy says %q, want %s", d.URL, secure)
	}
	if resp, marker := readPage(t, client, secure); resp.StatusCode != 200 || marker != "two" {
		t.Errorf("after a deploy: %d with %q", resp.StatusCode, marker)
	}
	if at, err := os.Stat(filepath.Join(m.dir, "certificates")); err != nil || at.Mode().Perm() != 0o700 {
		t.Errorf("the folder of keys: %v, %v; want it kept from others", at, err)
	}
}
