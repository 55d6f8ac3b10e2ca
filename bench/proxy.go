package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// proxyApp is a second nginx that answers by itself: the trivial app that both proxies pass requests on to. It runs on the
// load's core; what is measured is the proxies' alone.
func (r *run) proxyApp() (*server, error) {
	return r.nginxOf("app", `return 200 "`+strings.Repeat("0123456789abcdef", 64)+`";`, "default_type text/plain;", "1")
}

// nginxOf starts an nginx with one location.
func (r *run) nginxOf(name, location, server, core string) (*server, error) {
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
`, dir, server, addr, location)
	if os.Getuid() == 0 {
		text = "user root; " + text
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return r.startOn(core, addr, "nginx", "-c", conf)
}

// proxy measures the processor time and the delay that passing a request on to an app adds, beside nginx before the same app.
func (r *run) proxy() error {
	app, err := r.proxyApp()
	if err != nil {
		return err
	}
	defer app.stop()
	nginx, err := r.nginxOf("proxy", `proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;`,
		"upstream app { server "+app.addr+"; keepalive 64; keepalive_requests 1000000000; }", "0")
	if err != nil {
		return err
	}
	defer nginx.stop()
	ours, err := r.up(true)
	if err != nil {
		return err
	}
	defer ours.stop()
	project := filepath.Join(r.dir, "project")
	if err := os.MkdirAll(filepath.Join(project, "dist"), 0o755); err != nil {
		return err
	}
	toml := filepath.Join(project, "aplomb.toml")
	for name, text := range map[string]string{toml: "site = \"shop\"\ndir = \"dist\"\n[[app]]\npath = \"/api\"\nto = [\"" + app.addr + "\"]\n", filepath.Join(project, "dist", "index.html"): "<!doctype html><title>shop</title>"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if _, err := r.aplomb(ours, "deploy", "--config", toml, "--host", "shop.localhost"); err != nil {
		return err
	}
	peers := []peer{{"Aplomb", ours}, {"nginx", nginx}, {"the app alone", app}}
	cost, delay := map[string][]float64{}, map[string][]float64{}
	w := workload{name: "1 KB from an app", path: "/api"}
	for range r.rounds {
		for _, p := range peers[:2] {
			us, err := r.cost("h1", w, p)
			if err != nil {
				return err
			}
			cost[p.name] = append(cost[p.name], us)
		}
		for _, p := range peers {
			us, err := r.p50(p)
			if err != nil {
				return err
			}
			delay[p.name] = append(delay[p.name], us)
		}
	}
	r.ratio("CPU added a request, h1, 1 KB from an app", cost["Aplomb"], cost["nginx"], "µs", "nginx", 2.5)
	alone := median(delay["the app alone"])
	added := func(name string) []float64 { return []float64{median(delay[name]) - alone} }
	r.ratio("p50 added, h1, 1 KB from an app, one connection", added("Aplomb"), added("nginx"), "µs", "nginx", 1.7)
	return nil
}

// p50 is the median time of an answer on one connection, in microseconds.
func (r *run) p50(p peer) (float64, error) {
	out, err := r.output(pinned("1", "wrk", "-t1", "-c1", "-d2s", "--latency", "-H", "Host: shop.localhost", "http://"+p.s.addr+"/api"))
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
