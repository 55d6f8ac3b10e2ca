package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// frontCache is somebody's shared cache in front of the program: the real one, with its own configuration.
type frontCache struct {
	name string
	addr string
}

// newNginx starts two nginx servers in front of addr: one that does as it is told, and one that keeps everything for a second
// whatever it is told, and then revalidates, as many configurations in the field do.
func newNginx(t *testing.T, addr string) (obeying, stubborn frontCache) {
	t.Helper()
	dir := t.TempDir()
	obeying = frontCache{"nginx", freeAddr(t)}
	stubborn = frontCache{"nginx that keeps everything for a second", freeAddr(t)}
	server := func(listen, more string) string {
		return fmt.Sprintf(`server {
			listen %s;
			location / {
				proxy_pass http://%s;
				proxy_http_version 1.1;
				proxy_set_header Host $http_host;
				proxy_set_header Connection "";
				proxy_cache all;
				proxy_cache_key "$server_port$http_host$request_uri$http_accept_encoding";
				proxy_cache_revalidate on;
				add_header X-Cache $upstream_cache_status always;
				%s
			}
		}`, listen, addr, more)
	}
	config := fmt.Sprintf(`daemon off; worker_processes 1; %[2]s pid %[1]s/nginx.pid; error_log %[1]s/error.log;
		events { worker_connections 256; }
		http {
			access_log off;
			client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
			uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
			proxy_cache_path %[1]s/cache keys_zone=all:1m inactive=10m;
			%[3]s
			%[4]s
		}`, dir, userLine(), server(obeying.addr, ""),
		server(stubborn.addr, "proxy_ignore_headers Cache-Control Expires; proxy_cache_valid 200 1s;"))
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, []byte(config))
	runCache(t, obeying.addr, "nginx", "-c", file, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	return obeying, stubborn
}

// userLine keeps nginx's workers able to write into the test's folder.
func userLine() string {
	if os.Getuid() == 0 {
		return "user root;"
	}
	return ""
}

// newVarnish is newNginx with Varnish.
func newVarnish(t *testing.T, addr string) (obeying, stubborn frontCache) {
	t.Helper()
	dir := t.TempDir()
	obeying = frontCache{"Varnish", freeAddr(t)}
	stubborn = frontCache{"Varnish that keeps everything for a second", freeAddr(t)}
	host, port, _ := strings.Cut(addr, ":")
	_, stubbornPort, _ := strings.Cut(stubborn.addr, ":")
	config := fmt.Sprintf(`vcl 4.1;
		import std;
		backend default { .host = "%s"; .port = "%s"; }
		sub vcl_recv {
			set req.http.X-Door = std.port(local.ip);
			if (req.http.X-Door == "%s") { set req.http.X-Keep = "1"; }
		}
		sub vcl_hash { hash_data(req.http.X-Door); }
		sub vcl_backend_response {
			set beresp.grace = 0s;
			set beresp.keep = 1h;
			if (bereq.http.X-Keep) { set beresp.ttl = 1s; return (deliver); }
		}
		sub vcl_deliver {
			set resp.http.X-Cache = "MISS";
			if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; }
		}
		`, host, port, stubbornPort)
	file := filepath.Join(dir, "cache.vcl")
	write(t, file, []byte(config))
	runCache(t, obeying.addr, "varnishd", "-F", "-j", "none", "-n", filepath.Join(dir, "n"), "-f", file,
		"-a", obeying.addr, "-a", stubborn.addr, "-s", "malloc,16m", "-p", "default_grace=0")
	return obeying, stubborn
}

// runCache starts a cache in a process group of its own, waits until it listens, and ends it after the test.
func runCache(t *testing.T, addr, program string, args ...string) {
	t.Helper()
	file, err := exec.LookPath(program)
	if err != nil {
		file = "/usr/sbin/" + program
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%s is not installed; install it with: apt-get install nginx varnish", program)
	}
	out := new(printed)
	cmd := exec.Command(file, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(patience):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", program, tail(out.String(), 2000))
		}
	})
	limit := time.NewTimer(patience)
	defer limit.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !accepts(addr) {
		select {
		case err := <-done:
			done <- err
			t.Fatalf("%s ended: %v\n%s", program, err, out)
		case <-limit.C:
			t.Fatalf("%s does not listen on %s after %v:\n%s", program, addr, patience, out)
		case <-again.C:
		}
	}
}
