// Package pebbletest gives tests a certificate authority on loopback: Pebble, the one that Let's Encrypt tries its own
// clients with, and a name server that knows every name as this machine. It is for tests only.
package pebbletest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const version = "v2.10.1"

// build installs Pebble and its name server through the Go module proxy, once for this version, and returns their folder.
var build = sync.OnceValues(func() (string, error) {
	base := os.Getenv("APLOMB_CACHE")
	if base == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(cache, "aplomb-test")
	}
	dir := filepath.Join(base, "pebble-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", err
	}
	// Built aside and renamed: other test processes may be doing the same.
	making, err := os.MkdirTemp(base, "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(making)
	for _, command := range []string{"pebble", "pebble-challtestsrv"} {
		cmd := exec.Command("go", "install", "github.com/letsencrypt/pebble/v2/cmd/"+command+"@"+version)
		cmd.Env = append(os.Environ(), "GOBIN="+making, "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("install %s: %w\n%s", command, err, out)
		}
	}
	if err := os.Rename(making, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
})

// CA is an authority: an address that is known before it answers there.
type CA struct {
	// URL is its directory, RootsFile what its own HTTPS is known by.
	URL, RootsFile string
	// Life is how long its certificates are good; zero means 90 days.
	Life time.Duration

	t        testing.TB
	dir, bin string
	client   *http.Client
	running  []*process

	addr, info, names, namesInfo string
}

type process struct {
	cmd *exec.Cmd
	out *bytes.Buffer
}

// New makes ready an authority that is down until Start.
func New(t testing.TB) *CA {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	addrs := reserve(t)
	ca := &CA{t: t, dir: t.TempDir(), bin: bin, addr: addrs[0], info: addrs[1], names: addrs[2], namesInfo: addrs[3]}
	ca.URL = "https://" + ca.addr + "/dir"
	pool := ca.certify()
	ca.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	t.Cleanup(ca.Stop)
	return ca
}

// reserve finds four free ports in a row that the system does not hand out by itself. The first one's UDP side is held
// while the test runs, so that no other test takes them, in this process or another.
func reserve(t testing.TB) (addrs [4]string) {
	t.Helper()
	for range 1000 {
		first := 61000 + 4*rand.IntN(1000)
		held, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", first))
		if err != nil {
			continue
		}
		free := true
		for i := range addrs {
			addrs[i] = fmt.Sprintf("127.0.0.1:%d", first+i)
			l, err := net.Listen("tcp", addrs[i])
			if free = free && err == nil; err == nil {
				l.Close()
			}
		}
		if free {
			t.Cleanup(func() { held.Close() })
			return addrs
		}
		held.Close()
	}
	t.Fatal("no free ports among a thousand")
	return addrs
}

// certify makes the certificate of the authority's own HTTPS.
func (ca *CA) certify() *x509.CertPool {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(cryptorand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		ca.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	ca.RootsFile = ca.write("api.pem", cert)
	ca.write("api.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func (ca *CA) write(name string, b []byte) string {
	ca.t.Helper()
	file := filepath.Join(ca.dir, name)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		ca.t.Fatal(err)
	}
	return file
}

// Start lets the authority answer. It proves hosts on these ports of this machine.
func (ca *CA) Start(httpPort, tlsPort int) {
	ca.t.Helper()
	life := 90 * 24 * time.Hour
	if ca.Life > 0 {
		life = ca.Life
	}
	type profile struct {
		Description    string `json:"description"`
		ValidityPeriod int    `json:"validityPeriod"`
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": ca.addr, "managementListenAddress": ca.info,
		"certificate": filepath.Join(ca.dir, "api.pem"), "privateKey": filepath.Join(ca.dir, "api.key"),
		"httpPort": httpPort, "tlsPort": tlsPort, "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]profile{"default": {"for tests", int(life / time.Second)}},
	}})
	if err != nil {
		ca.t.Fatal(err)
	}
	ca.run("pebble-challtestsrv", "-dnsserver", ca.names, "-management", ca.namesInfo, "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
	ca.run("pebble", "-config", ca.write("pebble.json", config), "-dnsserver", ca.names)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if _, err := ca.get(ctx, ca.URL); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			ca.t.Fatalf("Pebble does not answer:\n%s", ca.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (ca *CA) run(command string, args ...string) {
	ca.t.Helper()
	p := &process{cmd: exec.Command(filepath.Join(ca.bin, command), args...), out: new(bytes.Buffer)}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	// Pebble refuses one valid nonce in twenty, which keeps clients honest; here it would only make tests slow.
	p.cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", "PEBBLE_WFE_NONCEREJECT=0")
	if err := p.cmd.Start(); err != nil {
		ca.t.Fatal(err)
	}
	ca.running = append(ca.running, p)
}

// Stop makes the authority fall silent: who asks it is refused a connection.
func (ca *CA) Stop() {
	for _, p := range ca.running {
		p.cmd.Process.Kill()
		_ = p.cmd.Wait() // it was killed
		if ca.t.Failed() {
			ca.t.Logf("%s:\n%s", p.cmd.Path, p.out)
		}
	}
	ca.running = nil
}

// Log is what the processes printed, once they are stopped.
func (ca *CA) Log() string {
	running := ca.running
	ca.Stop()
	var all string
	for _, p := range running {
		all += p.out.String()
	}
	return all
}

func (ca *CA) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := ca.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// Root is what browsers would know its certificates by. It is another one after each Start.
func (ca *CA) Root() *x509.Certificate {
	ca.t.Helper()
	text, err := ca.get(context.Background(), "https://"+ca.info+"/roots/0")
	if err != nil {
		ca.t.Fatalf("read Pebble's root: %v", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		ca.t.Fatalf("Pebble's root: %q", text)
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		ca.t.Fatalf("Pebble's root: %v", err)
	}
	return root
}

// Roots holds its Root.
func (ca *CA) Roots() *x509.CertPool {
	ca.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	return pool
}
