package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"aplomb"
)

// configName is the project's file of settings.
const configName = "aplomb.toml"

// settings are the keys of aplomb.toml.
type settings struct {
	Site         string   `toml:"site"`
	Hosts        []string `toml:"hosts"`
	Dir          string   `toml:"dir"`
	Framework    string   `toml:"framework"`
	Fallback     string   `toml:"fallback"`
	Hashed       []string `toml:"hashed"`
	CleanURLs    *bool    `toml:"clean_urls"`
	AllowSecrets []string `toml:"allow_secrets"`

	App []aplomb.AppRoute `toml:"app"`
}

// settingKeys returns the keys of aplomb.toml, in the order in which people read them.
func settingKeys() []string {
	return []string{"site", "hosts", "dir", "framework", "fallback", "hashed", "clean_urls", "allow_secrets", "app"}
}

// appKeys are the keys of an [[app]] table.
func appKeys() []string {
	return []string{"app.path", "app.to", "app.health", "app.strip_prefix", "app.timeout"}
}

// config is aplomb.toml as found, or the zero value with the folder that was looked in.
type config struct {
	file  string // "" where there is none
	base  string // the project's folder: what dir is relative to
	lines map[string]int
	settings
}

// loadConfig reads the file that --config names, or the aplomb.toml found upward from cwd.
func (c *call) loadConfig() (config, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return config{}, fmt.Errorf("look where this is: %w", err)
	}
	file := c.flags.config
	if file == "" {
		if file = findUpward(cwd, configName); file == "" {
			return config{base: cwd}, nil
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return config{}, aplomb.NewError(aplomb.CodeConfig, fmt.Sprintf("%s cannot be read", file), reasonOf(err), "name another file with --config").Because(err)
	}
	return parseConfig(file, data)
}

func parseConfig(file string, data []byte) (config, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return config{}, fmt.Errorf("resolve %s: %w", file, err)
	}
	cfg := config{file: file, base: filepath.Dir(abs)}
	name := filepath.Base(file)
	found, right := mistakesIn(data, &cfg.settings, append(settingKeys(), appKeys()...))
	cfg.lines = keyLines(right)
	found = append(found, cfg.badValues(len(found) == 0)...)
	if len(found) == 0 {
		return cfg, nil
	}
	return config{}, mistakeError(name, data, found)
}

// badValues returns what of the settings is of the right kind and cannot be used all the same. What they say together is only
// looked at where all of them could be read.
func (c config) badValues(all bool) []mistake {
	var found []mistake
	bad := func(key string, err error) {
		line := c.lines[key]
		key, _, _ = strings.Cut(key, ".")
		found = append(found, mistake{row: line, what: key + " cannot be used", why: err.Error(), cause: err})
	}
	if c.Site != "" {
		if _, err := aplomb.ParseSiteName(c.Site); err != nil {
			bad("site", err)
		}
	}
	for _, h := range c.Hosts {
		if _, err := aplomb.ParseHost(h); err != nil {
			bad("hosts", err)
		}
	}
	if known := aplomb.Frameworks(); c.Framework != "" && !slices.Contains(known, c.Framework) {
		why := "the frameworks are " + listText(known)
		if near := nearest(c.Framework, known); near != "" {
			why = fmt.Sprintf("did you mean %q?", near)
		}
		bad("framework", errors.New(why))
	}
	if filepath.IsAbs(c.Dir) || c.Dir != "" && !filepath.IsLocal(c.Dir) {
		bad("dir", errors.New("the folder must be inside the project"))
	}
	for i := range c.App {
		if !all {
			break
		}
		if err := aplomb.CheckApp(c.App[:i+1]); err != nil {
			bad(fmt.Sprintf("app.%d", i+1), err)
			break
		}
	}
	return found
}

// findUpward looks for a file in cwd and above, as far as the root of the version control's folder. Where there is none it
// looks in cwd alone: a file that lies about in a home folder is nobody's project.
func findUpward(cwd, name string) string {
	found := ""
	for dir := cwd; ; dir = filepath.Dir(dir) {
		if found == "" {
			if file := filepath.Join(dir, name); exists(file) {
				found = file
			}
		}
		for _, vcs := range []string{".git", ".hg", ".jj", ".svn"} {
			if exists(filepath.Join(dir, vcs)) {
				return found
			}
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if file := filepath.Join(cwd, name); exists(file) {
		return file
	}
	return ""
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// reasonOf returns what the system said of a file, without the call and the path that people have read already.
func reasonOf(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// siteFromFolder makes a site's name from a project folder's.
func siteFromFolder(dir string) aplomb.SiteName {
	var b strings.Builder
	for _, r := range strings.ToLower(filepath.Base(dir)) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := strings.TrimRight(b.String(), "-")
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-")
	}
	if name == "" {
		name = "site"
	}
	return aplomb.SiteName(name)
}
