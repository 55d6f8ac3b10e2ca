package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// workload is one kind of request.
type workload struct {
	name string
	path string
	etag bool    // asked with the validator, answered 304
	most float64 // goal: CPU a request over nginx's
}

// The goals are those of a server on net/http; see BENCHMARKS.md.
var (
	plainLoads = []workload{{"index 2 KB", "/", false, 2.6}, {"asset 30 KB", "/assets/part-Bq7Aa2x1.js", false, 3}, {"304", "/assets/part-Bq7Aa2x1.js", true, 2.5}, {"asset 300 KB", "/assets/image-Bq7Aa3x1.png", false, 1.4}}
	tlsLoads   = []workload{{"index 2 KB", "/", false, 1.8}, {"asset 30 KB", "/assets/part-Bq7Aa2x1.js", false, 1.8}, {"asset 300 KB", "/assets/image-Bq7Aa3x1.png", false, 1.8}}
	h2Loads    = []workload{{"index 2 KB", "/", false, 4.5}, {"asset 30 KB", "/assets/part-Bq7Aa2x1.js", false, 3}, {"asset 300 KB", "/assets/image-Bq7Aa3x1.png", false, 1.5}}
)

// static measures the processor time of a request beside nginx and Caddy: each server alone on the first core, the load
// on the second, in turn.
func (r *run) static() error {
	dir, err := r.smallSite("Aa")
	if err != nil {
		return err
	}
	text := bytes.Repeat([]byte("export const shop = () => render(\"a line of script\");\n"), 600)[:30_000]
	image := make([]byte, 300_000)
	rand.Read(image)
	if err := os.WriteFile(filepath.Join(dir, "assets", "part-Bq7Aa2x1.js"), text, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "assets", "image-Bq7Aa3x1.png"), image, 0o644); err != nil {
		return err
	}
	cert, key, err := r.certificate()
	if err != nil {
		return err
	}
	for _, proto := range []struct {
		name  string
		tls   bool
		loads []workload
	}{{"h1", false, plainLoads}, {"TLS h1", true, tlsLoads}, {"TLS h2", true, h2Loads}} {
		peers, err := r.peers(dir, proto.tls, cert, key)
		if err != nil {
			return err
		}
		for _, w := range proto.loads {
			if !strings.Contains(proto.name+" "+w.name, r.match) {
				continue
			}
			if err := r.measure(proto.name, w, peers); err != nil {
				stopAll(peers)
				return err
			}
		}
		stopAll(peers)
	}
	return nil
}

type peer struct {
	name string
	s    *server
}

func stopAll(peers []peer) {
	for _, p := range peers {
		p.s.stop()
	}
}

// peers starts aplomb, nginx with open_file_cache, and Caddy, all serving the same folder.
func (r *run) peers(dir string, tls bool, cert, key string) ([]peer, error) {
	var peers []peer
	fail := func(err error) ([]peer, error) { stopAll(peers); return nil, err }
	var extra []string
	tlsAddr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	if tls {
		extra = []string{"--tls-listen", tlsAddr, "--cert", cert, "--key", key}
	}
	s, err := r.up(true, extra...)
	if err != nil {
		return nil, err
	}
	peers = append(peers, peer{"Aplomb", s})
	if _, err := r.deploy(s, dir); err != nil {
		return fail(err)
	}
	if tls {
		s.addr = tlsAddr
	}
	if s, err = r.nginx(dir, tls, cert, key); err != nil {
		return fail(err)
	}
	peers = append(peers, peer{"nginx", s})
	if s, err = r.caddy(dir, tls, cert, key); err != nil {
		return fail(err)
	}
	return append(peers, peer{"Caddy", s}), nil
}

func (r *run) nginx(dir string, tls bool, cert, key string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	listen := addr
	if tls {
		listen += fmt.Sprintf(" ssl http2; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2 TLSv1.3", cert, key)
	}
	conf := filepath.Join(r.dir, "nginx.conf")
	text := fmt.Sprintf(`worker_processes 1; daemon off; master_process on; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;
events { worker_connections 4096; }
http {
	include /etc/nginx/mime.types; access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
	client_body_temp_path %[1]s/n1; proxy_temp_path %[1]s/n2; fastcgi_temp_path %[1]s/n3; uwsgi_temp_path %[1]s/n4; scgi_temp_path %[1]s/n5;
	open_file_cache max=10000 inactive=60s; open_file_cache_valid 60s;
	server { listen %[2]s; root %[3]s; location / { try_files $uri $uri/index.html =404; add_header Cache-Control no-cache; } }
}
`, r.dir, listen, dir)
	if os.Getuid() == 0 {
		text = "user root; " + text
	}
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return r.start(addr, "nginx", "-c", conf)
}

func (r *run) caddy(dir string, tls bool, cert, key string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	site := "http://" + addr + " {\n"
	if tls {
		site = "https://" + addr + " {\n\ttls " + cert + " " + key + "\n"
	}
	conf := filepath.Join(r.dir, "Caddyfile")
	text := "{\n\tadmin off\n\tauto_https off\n}\n" + site + "\troot * " + dir + "\n\tfile_server\n\theader Cache-Control no-cache\n}\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return r.start(addr, "caddy", "run", "--config", conf, "--adapter", "caddyfile")
}

