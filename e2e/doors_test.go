package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// nobody is the user that everybody may be.
const nobody = 65534

// TestDoors tries the ways in that are not meant for whoever tries them: another user of the machine, a page in the browser of
// the machine's own user, and a name that was made to point here.
func TestDoors(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.start(t)
	one, two := newFrontEnd(t, "one", 1, nil), newFrontEnd(t, "two", 1, nil)
	m.deploy(t, one.dir)
	m.deploy(t, two.dir)
	before := len(m.facts(t))
	d := doors{m, before}

	t.Run("another user", d.anotherUser)
	t.Run("a page of another site", d.anotherPage)
	t.Run("a rebound name", d.reboundName)
	t.Run("an unknown host", d.unknownHost)
	d.unchanged(t)
	d.tokenWorks(t)
}

type doors struct {
	m     *machine
	facts int // on the log before anybody tried
}

// unchanged checks that nobody got anything done.
func (d doors) unchanged(t *testing.T) {
	t.Helper()
	facts := d.m.facts(t)
	if len(facts) != d.facts {
		t.Errorf("the log has %d facts more: %+v", len(facts)-d.facts, facts[d.facts:])
	}
	v := newVisitor(t, shopHost, d.m.listen)
	if got := markerOf(v.navigate(t, "/").body); got != "two" {
		t.Errorf("the site shows %q, want %q", got, "two")
	}
}

// anotherUser opens every file and socket that the server keeps, and runs commands, as another user.
func (d doors) anotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test changes its user and has to be run by root: sudo go test ./e2e -run TestDoors")
	}
	var files, sockets []string
	for _, dir := range []string{d.m.dir, filepath.Join(d.m.home, ".local")} {
		err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.Type().IsRegular():
				files = append(files, file)
			case entry.Type()&fs.ModeSocket != 0:
				sockets = append(sockets, file)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 5 || len(sockets) != 1 {
		t.Fatalf("the server keeps files %q and sockets %q: not what was to be tried", files, sockets)
	}
	as(t, nobody, func() {
		if _, err := os.ReadFile(filepath.Join(d.m.dir, "..")); errors.Is(err, fs.ErrPermission) {
			t.Errorf("the folder around the data folder keeps others out: the test would prove nothing")
		}
		for _, file := range files {
			if b, err := os.ReadFile(file); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("another user reads %s: %d bytes, %v", file, len(b), err)
			}
		}
		for _, socket := range sockets {
			if err := connectSocket(socket); !errors.Is(err, syscall.EACCES) {
				t.Errorf("another user connects to %s: %v, want EACCES", socket, err)
			}
		}
	})
	for _, args := range [][]string{{"status"}, {"log", "--site", "shop"}, {"rollback", "--site", "shop"}, {"note", "hello", "--site", "shop"}} {
		home := t.TempDir()
		cmd := d.m.command(t.Context(), append(args, "--json")...)
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if o := ended(t, cmd, args); o.code != 4 {
			t.Errorf("as another user: %v\nwant exit 4", o)
		}
	}
}

// as runs f as another user, in a thread of its own that ends with it.
func as(t *testing.T, uid int, f func()) {
	t.Helper()
	done := make(chan syscall.Errno, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread goes with the goroutine
		// The raw calls change this thread alone; the one for the whole process would change the tests beside this one.
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0)
		if errno == 0 {
			_, _, errno = syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid))
		}
		if errno == 0 {
			_, _, errno = syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
		}
		if errno == 0 {
			f()
		}
		done <- errno
	}()
	if errno := <-done; errno != 0 {
		t.Fatalf("become user %d: %v", uid, errno)
	}
}

// connectSocket connects on the calling thread: the net package might do it on another.
func connectSocket(path string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Connect(fd, &syscall.SockaddrUnix{Name: path})
}

// anotherPage lets a page of another origin, open in a real browser, send everything that a page can send.
func (d doors) anotherPage(t *testing.T) {
	var asked atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>evil</title><h1>evil</h1><iframe name=hole></iframe>")
	}))
	defer evil.Close()
	_, port, _ := net.SplitHostPort(evil.Listener.Addr().String())
	o := newProfile(t).open(t, "http://evil.localhost:"+port+"/")
	_, apiPort, _ := net.SplitHostPort(d.m.api)
	_, sitePort, _ := net.SplitHostPort(d.m.listen)
	var bases []string
	for _, host := range []string{"127.0.0.1", "localhost", "evil.localhost", "shop.localhost"} {
		bases = append(bases, "http://"+host+":"+apiPort, "http://"+host+":"+sitePort)
	}
	list, err := json.Marshal(bases)
	if err != nil {
		t.Fatal(err)
	}
	got := evaluate[map[string]int](t, o, fmt.Sprintf(tryEverything, list))
	if got["sent"] < 100 || asked.Load() == 0 {
		t.Errorf("the page sent %d requests: it tried nothing", got["sent"])
	}
	if got["read"] != 0 {
		t.Errorf("the page could read %d answers of the API", got["read"])
	}
	d.unchanged(t)
}

