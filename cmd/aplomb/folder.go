package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"aplomb"
)

// outputFolder is the folder to deploy, and what told it.
type outputFolder struct {
	path      string // absolute
	project   string // the folder it belongs to: what a site is named after
	framework string
	why       string // "" when it was named on the command line
}

// findFolder decides which folder is deployed: the one that is named, else the one aplomb.toml names, else the one that the
// project's files tell.
func findFolder(arg string, cfg config) (outputFolder, error) {
	project := os.DirFS(cfg.base)
	f := outputFolder{project: cfg.base}
	switch {
	case arg != "":
		abs, err := filepath.Abs(arg)
		if err != nil {
			return f, fmt.Errorf("resolve %s: %w", arg, err)
		}
		f.path = abs
		if rel, err := filepath.Rel(cfg.base, abs); err != nil || !filepath.IsLocal(rel) {
			f.project = projectAround(abs)
		}
	case cfg.Dir != "":
		f.path, f.why = filepath.Join(cfg.base, cfg.Dir), fmt.Sprintf("%s line %d → %s", configName, cfg.lines["dir"], cfg.Dir)
	default:
		dir, _, why, err := outputOf(project)
		if err != nil {
			return f, err
		}
		f.path, f.why = filepath.Join(cfg.base, filepath.FromSlash(dir)), why
	}
	// Only of its own output folder does a project's framework say how files are named.
	if g, ok := detect(project); ok && f.path == filepath.Join(cfg.base, filepath.FromSlash(g.Dir)) && slices.Contains(aplomb.Frameworks(), g.Framework) {
		f.framework = g.Framework
	}
	return f, nil
}

// projectAround returns the folder that a site is named after: folders that every project has tell nothing.
func projectAround(dir string) string {
	common := []string{"dist", "build", "out", "public", "site", "_site", "output", "browser", "client", "www", "html", "package"}
	for slices.Contains(common, filepath.Base(dir)) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	return dir
}

// openFolder opens the folder to deploy and refuses one that looks like source: deploying it would publish a project.
func openFolder(dir string, allow []string) (*os.Root, error) {
	info, err := os.Stat(dir)
	if err != nil {
		do := "aplomb deploy DIR"
		if errors.Is(err, fs.ErrNotExist) {
			do = "build the project first, or name another folder: aplomb deploy DIR"
		}
		return nil, aplomb.NewError(aplomb.CodeNoFolder, fmt.Sprintf("%s cannot be read", shortPath(dir)), reasonOf(err), do).Because(err)
	}
	if !info.IsDir() {
		return nil, aplomb.NewError(aplomb.CodeNoFolder, fmt.Sprintf("%s is not a folder", shortPath(dir)),
			"a release is made of a whole folder", "aplomb deploy "+shellWord(shortPath(filepath.Dir(dir))))
	}
	files := os.DirFS(dir)
	if sign := sourceSign(files); sign != "" && !slices.Contains(allow, "/"+path.Clean(sign)) {
		return nil, aplomb.NewError(aplomb.CodeSourceDir, fmt.Sprintf("%s holds %s", shortPath(dir), sign),
			"that belongs to a project's source; what visitors get is the folder its build writes", likelyFolder(dir, sign))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, aplomb.NewError(aplomb.CodeNoFolder, fmt.Sprintf("%s cannot be read", shortPath(dir)), reasonOf(err),
			"make it readable for this user").Because(err)
	}
	return root, nil
}

// likelyFolder names the folder that was probably meant.
func likelyFolder(dir, sign string) string {
	files := os.DirFS(dir)
	if g, ok := detect(files); ok {
		out := shellWord(shortPath(filepath.Join(dir, filepath.FromSlash(g.Dir))))
		if isFolder(files, g.Dir) {
			return "aplomb deploy " + out
		}
		return "build the project (" + g.Why() + "), then: aplomb deploy " + out
	}
	if sub := folderWithIndex(files); sub != "" {
		return "aplomb deploy " + shellWord(shortPath(filepath.Join(dir, sub)))
	}
	return "aplomb deploy ./dist, or whichever folder the build writes; if this one is right: aplomb deploy --allow /" + path.Clean(sign)
}

// folderWithIndex returns the first folder inside that holds an index.html, or "".
func folderWithIndex(files fs.FS) string {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "node_modules" && isFile(files, e.Name()+"/index.html") {
			return e.Name()
		}
	}
	return ""
}

// checkFiles refuses a folder that was probably not meant, before anything is sent, and warns of one whose start page would be
// missing or blank.
func checkFiles(dir string, list []found, noIndex bool) (warning string, err error) {
	if len(list) == 0 {
		return "", aplomb.NewError(aplomb.CodeNoFolder, shortPath(dir)+" is empty",
			"a release without files would take the site away", "build the project, and deploy again")
	}
	if i := slices.IndexFunc(list, func(f found) bool { return f.path == "/index.html" }); i >= 0 {
		if list[i].stamp.size == 0 {
			return "index.html is empty: visitors of the start page will see a blank page", nil
		}
		return "", nil
	}
	if sub := folderWithIndex(os.DirFS(dir)); sub != "" && !noIndex {
		return "", aplomb.NewError(aplomb.CodeNoIndex, fmt.Sprintf("%s has no index.html", shortPath(dir)),
			fmt.Sprintf("visitors of the start page would find nothing; %s, inside it, has one", sub), "aplomb deploy "+shellWord(shortPath(filepath.Join(dir, sub))))
	}
	return fmt.Sprintf("%s has no index.html: visitors of the start page will find nothing", shortPath(dir)), nil
}

// shellWord quotes a word for pasting into a shell where it needs that.
func shellWord(s string) string {
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case r == '/', r == '.', r == '_', r == '-', r == '+', r == '@', r == ',', r == ':', r == '=':
		default:
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	return s
}
