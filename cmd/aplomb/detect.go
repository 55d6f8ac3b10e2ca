package main

import (
	"encoding/json"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// guess is what a project folder tells about its built output.
type guess struct {
	Framework string
	Dir       string // the output folder, relative to the project, with slashes
	Found     string // the file that told
}

// Why says how the guess came about: "astro.config.mjs → dist/".
func (g guess) Why() string { return g.Found + " → " + strings.TrimSuffix(g.Dir, "/") + "/" }

// project is one kind of project: the files that give it away, and where its output goes. A folder's own name tells
// nothing: Hugo's public/ is output, Vite's is source.
type project struct {
	framework string
	files     []string // patterns in the project's root; any one is enough
	needs     string   // a package that package.json must name, or ""
	dirs      []string // output folders; the first that exists, else the first
}

// projects lists what is known, the more particular first: an Astro project holds a vite.config too.
func projects() []project {
	return []project{
		{"analog", []string{"vite.config.*"}, "@analogjs/platform", []string{"dist/analog/public"}},
		{"angular", []string{"angular.json"}, "", []string{"dist"}},
		{"next", []string{"next.config.*"}, "", []string{"out"}},
		{"nuxt", []string{"nuxt.config.*"}, "", []string{".output/public", "dist"}},
		{"astro", []string{"astro.config.*"}, "", []string{"dist"}},
		{"sveltekit", []string{"svelte.config.*"}, "@sveltejs/kit", []string{"build"}},
		{"docusaurus", []string{"docusaurus.config.*"}, "", []string{"build"}},
		{"gatsby", []string{"gatsby-config.*"}, "", []string{"public"}},
		{"gridsome", []string{"gridsome.config.*"}, "", []string{"dist"}},
		{"remix", []string{"remix.config.*", "react-router.config.*"}, "", []string{"build/client"}},
		{"remix", []string{"vite.config.*"}, "@remix-run/dev", []string{"build/client"}},
		{"qwik", []string{"vite.config.*"}, "@builder.io/qwik", []string{"dist"}},
		{"ember", []string{"ember-cli-build.*"}, "", []string{"dist"}},
		{"umi", []string{".umirc.*"}, "", []string{"dist"}},
		{"brunch", []string{"brunch-config.*"}, "", []string{"public"}},
		{"elder", []string{"elder.config.*"}, "", []string{"public"}},
		{"vitepress", []string{".vitepress/config.*"}, "", []string{".vitepress/dist"}},
		{"vitepress", []string{"docs/.vitepress/config.*"}, "", []string{"docs/.vitepress/dist"}},
		{"eleventy", []string{".eleventy.js", "eleventy.config.*"}, "", []string{"_site"}},
		{"hugo", []string{"hugo.toml", "hugo.yaml", "hugo.yml", "hugo.json"}, "", []string{"public"}},
		{"zola", []string{"zola.toml"}, "", []string{"public"}},
		{"jekyll", []string{"_config.yml", "_config.yaml"}, "", []string{"_site"}},
		{"mkdocs", []string{"mkdocs.yml", "mkdocs.yaml"}, "", []string{"site"}},
		{"pelican", []string{"pelicanconf.py"}, "", []string{"output"}},
		{"gitbook", []string{"book.json"}, "", []string{"_book"}},
		{"vite", []string{"vite.config.*"}, "", []string{"dist"}},
		{"vue-cli", []string{"vue.config.*"}, "", []string{"dist"}},
		{"cra", []string{"package.json"}, "react-scripts", []string{"build"}},
		{"parcel", []string{"package.json"}, "parcel", []string{"dist"}},
		{"webpack", []string{"webpack.config.*"}, "", []string{"dist"}},
		{"vite", []string{"package.json"}, "vite", []string{"dist"}},
	}
}

// detect looks at a project folder and guesses its framework and output folder; false means that nothing tells.
func detect(dir fs.FS) (guess, bool) {
	packages := packagesOf(dir)
	for _, p := range projects() {
		found, ok := firstMatch(dir, p.files)
		if !ok || p.needs != "" && !packages[p.needs] {
			continue
		}
		g := guess{Framework: p.framework, Dir: firstFolder(dir, p.dirs), Found: found}
		switch p.framework {
		case "angular":
			g.Dir = angularOutput(dir)
		case "vite":
			g.Dir = viteOutput(dir, found, g.Dir)
		}
		return g, true
	}
	return detectConfigTOML(dir)
}

// detectConfigTOML tells Hugo and Zola apart, which share the name config.toml: by the case of one key.
func detectConfigTOML(dir fs.FS) (guess, bool) {
	b, err := fs.ReadFile(dir, "config.toml")
	if err != nil {
		return guess{}, false
	}
	switch text := string(b); {
	case regexp.MustCompile(`(?m)^\s*base_url\s*=`).MatchString(text):
		return guess{Framework: "zola", Dir: "public", Found: "config.toml"}, true
	case regexp.MustCompile(`(?mi)^\s*baseurl\s*=`).MatchString(text):
		return guess{Framework: "hugo", Dir: "public", Found: "config.toml"}, true
	}
	return guess{}, false
}

func firstMatch(dir fs.FS, patterns []string) (string, bool) {
	for _, p := range patterns {
		if names, err := fs.Glob(dir, p); err == nil && len(names) > 0 {
			return names[0], true
		}
	}
	return "", false
}

func firstFolder(dir fs.FS, names []string) string {
	for _, name := range names {
		if isFolder(dir, name) {
			return name
		}
	}
	return names[0]
}

func isFolder(dir fs.FS, name string) bool {
	info, err := fs.Stat(dir, name)
	return err == nil && info.IsDir()
}

func isFile(dir fs.FS, name string) bool {
	info, err := fs.Stat(dir, name)
	return err == nil && info.Mode().IsRegular()
}

// packagesOf returns the names of the packages that package.json depends on; none where it cannot be read.
func packagesOf(dir fs.FS) map[string]bool {
	b, err := fs.ReadFile(dir, "package.json")
	if err != nil {
		return nil
	}
	var p struct {
		Dependencies    map[string]json.RawMessage `json:"dependencies"`
		DevDependencies map[string]json.RawMessage `json:"devDependencies"`
	}
	if json.Unmarshal(b, &p) != nil {
		return nil
	}
	names := map[string]bool{}
	for name := range p.Dependencies {
		names[name] = true
	}
	for name := range p.DevDependencies {
		names[name] = true
	}
	return names
}

// angularOutput finds dist/<app>/browser. The application builder nests "browser", the older one does not.
func angularOutput(dir fs.FS) string {
	var file struct {
		DefaultProject string                     `json:"defaultProject"`
		Projects       map[string]json.RawMessage `json:"projects"`
	}
	if b, err := fs.ReadFile(dir, "angular.json"); err != nil || json.Unmarshal(b, &file) != nil || len(file.Projects) == 0 {
		return "dist"
	}
	var names []string
	for name := range file.Projects {
		names = append(names, name)
	}
	slices.Sort(names)
	name := names[0]
	if _, ok := file.Projects[file.DefaultProject]; ok {
		name = file.DefaultProject
	}
	out := "dist/" + name
	if isFolder(dir, out) && !isFolder(dir, out+"/browser") {
		return out
	}
	return out + "/browser"
}

// viteOutput honours outDir where the configuration names it as a plain string inside the project.
func viteOutput(dir fs.FS, config, usual string) string {
	b, err := fs.ReadFile(dir, config)
	if err != nil {
		return usual
	}
	m := regexp.MustCompile(`\boutDir\s*:\s*['"]([^'"]+)['"]`).FindSubmatch(b)
	if m == nil {
		return usual
	}
	if out := path.Clean(string(m[1])); fs.ValidPath(out) && out != "." {
		return out
	}
	return usual
}

// sourceSign returns the file that gives a folder away as source, not built output, or "".
func sourceSign(dir fs.FS) string {
	for _, name := range []string{"package.json", "node_modules", "tsconfig.json", "Cargo.toml", "go.mod", "Gemfile", "composer.json"} {
		if _, err := fs.Stat(dir, name); err == nil {
			return name
		}
	}
	for _, p := range projects() {
		if p.framework == "jekyll" || slices.Contains(p.files, "package.json") {
			continue // _config.yml is copied into the output by some themes
		}
		if found, ok := firstMatch(dir, p.files); ok {
			return found
		}
	}
	if isFolder(dir, "src") && !isFile(dir, "index.html") {
		return "src/"
	}
	return ""
}
