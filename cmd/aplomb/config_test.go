package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"aplomb"
)

func TestAKeyThatIsNotKnownIsShownInItsPlaceWithWhatWasMeant(t *testing.T) {
	t.Parallel()
	_, err := parseConfig("aplomb.toml", []byte("site = \"shop\"\n\nhsots = [\"shop.localhost\"]\n"))
	e, ok := errors.AsType[*aplomb.Error](err)
	if !ok || e.Code != aplomb.CodeConfig {
		t.Fatalf("error = %v", err)
	}
	golden(t, "unknown-key.txt", errorText(plainScreen(80), "Not deployed", e.With("Production is unchanged: nothing was sent.")))
}

func TestAMistakeInTheFileIsShownWithLineAndColumn(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, text, where string }{
		{"unfinished", "site = \"shop\n", "aplomb.toml:1:"},
		{"wrong type", "site = \"shop\"\nhosts = 3\n", "aplomb.toml:2:"},
		{"no such table", "[rehearsal]\nmode = \"x\"\n", "aplomb.toml:1:"},
		{"bad name", "\nsite = \"Shop Floor\"\n", "aplomb.toml:2"},
		{"bad host", "hosts = [\"a b\"]\n", "aplomb.toml:1"},
		{"bad framework", "framework = \"vitte\"\n", "aplomb.toml:1"},
		{"dir climbs", "dir = \"../other\"\n", "aplomb.toml:1"},
		{"app leads nowhere", "site = \"a\"\n[[app]]\npath = \"/\"\nto = [\"127.0.0.1:1\"]\n\n[[app]]\npath = \"/api\"\n", "aplomb.toml:6: app "},
		{"app twice", "[[app]]\npath = \"/\"\nto = [\"127.0.0.1:1\"]\n[[app]]\npath = \"/\"\nto = [\"127.0.0.1:2\"]\n", "aplomb.toml:4: app "},
		{"app with a key that is not known", "[[app]]\npath = \"/\"\ntoo = [\"127.0.0.1:1\"]\n", "aplomb.toml:3:1: there is no setting \"app.too\""},
		{"dir absolute", "site=\"a\"\ndir = \"/srv\"\n", "aplomb.toml:2"},
	}
	for _, c := range cases {
		_, err := parseConfig("aplomb.toml", []byte(c.text))
		e, ok := errors.AsType[*aplomb.Error](err)
		if !ok || exitOf(err) != exitUsage || !strings.HasPrefix(e.What, c.where) {
			t.Errorf("%s: error = %v, want one at %s", c.name, err, c.where)
		}
	}
}

