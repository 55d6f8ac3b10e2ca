package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"aplomb"
)

func (c *call) initCommand() *cobra.Command {
	return newCommand(text{
		use:      "init",
		short:    "Look at this project and write aplomb.toml",
		long:     "Tells the framework by its configuration file, and where its built output goes. Nothing is sent anywhere.",
		examples: []string{"aplomb init", "aplomb init --site shop"},
		exits:    []int{exitDone, exitUsage, exitRefused},
		next:     "build the project, then: aplomb deploy",
		failed:   "Nothing written",
	}, atMost(0, "no arguments"), func(*cobra.Command, []string) error { return c.init() })
}

// initialised is the result of init.
type initialised struct {
	File      string `json:"file"`
	Site      string `json:"site"`
	Dir       string `json:"dir"`
	Framework string `json:"framework,omitempty"`
	Why       string `json:"why"`
}

func (c *call) init() error {
	cwd, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("look where this is: %w", err)
	}
	site := c.flags.site
	if site == "" {
		site = string(siteFromFolder(cwd))
	}
	if _, err := aplomb.ParseSiteName(site); err != nil {
		return usage("the site cannot have that name", err.Error(), "aplomb init --site "+string(siteFromFolder(cwd)))
	}
	r := initialised{File: configName, Site: site}
	if r.Dir, r.Framework, r.Why, err = outputOf(os.DirFS(cwd)); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(cwd, configName), initialText(r)); err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, r)
		return nil
	}
	c.tell(r.Why, fmt.Sprintf("Wrote %s: site %s, folder %s.", r.File, r.Site, r.Dir), "", "next: aplomb deploy")
	return nil
}

// outputOf returns the folder that init and deploy take as the output of a project, and what told it.
func outputOf(project fs.FS) (dir, framework, why string, err error) {
	if g, ok := detect(project); ok {
		return g.Dir, g.Framework, g.Why(), nil
	}
	if isFile(project, "index.html") && sourceSign(project) == "" {
		return ".", "", "index.html → ./", nil
	}
	return "", "", "", aplomb.NewError(aplomb.CodeUsage, "nothing here tells which folder holds the built output",
		"no framework's configuration file and no index.html was found in this folder",
		"name the folder: aplomb deploy ./dist")
}

func initialText(r initialised) string {
	var b strings.Builder
	fmt.Fprintf(&b, "site = %q\n", r.Site)
	fmt.Fprintf(&b, "dir = %q  # %s\n", r.Dir, r.Why)
	if slices.Contains(aplomb.Frameworks(), r.Framework) {
		fmt.Fprintf(&b, "framework = %q\n", r.Framework)
	}
	return b.String()
}

// writeNew writes a file that does not exist yet: what a person wrote is never replaced.
func writeNew(file, content string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return aplomb.NewError(aplomb.CodeExists, filepath.Base(file)+" is there already",
			"what stands in it may be wanted, so it is not replaced", "aplomb config explain").Because(err)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if _, err := f.WriteString(content); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
