package edge

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"aplomb"
)

// run starts an edge on free ports and stops it when the test ends.
func run(t testing.TB, e *Edge) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	select {
	case <-e.Ready():
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func listening(t testing.TB, w *world, cfg Config) *Edge {
	t.Helper()
	cfg.StateDir, cfg.Blobs = t.TempDir(), w.blobs
	e, err := Open(w.lg, cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return e
}

var anyPort = Config{Listen: []string{"127.0.0.1:0"}}

// raw sends bytes and returns everything that comes back until the edge closes the connection.
func raw(t *testing.T, addr net.Addr, sent string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, sent); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("read answer to %.40q: %v", sent, err)
	}
	return string(b)
}

func TestNoAnswerIsNotModifiedByADate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := listening(t, w, anyPort)
	run(t, e)
	v1 := w.release(1, content{"/index.html": "<h1>version one</h1>", "/app.js": "version one, longer"})
	same := w.release(2, content{"/index.html": "<h1>version two</h1>", "/app.js": "v2"})
	w.perform(e, intent(route(1, v1)))
	w.perform(e, intent(route(2, same, v1)))
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	base := "http://" + e.Addrs()[0].String()
	held := map[string]string{}
	for _, path := range []string{"/", "/app.js"} {
		resp, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		bodyOf(t, resp)
		resp.Body.Close()
		held[path] = resp.Header.Get("ETag")
		if resp.Header.Get("Last-Modified") != "" || held[path] == "" {
			t.Errorf("%s: ETag %q, Last-Modified %q; want a tag and no date", path, held[path], resp.Header.Get("Last-Modified"))
		}
	}
	w.perform(e, urgent(route(3, v1, same)))
	now := time.Now().UTC().Format(http.TimeFormat)
	late := time.Now().UTC().Add(time.Hour).Format(http.TimeFormat)
	for _, c := range []struct{ name, path, conditions, want string }{
		{"A other size, date only", "/app.js", "If-Modified-Since: " + now + "\r\n", "version one, longer"},
		{"A other size, date and tag", "/app.js", "If-Modified-Since: " + now + "\r\nIf-None-Match: " + held["/app.js"] + "\r\n", "version one, longer"},
		{"B same size, date and tag", "/", "If-Modified-Since: " + now + "\r\nIf-None-Match: " + held["/"] + "\r\n", "<h1>version one</h1>"},
		{"B same size, date only", "/", "If-Modified-Since: " + late + "\r\n", "<h1>version one</h1>"},
		{"C within one second, date and weak tag", "/", "If-Modified-Since: " + now + "\r\nIf-None-Match: W/" + held["/"] + "\r\n", "<h1>version one</h1>"},
	} {
		got := raw(t, e.Addrs()[0], "GET "+c.path+" HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n"+c.conditions+"\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.HasSuffix(got, "\r\n\r\n"+c.want) {
			t.Errorf("%s: got %q, want 200 with %q", c.name, got, c.want)
		}
	}
}

func TestRawRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := listening(t, w, anyPort)
	run(t, e)
	w.perform(e, intent(route(1, w.release(1, content{"/index.html": "home"}))))
	for _, c := range []struct{ name, sent, status, has string }{
		{"plain", "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n", "200", "home"},
		{"absolute form goes by its authority", "GET http://shop.test/ HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n", "200", "home"},
		{"absolute form of another site", "GET http://evil.test/ HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n", "421", "no such site"},
		{"absolute form of another scheme", "GET ftp://shop.test/ HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n", "400", ""},
		{"unknown host", "GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n", "421", "no such site"},
		{"empty host", "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", "400", ""},
		{"no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "400", ""},
		{"HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n", "400", ""},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n", "200", "home"},
		{"fragment", "GET /#x HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n", "400", ""},
		{"bad escape", "GET /%zz HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n", "400", ""},
		{"upgrade to h2c is ignored", "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", "200", "home"},
		{"body on a static path ends the connection", "GET / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 9999999\r\n\r\n", "200", "Connection: close"},
		{"chunked body ends the connection", "POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "405", "Connection: close"},
		{"header too large", "GET / HTTP/1.1\r\nHost: shop.test\r\nX: " + strings.Repeat("a", 80<<10) + "\r\n\r\n", "431", ""},
		{"HTTP/2 preface on the plain port", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := raw(t, e.Addrs()[0], c.sent)
			if !strings.HasPrefix(got, "HTTP/1.") || c.status == "" && strings.Contains(got, " 200 ") ||
				c.status != "" && got[9:12] != c.status || !strings.Contains(got, c.has) || strings.Contains(got, "evil") {
				t.Errorf("got %.200q, want %s with %q", got, c.status, c.has)
			}
		})
	}
}

