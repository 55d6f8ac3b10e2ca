package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestPagesAreWhatTheProgramSays promises that the pages on commands and configuration, and the schemas, follow the program:
// `go test ./cmd/aplomb -run TestPages -update` writes them.
func TestPagesAreWhatTheProgramSays(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"commands.md": commandsPage(t), "configuration.md": configurationPage(t),
		"aplomb.schema.json": schemaPage(t, "aplomb.toml", projectKeys()), "machine.schema.json": schemaPage(t, "machine.toml", machineKeysDoc()),
	} {
		file := filepath.Join("../../docs", name)
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if have, err := os.ReadFile(file); err != nil || string(have) != text {
			t.Errorf("%s is not what the program says (%v); run: go test ./cmd/aplomb -run TestPages -update", file, err)
		}
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range append(projectKeys(), machineKeysDoc()...) {
		if k.means == "" || k.unset == "" || k.example == "" && kindText(k.kind) != "tables" {
			t.Errorf("%s: %+v: say what it means, what holds without it, and give an example", k.name, k)
		}
		seen[k.name] = true
	}
	for _, name := range append(settingKeys(), machineKeys()...) {
		if !seen[name] {
			t.Errorf("%s is a setting and is not explained", name)
		}
	}
}

func commandsPage(t *testing.T) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nWhat `aplomb COMMAND --help` says, for all of them. Every command takes --json, --site, --api, --actor and --config too. This\n" +
		"page is written by `go test ./cmd/aplomb -run TestPages -update`.\n")
	var help bytes.Buffer
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.Hidden || sub.Name() == "help" || sub.Name() == "__complete" {
				continue
			}
			help.Reset()
			if err := sub.Help(); err != nil {
				t.Fatal(err)
			}
			own, common, _ := strings.Cut(help.String(), "\nFlags of every command\n")
			_, rest, _ := strings.Cut(common, "\n\n")
			fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n", sub.CommandPath(), strings.TrimSpace(own+"\n"+rest))
			add(sub)
		}
	}
	add((&call{stdout: &help, getenv: env()}).rootCommand(nil))
	return b.String()
}

func configurationPage(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# Configuration

Two files, for two kinds of settings. What a release needs travels with it, in aplomb.toml beside the project; it goes live, and
comes back, with the release. What belongs to the machine stays there, in machine.toml in the data folder. What binds whoever
deploys, such as a site's hosts, is the site's own and is set with ` + "`aplomb site set`" + `.

An editor that knows JSON Schema checks both files: docs/aplomb.schema.json, docs/machine.schema.json. This page is written by
` + "`go test ./cmd/aplomb -run TestPages -update`" + `.
`)
	for _, file := range []struct {
		title string
		keys  []key
	}{{"aplomb.toml, in the project", projectKeys()}, {"machine.toml, in the data folder", machineKeysDoc()}} {
		fmt.Fprintf(&b, "\n## %s\n\n| key | what it is | without it | example |\n|---|---|---|---|\n", file.title)
		for _, k := range file.keys {
			example := ""
			if _, name, nested := strings.Cut(k.name, "."); k.example != "" {
				if !nested {
					name = k.name
				}
				example = "`" + name + " = " + k.example + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s (%s) | %s | %s |\n", k.name, k.means, kindText(k.kind), k.unset, example)
		}
	}
	return b.String()
}

func schemaPage(t *testing.T, title string, keys []key) string {
	b, err := json.MarshalIndent(schemaOf(title, keys), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}
