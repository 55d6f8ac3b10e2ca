package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"aplomb"
)

func (c *call) configCommand() *cobra.Command {
	cmd := newCommand(text{
		use:      "config",
		short:    "Show where each setting comes from",
		examples: []string{"aplomb config explain", "aplomb config explain --json"},
		exits:    []int{exitDone, exitUsage},
		next:     "aplomb config explain",
	}, cobra.ArbitraryArgs, func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return cmd.Help()
	})
	cmd.AddCommand(newCommand(text{
		use:      "explain",
		short:    "Print the value of each setting and what set it",
		long:     "A setting comes from the first of: a flag, the environment, aplomb.toml, what the project's files tell, the default.",
		examples: []string{"aplomb config explain", "aplomb config explain --config other/aplomb.toml"},
		exits:    []int{exitDone, exitUsage},
		next:     "aplomb deploy",
		failed:   "Not explained",
	}, atMost(0, "no arguments"), func(*cobra.Command, []string) error { return c.explainConfig() }))
	return cmd
}

// explained is one setting: its value, and what set it.
type explained struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Source string `json:"source"` // flag, environment, file, detected, default
	Where  string `json:"where,omitempty"`
}

func (c *call) explainConfig() error {
	cfg, err := c.loadConfig()
	if err != nil {
		return err
	}
	rows := c.explain(cfg)
	if c.flags.json {
		for _, r := range rows {
			writeJSON(c.stdout, r)
		}
		return nil
	}
	keyWidth, valueWidth := 0, 0
	for _, r := range rows {
		keyWidth, valueWidth = max(keyWidth, len(r.Key)), max(valueWidth, len([]rune(valueText(r.Value))))
	}
	for _, r := range rows {
		c.tell(fmt.Sprintf("%s  %s  %s", pad(r.Key, keyWidth), pad(valueText(r.Value), min(valueWidth, 40)), r.Where))
	}
	return nil
}

// explain lists every setting. It asks no server: what it says holds without one.
func (c *call) explain(cfg config) []explained {
	g, detected := detect(os.DirFS(cfg.base))
	row := func(key string, fromFile bool, value, detectedValue any, isDetected bool, fallback any) explained {
		switch {
		case fromFile:
			return explained{key, value, "file", fmt.Sprintf("%s line %d", shortPath(cfg.file), cfg.lines[key])}
		case isDetected:
			return explained{key, detectedValue, "detected", g.Why()}
		}
		return explained{key, fallback, "default", "default"}
	}
	has := func(key string) bool { return cfg.lines[key] > 0 }
	rows := []explained{
		c.explainFlag("site", "APLOMB_SITE", c.flags.site, row("site", has("site"), cfg.Site, nil, false, "")),
		row("hosts", has("hosts"), cfg.Hosts, nil, false, []string{}),
		row("dir", has("dir"), cfg.Dir, g.Dir, detected, ""),
		row("framework", has("framework"), cfg.Framework, g.Framework, detected, ""),
		row("fallback", has("fallback"), cfg.Fallback, nil, false, ""),
		row("hashed", has("hashed"), cfg.Hashed, nil, false, []string{}),
		row("clean_urls", has("clean_urls"), cfg.CleanURLs, nil, false, true),
		row("allow_secrets", has("allow_secrets"), cfg.AllowSecrets, nil, false, []string{}),
		row("app", has("app"), cfg.App, nil, false, []aplomb.AppRoute{}),
		c.explainFlag("api", "APLOMB_API", c.flags.api, explained{"api", "", "default", "default"}),
		c.explainFlag("actor", "APLOMB_ACTOR", c.flags.actor, explained{"actor", c.actor(), "default", "your user name"}),
	}
	for i := range rows {
		if note := unsetMeaning(rows[i].Key); rows[i].Source == "default" && note != "" {
			rows[i].Where = "default: " + note
		}
	}
	return rows
}

// explainFlag puts a flag and the environment before what else sets a value.
func (c *call) explainFlag(key, env, flag string, otherwise explained) explained {
	if flag != "" {
		return explained{key, flag, "flag", "--" + key}
	}
	if v := c.getenv(env); v != "" {
		return explained{key, v, "environment", "$" + env}
	}
	return otherwise
}

// unsetMeaning says what happens where a setting has no value.
func unsetMeaning(key string) string {
	switch key {
	case "site":
		return "the only site there is, or this folder's name"
	case "hosts":
		return "SITE.localhost when the site is created"
	case "api":
		return "the only server you run"
	case "dir":
		return "name it: aplomb deploy DIR"
	case "framework":
		return "told by the names of the built files"
	case "app":
		return "the files alone"
	case "fallback":
		return "index.html where it is the only document and there is no 404.html"
	}
	return ""
}

func valueText(v any) string {
	switch v := v.(type) {
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case []aplomb.AppRoute:
		ways := make([]string, len(v))
		for i, r := range v {
			ways[i] = r.Path + " → " + strings.Join(r.To, ", ")
		}
		return "[" + strings.Join(ways, "; ") + "]"
	case *bool:
		return strconv.FormatBool(*v)
	case string:
		return strconv.Quote(v)
	}
	return fmt.Sprint(v)
}

// shortPath names a file from here where that is shorter.
func shortPath(file string) string {
	cwd, err := os.Getwd()
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(cwd, file); err == nil && len(rel) < len(file) {
		return rel
	}
	return file
}