func TestKeptAliveConnectionSeesTheSwitch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := listening(t, w, anyPort)
	run(t, e)
	r1, r2 := w.release(1, content{"/index.html": "one"}), w.release(2, content{"/index.html": "two"})
	w.perform(e, intent(route(1, r1)))
	c, err := net.Dial("tcp", e.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for i, want := range []string{"one", "two", "one"} {
		if i > 0 {
			w.perform(e, intent(route(int64(i+1), []aplomb.KeptRelease{r1, r2}[i%2], []aplomb.KeptRelease{r2, r1}[i%2])))
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("switch %d: %v", i, err)
		}
		if got := bodyOf(t, resp); got != want {
			t.Errorf("switch %d: %q, want %q", i, got, want)
		}
	}
}

func TestHTTP2WithOwnCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certFile, keyFile, pool := certificate(t)
	e := listening(t, w, Config{Listen: []string{"127.0.0.1:0"}, ListenTLS: []string{"127.0.0.1:0"}, CertFiles: []CertificateFiles{{Cert: certFile, Key: keyFile}}})
	run(t, e)
	large := strings.Repeat("0123456789abcdef", 1<<14)
	w.perform(e, intent(route(1, w.release(1, content{"/index.html": "home", "/large.bin": large}))))
	for _, h2 := range []bool{true, false} {
		protocols := new(http.Protocols)
		protocols.SetHTTP2(h2)
		protocols.SetHTTP1(!h2)
		client := http.Client{Transport: &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: pool}}}
		for path, want := range map[string]string{"/": "home", "/large.bin": large} {
			resp, err := client.Get("https://" + e.Addrs()[1].String() + path)
			if err != nil {
				t.Fatal(err)
			}
			got := bodyOf(t, resp)
			resp.Body.Close()
			if got != want || (resp.ProtoMajor == 2) != h2 || resp.StatusCode != 200 {
				t.Errorf("%s: %s %d with %d bytes, want %d bytes over HTTP/2: %v", path, resp.Proto, resp.StatusCode, len(got), len(want), h2)
			}
		}
		client.CloseIdleConnections()
	}
	if _, err := tls.Dial("tcp", e.Addrs()[1].String(), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}

// certificate makes a certificate for 127.0.0.1.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, b := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return certFile, keyFile, pool
}

func TestAddressThatCannotBeListenedOnIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	e := listening(t, w, Config{Listen: []string{"127.0.0.1:0", taken.Addr().String()}})
	var said *aplomb.Error
	if err := e.Run(t.Context()); !errors.As(err, &said) || said.Code != aplomb.CodeListen || !strings.Contains(said.What, taken.Addr().String()) {
		t.Errorf("Run: %v, want %s naming the address", err, aplomb.CodeListen)
	}
	e = listening(t, w, Config{ListenTLS: []string{"127.0.0.1:0"}, CertFiles: []CertificateFiles{{Cert: "none.pem", Key: "none.pem"}}})
	if err := e.Run(t.Context()); !errors.As(err, &said) || said.Code != aplomb.CodeConfig {
		t.Errorf("Run without a certificate: %v, want %s", err, aplomb.CodeConfig)
	}
}

func TestStopLetsAnswersUnderWayFinish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := listening(t, w, anyPort)
	stop := run(t, e)
	large := bytes.Repeat([]byte("0123456789abcdef"), 2<<20)
	w.perform(e, intent(route(1, w.release(1, content{"/index.html": "home", "/large.bin": string(large)}))))
	c, err := net.Dial("tcp", e.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /large.bin HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	stopping := make(chan struct{})
	go func() { defer close(stopping); stop() }()
	for {
		again, err := net.Dial("tcp", e.Addrs()[0].String())
		if err != nil {
			break
		}
		again.Close()
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, large) {
		t.Errorf("the answer under way: %d of %d bytes, %v", len(got), len(large), err)
	}
	<-stopping
}

func TestStoreThatFailsInTheMiddleCutsTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := listening(t, w, anyPort)
	run(t, e)
	w.perform(e, intent(route(1, w.release(1, content{"/index.html": "home", "/large.bin": strings.Repeat("x", 1<<20)}))))
	w.blobs.fail(aplomb.Sum([]byte(strings.Repeat("x", 1<<20))), func(r io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(r, 1<<19), iotest.ErrReader(&os.PathError{Op: "read", Path: "blob", Err: errDisk}))
	})
	got := raw(t, e.Addrs()[0], "GET /large.bin HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes were taken for the whole file", n)
	}
}
