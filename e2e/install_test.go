package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInstalledServiceServesOnAPrivilegedPortWithoutRoot promises that what install writes is what systemd accepts, and that
// its command line, run as a user who is nobody with the unit's capabilities alone, serves below port 1024 and tells systemd.
func TestInstalledServiceServesOnAPrivilegedPortWithoutRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("this test becomes another user and has to be run by root: sudo go test ./e2e -run TestInstalled")
	}
	m := newMachine(t)
	image := filepath.Join(m.home, "image")
	if o := m.try(t, "install", "--root", image); o.code != 0 {
		t.Fatal(o)
	}
	text, err := os.ReadFile(filepath.Join(image, "etc/systemd/system/aplomb.service"))
	if err != nil {
		t.Fatal(err)
	}
	verify(t, strings.Replace(string(text), "/usr/local/bin/aplomb", filepath.Join(image, "usr/local/bin/aplomb"), 1))

	const nobody = 65534
	dir := filepath.Join(image, "var/lib/aplomb")
	port := privilegedPort(t)
	if err := os.WriteFile(filepath.Join(dir, "machine.toml"), fmt.Appendf(nil, "listen = [\"127.0.0.1:%d\"]\napi = %q\n", port, m.api), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, filepath.Join(dir, "machine.toml")} {
		if err := os.Chown(p, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(image, "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	var log printed
	cmd := exec.Command("setpriv", "--reuid", fmt.Sprint(nobody), "--regid", fmt.Sprint(nobody), "--clear-groups", "--no-new-privs",
		"--inh-caps", "-all,+net_bind_service", "--ambient-caps", "-all,+net_bind_service", "--bounding-set", "-all,+net_bind_service",
		filepath.Join(image, "usr/local/bin/aplomb"), "up", "--dir", dir)
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "NOTIFY_SOCKET=" + socket}
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the service ended with %v:\n%s", err, log.String())
		}
	})
	if got := heard(t, told); !strings.HasPrefix(got, "READY=1\n") {
		t.Fatalf("systemd was told %q:\n%s", got, log.String())
	}
	f := newFrontEnd(t, "service", 2, nil)
	m.api = filepath.Join(dir, "api.sock")
	if o := m.try(t, "deploy", f.dir, "--site", "shop", "--host", shopHost); o.code != 0 {
		t.Fatalf("root deploys through the socket: %v", o)
	}
	v := newVisitor(t, shopHost, fmt.Sprintf("127.0.0.1:%d", port))
	if a := v.navigate(t, "/"); a.status != http.StatusOK || markerOf(a.body) != f.marker {
		t.Errorf("the site answers %v", a)
	}
}

// verify lets systemd read a unit.
func verify(t *testing.T, unit string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "aplomb.service")
	if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput(); err != nil || strings.Contains(string(out), "aplomb.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// heard returns the next datagram.
func heard(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		return err.Error()
	}
	return string(b[:n])
}

// privilegedPort returns a port below 1024 that nobody listens on.
func privilegedPort(t *testing.T) int {
	t.Helper()
	for port := 700; port < 1024; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port below 1024 is free")
	return 0
}
