package api

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aplomb"
)

// someGrants are the tokens of a folder, at a time that the test moves.
func someGrants(t *testing.T, dir string, now *time.Time) (*grants, *logLines) {
	t.Helper()
	lines := &logLines{}
	g := newGrants(slog.New(slog.NewTextHandler(lines, nil)), dir, func() time.Time { return *now })
	if err := g.load(); err != nil {
		t.Fatal(err)
	}
	return g, lines
}

func mustAdd(t *testing.T, g *grants, grant Grant) Token {
	t.Helper()
	_, token, err := g.add(grant)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokensAreThereAfterARestartAndNowhereInTheClear(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	g, _ := someGrants(t, dir, &now)
	token := mustAdd(t, g, Grant{Name: "ci", Scopes: aplomb.ScopeDeploy.Whole(), Site: "shop", Created: now, By: "mia", Expires: now.Add(time.Hour)})
	gone := mustAdd(t, g, Grant{Name: "old", Scopes: aplomb.ScopeRead})
	if _, err := g.revoke("mia", func(g Grant) bool { return g.Name == "old" }); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if _, refusal := g.find(string(token)); refusal != nil {
		t.Fatal(refusal)
	}
	g.flushNow()
	body, err := os.ReadFile(filepath.Join(dir, grantsName))
	if err != nil || strings.Contains(string(body), string(token)[len(tokenMark)+tokenIDLen+1:]) {
		t.Errorf("the file holds the token (%v):\n%s", err, body)
	}
	if info, err := os.Stat(filepath.Join(dir, grantsName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode: %v, %v", info, err)
	}
	again, _ := someGrants(t, dir, &now)
	k, refusal := again.find(string(token))
	if refusal != nil || k.Name != "ci" || k.Site != "shop" || !k.grant().LastUsed.Equal(now) {
		t.Errorf("after a restart: %+v, %v", k, refusal)
	}
	if _, refusal := again.find(string(gone)); refusal == nil || refusal.Code != aplomb.CodeTokenEnded {
		t.Errorf("a revoked token after a restart: %v", refusal)
	}
	now = now.Add(time.Hour)
	if _, refusal := again.find(string(token)); refusal == nil || refusal.Code != aplomb.CodeTokenEnded {
		t.Errorf("an expired token: %v", refusal)
	}
}

func TestTokensFileThatCannotBeUsedOpensNothingAndIsKept(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"torn":         `{"format":1,"tokens":[{"name":"ci"`,
		"empty":        ``,
		"newer":        `{"format":2,"tokens":[]}`,
		"unknown":      `{"format":1,"tokens":[{"name":"ci","id":"aaaaaaaa","scopes":["root"],"sha256":"` + aplomb.Sum(nil).String() + `"}]}`,
		"without hash": `{"format":1,"tokens":[{"name":"ci","id":"aaaaaaaa","scopes":["read"]}]}`,
	} {
		dir, now := t.TempDir(), time.Now()
		file := filepath.Join(dir, grantsName)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		g := newGrants(slog.New(slog.DiscardHandler), dir, func() time.Time { return now })
		if err := g.load(); !isCode(err, aplomb.CodeDamaged) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: load = %v, want %s naming the file", name, err, aplomb.CodeDamaged)
		}
		if _, _, err := g.add(Grant{Name: "x", Scopes: aplomb.ScopeRead}); !isCode(err, aplomb.CodeDamaged) {
			t.Errorf("%s: add = %v", name, err)
		}
		if _, err := g.revoke("mia", func(Grant) bool { return true }); !isCode(err, aplomb.CodeDamaged) {
			t.Errorf("%s: revoke = %v", name, err)
		}
		g.dirty.Store(true)
		g.flushNow()
		if is, err := os.ReadFile(file); err != nil || string(is) != text {
			t.Errorf("%s: the file became %q, %v", name, is, err)
		}
	}
}