func TestEverySettingIsReadAndItsLineKnown(t *testing.T) {
	t.Parallel()
	text := `site = "shop"
hosts = ["shop.localhost",
  "www.shop.localhost"]
dir = "dist"
framework = "vite"
fallback = "none"
hashed = ["/static/**"]
clean_urls = false
allow_secrets = ["/.env.example"]

[[app]]
path = "/api"
to = ["127.0.0.1:3000", "unix:/run/shop.sock"]
health = "/up"
strip_prefix = true
timeout = 5
[[app]]
path = "/"
to = ["127.0.0.1:3001"]
`
	cfg, err := parseConfig("aplomb.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"site": 1, "hosts": 2, "dir": 4, "framework": 5, "fallback": 6, "hashed": 7, "clean_urls": 8, "allow_secrets": 9, "app": 11}
	for _, key := range settingKeys() {
		if cfg.lines[key] != want[key] {
			t.Errorf("line of %s = %d, want %d", key, cfg.lines[key], want[key])
		}
	}
	if a := cfg.App; len(a) != 2 || a[0].Path != "/api" || len(a[0].To) != 2 || a[0].Health != "/up" || !a[0].StripPrefix || a[0].Timeout != 5 || a[1].Path != "/" {
		t.Errorf("app = %+v", cfg.App)
	}
	if len(cfg.Hosts) != 2 || cfg.CleanURLs == nil || *cfg.CleanURLs || cfg.Dir != "dist" || len(cfg.AllowSecrets) != 1 || cfg.Fallback != "none" || cfg.Hashed[0] != "/static/**" {
		t.Errorf("settings = %+v", cfg.settings)
	}
}

func TestTheFileIsFoundUpwardAsFarAsTheVersionControlsRoot(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	repo, deep := filepath.Join(top, "repo"), filepath.Join(top, "repo", "app", "src")
	for _, dir := range []string{deep, filepath.Join(repo, ".git")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(file string) string {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write(filepath.Join(top, configName))
	if got := findUpward(deep, configName); got != "" {
		t.Errorf("found %s above the version control's root", got)
	}
	atRoot := write(filepath.Join(repo, configName))
	if got := findUpward(deep, configName); got != atRoot {
		t.Errorf("findUpward = %q, want %q", got, atRoot)
	}
	nearer := write(filepath.Join(repo, "app", configName))
	if got := findUpward(deep, configName); got != nearer {
		t.Errorf("findUpward = %q, want the nearer %q", got, nearer)
	}
}

func TestWithoutVersionControlOnlyThisFolderIsLookedIn(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	sub := filepath.Join(top, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(top, configName)
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := findUpward(sub, configName); got != "" {
		t.Errorf("found %s", got)
	}
	if got := findUpward(top, configName); got != file {
		t.Errorf("findUpward = %q, want %q", got, file)
	}
}

func TestASiteIsNamedAfterItsFolder(t *testing.T) {
	t.Parallel()
	cases := map[string]aplomb.SiteName{
		"/srv/shop": "shop", "/srv/My Shop (2)": "my-shop-2", "/srv/--x--": "x", "/": "site", "/srv/日本": "site",
		"/srv/" + strings.Repeat("a", 80): aplomb.SiteName(strings.Repeat("a", 63)),
	}
	for dir, want := range cases {
		got := siteFromFolder(dir)
		if got != want {
			t.Errorf("siteFromFolder(%q) = %q, want %q", dir, got, want)
		}
		if _, err := aplomb.ParseSiteName(string(got)); err != nil {
			t.Errorf("siteFromFolder(%q): %v", dir, err)
		}
	}
}

func FuzzSiteFromFolder(f *testing.F) {
	f.Add("/srv/shop")
	f.Add("/-/")
	f.Fuzz(func(t *testing.T, dir string) {
		if _, err := aplomb.ParseSiteName(string(siteFromFolder(dir))); err != nil {
			t.Errorf("siteFromFolder(%q): %v", dir, err)
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("site = \"shop\"\n"))
	f.Add([]byte("[a]\nb = 1\n"))
	f.Add([]byte("hosts = [\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := parseConfig("aplomb.toml", data)
		if err != nil {
			if e := asError(err); e.What == "" || e.Why == "" || e.Do == "" {
				t.Errorf("an error without all its parts: %+v", e)
			}
			return
		}
		for key, line := range cfg.lines {
			if line < 1 {
				t.Errorf("line of %q = %d", key, line)
			}
		}
	})
}

func TestAllMistakesInTheFileAreToldAtOnce(t *testing.T) {
	t.Parallel()
	text := "siet = \"shop\"\nhosts = [\n  3,\n]\nframework = \"vitte\"\nclean_urls = \"no\"\n\n[[app]]\npath = 5\ntoo = [\"127.0.0.1:1\"]\n\n[rehearsal]\nmode = \"x\"\n"
	_, err := parseConfig("aplomb.toml", []byte(text))
	e, ok := errors.AsType[*aplomb.Error](err)
	if !ok || exitOf(err) != exitUsage {
		t.Fatalf("error = %v", err)
	}
	golden(t, "mistakes.txt", errorText(plainScreen(100), "Not deployed", e.With("Production is unchanged: nothing was sent. What is live was not asked.")))
}

func TestAMistakeInTheFileIsShownWithoutWhatATerminalWouldObey(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"site = \"\x1b[2Jshop\"\n", "s\x1b]0;x\x07 = 1\n", "site = 3 # \xff\xfe\n", "\"\\u202e\" = 1 # \u202e\n", "hosts = [\"\x9b2J\"]\n"} {
		_, err := parseConfig("aplomb.toml", []byte(text))
		if err == nil {
			t.Errorf("%q: no error", text)
			continue
		}
		got := errorText(plainScreen(80), "Not deployed", asError(err).With("Production is unchanged: nothing was sent."))
		if strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
}