// measure loads each peer in turn and notes Aplomb's CPU a request over nginx's, with Caddy's beside it.
func (r *run) measure(proto string, w workload, peers []peer) error {
	cost := map[string][]float64{}
	for range r.rounds {
		for _, p := range peers {
			us, err := r.cost(proto, w, p)
			if err != nil {
				return fmt.Errorf("%s, %s, %s: %w", p.name, proto, w.name, err)
			}
			cost[p.name] = append(cost[p.name], us)
		}
	}
	ours, nginx, caddy := median(cost["Aplomb"]), median(cost["nginx"]), median(cost["Caddy"])
	r.add(fmt.Sprintf("CPU a request, %s, %s", proto, w.name), number(ours)+" µs", fmt.Sprintf("nginx %s µs; Caddy %s µs (%s)", number(nginx), number(caddy), number(caddy/nginx)), number(ours/nginx), "≤ "+number(w.most), ours/nginx <= w.most)
	return nil
}

var requestsDone = regexp.MustCompile(`(?m)^\s*(\d+) requests in|requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded`)

// cost is the processor time one request takes a server, in microseconds.
func (r *run) cost(proto string, w workload, p peer) (float64, error) {
	url := "http://" + p.s.addr + w.path
	if proto != "h1" {
		url = "https://" + p.s.addr + w.path
	}
	host := "shop.localhost"
	if p.name == "Caddy" {
		host = p.s.addr
	}
	var headers []string
	if w.etag {
		tag, err := etag(url, host)
		if err != nil {
			return 0, err
		}
		headers = append(headers, "If-None-Match: "+tag)
	}
	argv := pinned("1", "wrk", "-t1", "-c16", "-d3s", "-H", "Host: "+host)
	if proto == "TLS h2" {
		argv = pinned("1", "h2load", "-t1", "-c16", "-m8", "-D3", "--warm-up-time=0", "-H", ":authority: "+host)
	}
	for _, h := range headers {
		argv = append(argv, "-H", h)
	}
	before := p.s.cpuMS()
	out, err := exec.CommandContext(r.ctx, argv[0], append(argv[1:], url)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	used := p.s.cpuMS() - before
	found := requestsDone.FindSubmatch(out)
	if found == nil || bytes.Contains(out, []byte("Non-2xx")) && !w.etag {
		return 0, fmt.Errorf("load on %s went wrong:\n%s", p.name, out)
	}
	n, err := strconv.ParseFloat(string(found[1])+string(found[2]), 64)
	if err != nil || n < 100 {
		return 0, fmt.Errorf("load on %s made %v requests:\n%s", p.name, n, out)
	}
	return used * 1000 / n, nil
}

// etag asks for the validator that a server gives a URL, and sees that it answers 304 to it: the load cannot tell.
func etag(url, host string) (string, error) {
	tag := ""
	for _, want := range []int{http.StatusOK, http.StatusNotModified} {
		req, err := http.NewRequest("GET", url, nil)
		if err != nil {
			return "", err
		}
		req.Host = host
		req.Header.Set("Accept-Encoding", "identity") // as the load asks; a coded form has another validator
		if tag != "" {
			req.Header.Set("If-None-Match", tag)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if tag = resp.Header.Get("Etag"); err != nil || resp.StatusCode != want || tag == "" {
			return "", fmt.Errorf("%s: %s with validator %q, want %d: %v", url, resp.Status, tag, want, err)
		}
	}
	return tag, nil
}

// certificate writes a self-signed certificate for shop.localhost.
func (r *run) certificate() (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	t := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop.localhost"}, DNSNames: []string{"shop.localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, &key.PublicKey, key)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(r.dir, "cert.pem"), filepath.Join(r.dir, "key.pem")
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return "", "", err
	}
	return certFile, keyFile, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
}

// memory measures what the servers hold at rest with a 28 MB release, and for each of 2,000 idle connections.
func (r *run) memory() error {
	dir, err := r.smallSite("Aa")
	if err != nil {
		return err
	}
	for i := range 93 {
		b := make([]byte, 300_000)
		rand.Read(b)
		if err := os.WriteFile(filepath.Join(dir, "assets", fmt.Sprintf("picture%d.png", i)), b, 0o644); err != nil {
			return err
		}
	}
	peers, err := r.peers(dir, false, "", "")
	if err != nil {
		return err
	}
	defer stopAll(peers)
	const idle = 2000
	rest, each := map[string]float64{}, map[string]float64{}
	for _, p := range peers {
		host := "shop.localhost"
		if p.name == "Caddy" {
			host = p.s.addr
		}
		for _, path := range []string{"/", "/assets/picture1.png"} {
			if err := getOnce(p.s.addr, host, path, nil); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		rest[p.name] = p.s.rssMB()
		var open []net.Conn
		for range idle {
			if err := getOnce(p.s.addr, host, "/", &open); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		each[p.name] = (p.s.rssMB() - rest[p.name]) * 1024 / idle
		for _, c := range open {
			c.Close()
		}
	}
	r.add("memory at rest, a release of 28 MB", number(rest["Aplomb"])+" MB", fmt.Sprintf("nginx %s MB; Caddy %s MB", number(rest["nginx"]), number(rest["Caddy"])), number(rest["Aplomb"]/rest["nginx"]), "≤ 40 MB", rest["Aplomb"] <= 40)
	r.add("memory of an idle connection", number(each["Aplomb"])+" KB", fmt.Sprintf("nginx %s KB; Caddy %s KB", number(each["nginx"]), number(each["Caddy"])), number(each["Aplomb"]/each["nginx"]), "≤ 10 KB", each["Aplomb"] <= 10)
	return nil
}

// getOnce asks once on a new connection, and keeps it open where keep is given.
func getOnce(addr, host, path string, keep *[]net.Conn) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	if keep == nil {
		defer c.Close()
	} else {
		*keep = append(*keep, c)
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host)
	b := make([]byte, 64<<10)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := c.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), "HTTP/1.1 200") {
		return fmt.Errorf("GET %s: %q, %v", path, b[:min(n, 60)], err)
	}
	return nil
}
