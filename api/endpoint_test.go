package api

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aplomb"
)

func sum(t Token) [sha256.Size]byte { return sha256.Sum256([]byte(t)) }

func isCode(err error, code aplomb.Code) bool {
	e, ok := errors.AsType[*aplomb.Error](err)
	return ok && e.Code == code
}

func isKind(err, kind error) bool { return errors.Is(err, kind) }

// ownPlaces are places of one test alone.
func ownPlaces(t testing.TB) places {
	t.Helper()
	home := t.TempDir()
	return places{login: []string{filepath.Join(home, "run/aplomb")}, lasting: []string{filepath.Join(home, "state/aplomb"), filepath.Join(home, "tmp/aplomb")}}
}

func write(t *testing.T, p places, e Endpoint) []string {
	t.Helper()
	files, err := p.write(e)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestEndpointIsFoundUnderEveryWayToWriteItsAddress(t *testing.T) {
	t.Parallel()
	p := ownPlaces(t)
	l := listenAnywhere(t)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	e := Endpoint{API: "127.0.0.1:" + port, Socket: "/d/api.sock", Dir: "/d", PID: os.Getpid(), Token: newToken()}
	write(t, p, e)
	for _, addr := range []string{"127.0.0.1:" + port, ":" + port, "localhost:" + port, "http://localhost:" + port + "/", "0.0.0.0:" + port} {
		got, err := p.find(addr)
		if err != nil || got != e {
			t.Errorf("find(%s) = %+v, %v, want %+v", addr, got, err, e)
		}
	}
}

func listenAnywhere(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestEndpointIsFoundAfterTheLastLogout(t *testing.T) {
	t.Parallel()
	p := ownPlaces(t)
	e := Endpoint{API: "127.0.0.1:1", Socket: "/d/api.sock", PID: os.Getpid(), Token: newToken()}
	if files := write(t, p, e); len(files) != 2 {
		t.Fatalf("written to %v, want a place of this login and one that lasts", files)
	}
	if err := os.RemoveAll(p.login[0]); err != nil {
		t.Fatal(err)
	}
	if got, err := p.find(e.API); err != nil || got.Token != e.Token {
		t.Errorf("find = %+v, %v", got, err)
	}
}

func TestEndpointFileThatOthersCouldHaveWrittenIsIgnored(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(file string) error{
		"readable by others":     func(f string) error { return os.Chmod(f, 0o644) },
		"folder open to others":  func(f string) error { return os.Chmod(filepath.Dir(f), 0o777) },
		"link to somewhere else": func(f string) error { return errorsOf(os.Rename(f, f+".real"), os.Symlink(f+".real", f)) },
		"no JSON":                func(f string) error { return os.WriteFile(f, []byte("{"), 0o600) },
		"another user's": func(f string) error {
			if os.Getuid() != 0 {
				return os.Remove(f)
			}
			return os.Chown(f, 65534, 65534)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := ownPlaces(t)
			e := Endpoint{API: "127.0.0.1:2", Socket: "/planted.sock", PID: os.Getpid(), Token: newToken()}
			for _, file := range write(t, p, e) {
				if err := spoil(file); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := p.find(e.API); err != nil || got != (Endpoint{API: e.API}) {
				t.Errorf("find = %+v, %v, want the bare address", got, err)
			}
		})
	}
}

func TestEndpointOfADeadServerDoesNotLeadToItsSocket(t *testing.T) {
	t.Parallel()
	p := ownPlaces(t)
	e := Endpoint{API: "127.0.0.1:3", Socket: "/d/api.sock", PID: 1 << 30, Token: newToken()}
	write(t, p, e)
	if got, err := p.find(e.API); err != nil || got.Socket != "" || got.API != e.API {
		t.Errorf("find = %+v, %v, want the address without the socket", got, err)
	}
}

func TestTheOnlyServerThatAnswersIsMeant(t *testing.T) {
	t.Parallel()
	p := ownPlaces(t)
	if _, err := p.only(); !isCode(err, aplomb.CodeNoServer) {
		t.Errorf("without a server: %v, want %s", err, aplomb.CodeNoServer)
	}
	first, second := listenAnywhere(t), listenAnywhere(t)
	one := Endpoint{API: first.Addr().String(), Socket: "/one/api.sock", Dir: "/one", PID: os.Getpid()}
	two := Endpoint{API: second.Addr().String(), Socket: "/two/api.sock", Dir: "/two", PID: os.Getpid()}
	write(t, p, one)
	write(t, p, two)
	_, err := p.only()
	if !isCode(err, aplomb.CodeUsage) || !strings.Contains(err.Error(), one.API) || !strings.Contains(err.Error(), two.API) {
		t.Errorf("with two servers: %v, want a usage error that names both", err)
	}
	second.Close()
	if got, err := p.only(); err != nil || got != one {
		t.Errorf("with one that answers: %+v, %v, want %+v", got, err, one)
	}
}

func TestAddressThatIsNoneIsAUsageError(t *testing.T) {
	t.Parallel()
	p := ownPlaces(t)
	_, err := p.find("9400")
	if !isCode(err, aplomb.CodeUsage) {
		t.Errorf("find(9400) = %v, want %s", err, aplomb.CodeUsage)
	}
	for _, addr := range []string{"/d/api.sock", "unix:/d/api.sock"} {
		if got, err := p.find(addr); err != nil || got != (Endpoint{Socket: "/d/api.sock"}) {
			t.Errorf("find(%s) = %+v, %v", addr, got, err)
		}
	}
}

func TestTokenShowsItselfOnlyInItsFile(t *testing.T) {
	t.Parallel()
	e := Endpoint{API: "127.0.0.1:4", Token: newToken()}
	body, err := json.Marshal(e)
	if err != nil || !strings.Contains(string(body), string(e.Token)) {
		t.Errorf("the file lacks the token: %s, %v", body, err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, e); strings.Contains(got, string(e.Token)) {
			t.Errorf("%s shows the token: %s", format, got)
		}
	}
	if a, b := newToken(), newToken(); a == b || len(a) != 43 {
		t.Errorf("tokens %d characters long, equal = %t: want 256 new bits each", len(a), a == b)
	}
}

func TestUserNameComesFromThePasswordFileAlone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(file, []byte("root:x:0:0::/root:/bin/sh\nbroken\nmia:x:1000:1000::/home/mia:/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[int]string{0: "root", 1000: "mia", 1001: ""} {
		if got := account(file, uid); got.name != want {
			t.Errorf("account(%d) = %+v, want %q", uid, got, want)
		}
	}
	if got := account(file+".none", 7); got != (login{}) {
		t.Errorf("without the file: %+v", got)
	}
	if got := userName(1 << 30); got != "uid 1073741824" {
		t.Errorf("a user without an account is called %q", got)
	}
}

func TestPlacesDoNotHangOnTheEnvironmentAlone(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	env := map[string]string{"HOME": home, "XDG_STATE_HOME": filepath.Join(home, "state"), "XDG_RUNTIME_DIR": home}
	with := userPlaces(func(name string) string { return env[name] })
	without := userPlaces(func(string) string { return "" })
	looked := slices.Concat(with.login, with.lasting, with.also)
	for _, dir := range slices.Concat(without.login, without.lasting) {
		if !slices.Contains(looked, dir) {
			t.Errorf("a server started without an environment may write to %s, where a command started with one does not look", dir)
		}
	}
	if len(without.lasting) == 0 {
		t.Error("without an environment there is no place")
	}
	if want := filepath.Join(home, "aplomb"); with.login[0] != want {
		t.Errorf("first place = %s, want %s", with.login[0], want)
	}
	relative := userPlaces(func(string) string { return "relative" })
	if !slices.Equal(relative.lasting, without.lasting) || relative.login != nil {
		t.Errorf("relative folders are used: %+v", relative)
	}
}

func TestServersOfAnotherHomeAreFoundByTheirAddressAlone(t *testing.T) {
	t.Parallel()
	p := ownPlaces(t)
	e := Endpoint{API: "127.0.0.1:5", Socket: "/d/api.sock", PID: os.Getpid(), Token: newToken()}
	write(t, p, e)
	other := places{lasting: []string{filepath.Join(t.TempDir(), "aplomb")}, also: p.lasting}
	if got, err := other.only(); !isCode(err, aplomb.CodeNoServer) {
		t.Errorf("without an address: %+v, %v, want %s", got, err, aplomb.CodeNoServer)
	}
	if got, err := other.find(e.API); err != nil || got != e {
		t.Errorf("by its address: %+v, %v, want %+v", got, err, e)
	}
}
