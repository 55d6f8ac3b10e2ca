package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// proxy measures the processor time and the delay that passing a request on to an app adds, beside nginx before the same
// app. The app is another nginx, on the load's core, which answers by itself: what is measured is the proxies' alone.
func (r *run) proxy() error {
	cert, key, err := r.certificate()
	if err != nil {
		return err
	}
	app, err := r.nginxOf("app", "", `return 200 "`+strings.Repeat("0123456789abcdef", 64)+`";`, "default_type text/plain;", "1")
	if err != nil {
		return err
	}
	defer app.stop()
	for _, proto := range []struct {
		name, listen string
		most, added  float64
	}{
		{"h1", "", 2.5, 1.7},
		{"TLS h1", fmt.Sprintf(" ssl; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2 TLSv1.3", cert, key), 2.3, 1.7},
	} {
		peers, err := r.proxies(app.addr, proto.listen, cert, key)
		if err != nil {
			return err
		}
		err = r.compare(proto.name, append(peers, peer{"the app alone", app}), proto.most, proto.added)
		stopAll(peers)
		if err != nil {
			return err
		}
	}
	return r.proxyLoad()
}

// proxies starts aplomb and nginx before an app.
func (r *run) proxies(app, listen, cert, key string) ([]peer, error) {
	nginx, err := r.nginxOf("proxy", listen, `proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;`,
		"upstream app { server "+app+"; keepalive 64; keepalive_requests 1000000000; }", "0")
	if err != nil {
		return nil, err
	}
	peers := []peer{{"nginx", nginx}}
	fail := func(err error) ([]peer, error) { stopAll(peers); return nil, err }
	var extra []string
	addr, err := freeAddr()
	if err != nil {
		return fail(err)
	}
	if listen != "" {
		extra = []string{"--tls-listen", addr, "--cert", cert, "--key", key}
	}
	ours, err := r.up(true, extra...)
	if err != nil {
		return fail(err)
	}
	peers = append(peers, peer{"Aplomb", ours})
	if err := r.deployApp(ours, app); err != nil {
		return fail(err)
	}
	if listen != "" {
		ours.addr = addr
	}
	return peers, nil
}

// deployApp puts a release live that passes /api on to an app.
func (r *run) deployApp(s *server, app string) error {
	project := filepath.Join(r.dir, "project")
	if err := os.MkdirAll(filepath.Join(project, "dist"), 0o755); err != nil {
		return err
	}
	toml := filepath.Join(project, "aplomb.toml")
	for name, text := range map[string]string{
		toml: "site = \"shop\"\ndir = \"dist\"\n[[app]]\npath = \"/api\"\nto = [\"" + app + "\"]\n", filepath.Join(project, "dist", "index.html"): "<!doctype html><title>shop</title>",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	_, err := r.aplomb(s, "deploy", "--config", toml, "--host", "shop.localhost")
	return err
}

// compare loads the proxies in turn, and the app alone to know what they add.
func (r *run) compare(proto string, peers []peer, most, mostAdded float64) error {
	cost, delay := map[string][]float64{}, map[string][]float64{}
	for range r.rounds {
		for _, p := range peers {
			of := proto
			if p.name == "the app alone" {
				of = "h1"
			} else if us, err := r.cost(proto, workload{name: "1 KB from an app", path: "/api"}, p); err != nil {
				return err
			} else {
				cost[p.name] = append(cost[p.name], us)
			}
			us, err := r.p50(of, p)
			if err != nil {
				return err
			}
			delay[p.name] = append(delay[p.name], us)
		}
	}
	r.ratio("CPU added a request, "+proto+", 1 KB from an app", cost["Aplomb"], cost["nginx"], "µs", "nginx", most)
	alone := median(delay["the app alone"])
	added := func(name string) []float64 { return []float64{median(delay[name]) - alone} }
	r.ratio("p50 added, "+proto+", 1 KB from an app, one connection", added("Aplomb"), added("nginx"), "µs", "nginx", mostAdded)
	return nil
}

// nginxOf starts an nginx with one location.
func (r *run) nginxOf(name, listen, location, server, core string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(r.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`worker_processes 1; daemon off; master_process on; pid %[1]s/pid; error_log %[1]s/log;
events { worker_connections 4096; }
http {
	access_log off; keepalive_requests 1000000000; tcp_nodelay on;
	client_body_temp_path %[1]s/n1; proxy_temp_path %[1]s/n2; fastcgi_temp_path %[1]s/n3; uwsgi_temp_path %[1]s/n4; scgi_temp_path %[1]s/n5;
	%[2]s
	server { listen %[3]s; location / { %[4]s } }
}
`, dir, server, addr+listen, location)
	if os.Getuid() == 0 {
		text = "user root; " + text
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return r.startOn(core, addr, "nginx", "-c", conf)
}

// p50 is the median time of an answer on one connection, in microseconds.
func (r *run) p50(proto string, p peer) (float64, error) {
	scheme := "http://"
	if proto != "h1" {
		scheme = "https://"
	}
	out, err := r.output(pinned("1", "wrk", "-t1", "-c1", "-d2s", "--latency", "-H", "Host: shop.localhost", scheme+p.s.addr+"/api"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(out, "50%")
	word := strings.Fields(rest + " ?")[0]
	for unit, factor := range map[string]float64{"us": 1, "ms": 1000} {
		if number, ok := strings.CutSuffix(word, unit); ok {
			v, err := strconv.ParseFloat(number, 64)
			return v * factor, err
		}
	}
	return 0, fmt.Errorf("no median in:\n%s", out)
}
