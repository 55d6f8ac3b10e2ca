package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aplomb"
)

func TestLoginIsKeptForOneUserAndFoundUntilLogout(t *testing.T) {
	t.Parallel()
	p := ownPlaces(t)
	_, token := mintToken()
	ep, err := TokenEndpoint("http://localhost:9400/", token)
	if err != nil || ep.API != "127.0.0.1:9400" {
		t.Fatalf("endpoint = %+v, %v", ep, err)
	}
	file, err := p.keepLogin(ep)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(file, p.lasting[0]) {
		t.Errorf("%s: %v, %v", file, info, err)
	}
	for name, find := range map[string]func() (Endpoint, error){
		"by its address":  func() (Endpoint, error) { return p.find("localhost:9400") },
		"as the only one": p.only,
	} {
		if got, err := find(); err != nil || got != ep {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, ep)
		}
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := p.find("localhost:9400"); err != nil || got.Token != "" {
		t.Errorf("a file that others can read: %+v, %v, want it left alone", got, err)
	}
	if addr, err := p.forgetLogin("localhost:9400"); err != nil || addr != ep.API {
		t.Errorf("logout = %q, %v", addr, err)
	}
	if _, err := p.forgetLogin("localhost:9400"); !isCode(err, aplomb.CodeNoToken) {
		t.Errorf("logout again = %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the token is left behind")
	}
}

func TestServerOfThisUserGoesBeforeALoginAsLongAsItLives(t *testing.T) {
	t.Parallel()
	p := ownPlaces(t)
	_, token := mintToken()
	if _, err := p.keepLogin(Endpoint{API: "127.0.0.1:9400", Token: token}); err != nil {
		t.Fatal(err)
	}
	own := Endpoint{API: "127.0.0.1:9400", Socket: "/d/api.sock", Dir: "/d", PID: os.Getpid(), Token: newToken()}
	files := write(t, p, own)
	for name, find := range map[string]func() (Endpoint, error){"find": func() (Endpoint, error) { return p.find(own.API) }, "only": p.only} {
		if got, err := find(); err != nil || got != own {
			t.Errorf("%s = %+v, %v, want this user's own server", name, got, err)
		}
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	dead := own
	dead.PID = 1 << 30
	write(t, p, dead)
	for name, find := range map[string]func() (Endpoint, error){"find": func() (Endpoint, error) { return p.find(own.API) }, "only": p.only} {
		if got, err := find(); err != nil || got.Token != token || got.Socket != "" {
			t.Errorf("%s = %+v, %v, want the login: the server's process is gone", name, got, err)
		}
	}
}

func TestLogoutAsksWhichServerIsMeant(t *testing.T) {
	t.Parallel()
	p := ownPlaces(t)
	for _, addr := range []string{"127.0.0.1:9400", "api.example.com:9400"} {
		_, token := mintToken()
		if _, err := p.keepLogin(Endpoint{API: addr, Token: token}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.forgetLogin(""); !isCode(err, aplomb.CodeUsage) || !strings.Contains(err.Error(), "api.example.com:9400") {
		t.Errorf("logout of one of two = %v", err)
	}
	if _, err := p.forgetLogin("api.example.com:9400"); err != nil {
		t.Error(err)
	}
	if addr, err := p.forgetLogin(""); err != nil || addr != "127.0.0.1:9400" {
		t.Errorf("logout of the only one = %q, %v", addr, err)
	}
}

func TestTokenOfTheEnvironmentTakesThePlaceOfTheSocket(t *testing.T) {
	t.Parallel()
	_, token := mintToken()
	own := Endpoint{API: "127.0.0.1:9400", Socket: "/d/api.sock", PID: os.Getpid(), Token: newToken()}
	if got, err := withGivenToken(own, ""); err != nil || got != own {
		t.Errorf("without one: %+v, %v", got, err)
	}
	if got, err := withGivenToken(own, string(token)+"\n"); err != nil || got.Token != token || got.Socket != "" || got.API != own.API {
		t.Errorf("with one: %+v, %v, want TCP with it", got, err)
	}
	for name, c := range map[string]struct {
		ep    Endpoint
		token string
	}{
		"cut short":         {own, string(token)[:30]},
		"no TCP address":    {Endpoint{Socket: "/d/api.sock"}, string(token)},
		"a checksum is off": {own, flipped(string(token), 30)},
	} {
		if _, err := withGivenToken(c.ep, c.token); !isCode(err, aplomb.CodeDenied) || strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: %v, want %s", name, err, aplomb.CodeDenied)
		}
	}
}

func TestLoginWithoutAFolderIsSaid(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := places{lasting: []string{filepath.Join(file, "aplomb")}}
	if _, err := p.keepLogin(Endpoint{API: "127.0.0.1:9400", Token: newToken()}); !isCode(err, aplomb.CodeReadOnly) {
		t.Errorf("login = %v", err)
	}
}