func TestServerWithDamagedTokensOpensItsOtherDoors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, grantsName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := bareServer(t, Config{Dir: dir, Listen: "127.0.0.1:0"})
	defer s.Close()
	if missing := s.OpenSome(); len(missing) != 1 || !isCode(missing[0], aplomb.CodeDamaged) {
		t.Errorf("OpenSome = %v, want the tokens alone to be missing", missing)
	}
	if got := s.Missing(); len(got) != 1 {
		t.Errorf("Missing = %v", got)
	}
}

func TestTokenIsRevokedAlsoWhereTheDiskTakesNothing(t *testing.T) {
	t.Parallel()
	dir, now := filepath.Join(t.TempDir(), "data"), time.Now()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	g, _ := someGrants(t, dir, &now)
	token := mustAdd(t, g, Grant{Name: "ci", Scopes: aplomb.ScopeRead})
	aside := dir + ".aside"
	if err := os.Rename(dir, aside); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.add(Grant{Name: "new", Scopes: aplomb.ScopeRead}); !isCode(err, aplomb.CodeReadOnly) || len(g.list(true)) != 1 {
		t.Errorf("add = %v, and there are %v; want none that is not on the disk", err, g.list(true))
	}
	revoked, err := g.revoke("mia", func(g Grant) bool { return g.Name == "ci" })
	if !isCode(err, aplomb.CodeReadOnly) || !strings.Contains(err.Error(), "restart") || len(revoked) != 1 {
		t.Errorf("revoke = %v, %v, want it said that a restart brings the token back", revoked, err)
	}
	if _, refusal := g.find(string(token)); refusal == nil || refusal.Code != aplomb.CodeTokenEnded {
		t.Errorf("the token is let in: %v", refusal)
	}
	g.flushNow() // still away
	if err := os.Rename(aside, dir); err != nil {
		t.Fatal(err)
	}
	g.flushNow()
	again, _ := someGrants(t, dir, &now)
	if _, refusal := again.find(string(token)); refusal == nil || refusal.Code != aplomb.CodeTokenEnded {
		t.Errorf("after the disk is back, and a restart: %v", refusal)
	}
}

func TestFullDiskIsSaidAsSuch(t *testing.T) {
	t.Parallel()
	if err := notSaved("x", errors.Join(errors.New("write tokens"), errNoSpace)); !isCode(err, aplomb.CodeNoSpace) {
		t.Errorf("a full disk is %v", err)
	}
}

func TestNamesAreFreeAgainAndRevokedTokensAreForgottenInTheEnd(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	g, _ := someGrants(t, dir, &now)
	first := mustAdd(t, g, Grant{Name: "ci", Scopes: aplomb.ScopeRead})
	if _, _, err := g.add(Grant{Name: "ci", Scopes: aplomb.ScopeRead}); !isCode(err, aplomb.CodeTokenTaken) {
		t.Errorf("a name taken: %v", err)
	}
	for range maxRevoked + 1 {
		if _, err := g.revoke("mia", func(Grant) bool { return true }); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		mustAdd(t, g, Grant{Name: "ci", Scopes: aplomb.ScopeRead})
	}
	if n := len(g.list(true)); n != maxRevoked+1 {
		t.Errorf("%d tokens are kept, want %d and the one that is good", n, maxRevoked)
	}
	if _, refusal := g.find(string(first)); refusal == nil || refusal.Code != aplomb.CodeDenied {
		t.Errorf("the token revoked first: %v, want it to open nothing", refusal)
	}
}

func TestTokensAreUsedWhileOthersAreMadeAndRevoked(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	g, _ := someGrants(t, dir, &now)
	token := mustAdd(t, g, Grant{Name: "steady", Scopes: aplomb.ScopeRead})
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		wg.Go(func() {
			for range 10 {
				if _, _, err := g.add(Grant{Name: name, Scopes: aplomb.ScopeRead}); err != nil {
					t.Error(err)
				}
				if _, err := g.revoke("mia", func(g Grant) bool { return g.Name == name }); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 1000 {
				if _, refusal := g.find(string(token)); refusal != nil {
					t.Error(refusal)
				}
				g.list(false)
			}
			g.flushNow()
		})
	}
	wg.Wait()
	if n := len(g.list(false)); n != 1 {
		t.Errorf("%d tokens are left, want the steady one", n)
	}
}
