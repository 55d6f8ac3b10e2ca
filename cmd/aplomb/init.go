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
		use:      "init [DIR]",
		short:    "Look at this project and write aplomb.toml",
		long:     "Tells the framework by its configuration file, and where its built output goes. Nothing is sent anywhere.",
		examples: []string{"aplomb init", "aplomb init ../shop --site shop"},
		exits:    []int{exitDone, exitUsage, exitRefused},
		next:     "build the project, then: aplomb deploy",
		failed:   "Nothing written",
	}, atMost(1, "the project's folder, or none for this one"), func(_ *cobra.Command, args []string) error {
		dir := "."
		if len(args) == 1 {
			dir = args[0]
		}
		return c.init(dir)
	})
}

// initialised is the result of init.
type initialised struct {
	File      string `json:"file"`
	Site      string `json:"site"`
	Dir       string `json:"dir"`
	Framework string `json:"framework,omitempty"`
	Why       string `json:"why"`
}

func (c *call) init(dir string) error {
	project, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("look where this is: %w", err)
	}
	if info, err := os.Stat(project); err != nil || !info.IsDir() {
		return aplomb.NewError(aplomb.CodeSourceDir, fmt.Sprintf("there is no folder %s", dir), "init looks at a project's folder", "aplomb init DIR, with the project's folder")
	}
	site := c.flags.site
	if site == "" {
		site = string(siteFromFolder(project))
	}
	if _, err := aplomb.ParseSiteName(site); err != nil {
		return usage("the site cannot have that name", err.Error(), "aplomb init --site "+string(siteFromFolder(project)))
	}
	r := initialised{File: filepath.Join(dir, configName), Site: site}
	if r.Dir, r.Framework, r.Why, err = outputOf(os.DirFS(project)); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(project, configName), initialText(r)); err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, r)
		return nil
	}
	folder, next := "folder "+r.Dir, "aplomb deploy"
	if r.Dir == "." {
		folder = "this folder itself"
	}
	if dir != "." {
		next += " --config " + shellWord(r.File)
		folder = strings.Replace(folder, "this folder", "that folder", 1)
	}
	c.tell(r.Why, fmt.Sprintf("Wrote %s: site %s, %s.", r.File, r.Site, folder), "", "next: "+c.advise(next, ""))
	return nil
}

// builtFolders are where builds put their output, where nothing else tells. "public" is not among them: it is source as often.
var builtFolders = [...]string{"dist", "build", "out", "_site"}

// outputOf returns the folder that init and deploy take as the output of a project, and what told it.
func outputOf(project fs.FS) (dir, framework, why string, err error) {
	if g, ok := detect(project); ok {
		return g.Dir, g.Framework, g.Why(), nil
	}
	if isFile(project, "index.html") && sourceSign(project) == "" {
		return ".", "", "index.html → ./", nil
	}
	for _, name := range builtFolders {
		if isFile(project, name+"/index.html") {
			return name, "", name + "/index.html → " + name + "/", nil
		}
	}
	return "", "", "", aplomb.NewError(aplomb.CodeUsage, "nothing here tells which folder holds the built output",
		"no framework's configuration file and no index.html was found in this folder, nor one in dist, build, out or _site",
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