// tryEverything sends reads and writes in every way a page has, and counts what was sent and whose answer could be read.
const tryEverything = `(async bases => {
	let sent = 0, read = 0;
	const acts = ["/v1/sites/shop/rollback", "/v1/sites/shop/undo", "/v1/sites/shop/note", "/v1/sites/shop/promote", "/v1/sites/shop/uploads"];
	const ways = [
		{mode: "no-cors"}, {mode: "cors"}, {mode: "no-cors", headers: {"Content-Type": "text/plain"}},
		{mode: "cors", headers: {"Content-Type": "application/json"}}, {mode: "cors", credentials: "include", headers: {"Content-Type": "application/json"}},
	];
	for (const base of bases) {
		for (const path of acts) for (const way of ways) {
			sent++;
			try {
				const r = await fetch(base + path, {method: "POST", body: "{}", ...way});
				if (r.type != "opaque" && base.includes(":") && r.ok) read++;
			} catch {}
		}
		for (const path of ["/v1/sites", "/v1/sites/shop", "/v1/sites/shop/facts", "/v1/health"]) {
			sent++;
			try { if ((await fetch(base + path)).ok) read++ } catch {}
			const image = new Image();
			image.src = base + path;
			await new Promise(done => { image.onload = image.onerror = done; setTimeout(done, 1000) });
		}
		for (const path of acts) for (const kind of ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]) {
			sent++;
			const form = document.createElement("form");
			form.method = "POST"; form.action = base + path; form.enctype = kind; form.target = "hole";
			form.innerHTML = '<input name="{" value="}">';
			document.body.append(form);
			const loaded = new Promise(done => { document.querySelector("iframe").onload = done; setTimeout(done, 200) });
			form.submit();
			await loaded;
			navigator.sendBeacon(base + path, "{}");
		}
	}
	return {sent, read};
})(%s)`

// reboundName asks the API under a name that somebody else made point here, with everything right apart from it.
func (d doors) reboundName(t *testing.T) {
	token := d.token(t)
	_, port, _ := net.SplitHostPort(d.m.api)
	for _, host := range []string{"evil.example", "evil.example:" + port, "evil.localhost:" + port, "shop.localhost:" + port, ""} {
		for _, method := range []string{"GET", "POST"} {
			path := map[string]string{"GET": "/v1/sites/shop", "POST": "/v1/sites/shop/rollback"}[method]
			status, err := rawAsk(t.Context(), d.m.api, method, path, host, "Authorization: Bearer "+token+"\r\nContent-Type: application/json\r\n")
			if err != nil || status != 421 && status != 403 && status != 400 {
				t.Errorf("%s as host %q: %d, %v, want 421, 403 or 400", method, host, status, err)
			}
		}
	}
	for name, fields := range map[string]string{
		"no token":     "Content-Type: application/json\r\n",
		"wrong token":  "Content-Type: application/json\r\nAuthorization: Bearer " + strings.Repeat("A", len(token)) + "\r\n",
		"another site": "Content-Type: application/json\r\nAuthorization: Bearer " + token + "\r\nSec-Fetch-Site: cross-site\r\n",
		"other origin": "Content-Type: application/json\r\nAuthorization: Bearer " + token + "\r\nOrigin: http://evil.example\r\n",
		"a form":       "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer " + token + "\r\n",
	} {
		status, err := rawAsk(t.Context(), d.m.api, "POST", "/v1/sites/shop/rollback", d.m.api, fields)
		if err != nil || status < 400 || status > 499 {
			t.Errorf("POST with %s: %d, %v, want 4xx", name, status, err)
		}
	}
}

// unknownHost asks the site's address for hosts that no site has.
func (d doors) unknownHost(t *testing.T) {
	for _, host := range []string{"evil.example", "localhost", "127.0.0.1", "shop.localhost.evil.example"} {
		if status, err := rawAsk(t.Context(), d.m.listen, "GET", "/", host, ""); err != nil || status != http.StatusMisdirectedRequest {
			t.Errorf("GET / as host %q: %d, %v, want 421", host, status, err)
		}
	}
}

// tokenWorks makes sure that what was refused would have worked with the right name and token.
func (d doors) tokenWorks(t *testing.T) {
	t.Helper()
	status, err := rawAsk(t.Context(), d.m.api, "POST", "/v1/sites/shop/rollback", d.m.api,
		"Content-Type: application/json\r\nAuthorization: Bearer "+d.token(t)+"\r\n")
	if err != nil || status != http.StatusOK {
		t.Errorf("POST with everything right: %d, %v, want 200", status, err)
	}
}

// token is what the same user's commands find.
func (d doors) token(t *testing.T) string {
	t.Helper()
	file := filepath.Join(d.m.home, ".local/state/aplomb", strings.ReplaceAll(d.m.api, ":", "_")+".json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ Token string }
	if err := json.Unmarshal(b, &e); err != nil || e.Token == "" {
		t.Fatalf("%s has no token: %v", file, err)
	}
	return e.Token
}

// rawAsk sends a request as it is and returns the answer's status.
func rawAsk(ctx context.Context, addr, method, path, host, fields string) (int, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	body := map[string]string{"POST": "{}"}[method]
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", method, path, host, fields, len(body), body)
	if err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}
