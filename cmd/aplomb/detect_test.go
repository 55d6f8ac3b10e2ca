package main

import (
	"testing"
	"testing/fstest"
)

func projectOf(files ...string) fstest.MapFS {
	fs := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		fs[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fs
}

func TestTheOutputFolderIsToldByTheConfigurationFile(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name          string
		files         fstest.MapFS
		framework, to string
	}{
		{"vite", projectOf("vite.config.ts", "export default {}", "public/robots.txt", "", "package.json", `{"devDependencies":{"vite":"^7"}}`), "vite", "dist"},
		{"vite with its own outDir", projectOf("vite.config.js", "export default { build: { outDir: 'web/out' } }"), "vite", "web/out"},
		{"vite whose outDir climbs out", projectOf("vite.config.js", "build: { outDir: '../out' }"), "vite", "dist"},
		{"vite without a file of its own", projectOf("package.json", `{"devDependencies":{"vite":"^7"}}`), "vite", "dist"},
		{"astro beside vite", projectOf("astro.config.mjs", "", "vite.config.ts", ""), "astro", "dist"},
		{"next, whose public is source", projectOf("next.config.mjs", "", "public/robots.txt", ""), "next", "out"},
		{"nuxt", projectOf("nuxt.config.ts", ""), "nuxt", ".output/public"},
		{"nuxt that wrote dist", projectOf("nuxt.config.ts", "", "dist/index.html", ""), "nuxt", "dist"},
		{"angular", projectOf("angular.json", `{"projects":{"shop":{}}}`), "angular", "dist/shop/browser"},
		{"angular, older builder", projectOf("angular.json", `{"projects":{"shop":{}}}`, "dist/shop/index.html", ""), "angular", "dist/shop"},
		{"angular, default project", projectOf("angular.json", `{"defaultProject":"b","projects":{"a":{},"b":{}}}`), "angular", "dist/b/browser"},
		{"analog", projectOf("vite.config.ts", "", "package.json", `{"dependencies":{"@analogjs/platform":"1"}}`), "analog", "dist/analog/public"},
		{"sveltekit", projectOf("svelte.config.js", "", "vite.config.ts", "", "package.json", `{"devDependencies":{"@sveltejs/kit":"2"}}`), "sveltekit", "build"},
		{"svelte without kit", projectOf("svelte.config.js", "", "vite.config.ts", "", "package.json", `{"devDependencies":{"svelte":"5"}}`), "vite", "dist"},
		{"docusaurus", projectOf("docusaurus.config.js", ""), "docusaurus", "build"},
		{"gatsby", projectOf("gatsby-config.ts", ""), "gatsby", "public"},
		{"remix", projectOf("vite.config.ts", "", "package.json", `{"devDependencies":{"@remix-run/dev":"2"}}`), "remix", "build/client"},
		{"hugo, whose public is output", projectOf("hugo.toml", "baseURL = 'x'"), "hugo", "public"},
		{"hugo, older name", projectOf("config.toml", "baseURL = 'x'"), "hugo", "public"},
		{"zola", projectOf("config.toml", "base_url = 'x'"), "zola", "public"},
		{"jekyll", projectOf("_config.yml", ""), "jekyll", "_site"},
		{"eleventy", projectOf("eleventy.config.mjs", ""), "eleventy", "_site"},
		{"eleventy, older name", projectOf(".eleventy.js", ""), "eleventy", "_site"},
		{"vitepress", projectOf(".vitepress/config.ts", ""), "vitepress", ".vitepress/dist"},
		{"vitepress under docs", projectOf("docs/.vitepress/config.mts", ""), "vitepress", "docs/.vitepress/dist"},
		{"mkdocs", projectOf("mkdocs.yml", ""), "mkdocs", "site"},
		{"pelican", projectOf("pelicanconf.py", ""), "pelican", "output"},
		{"gitbook", projectOf("book.json", "{}"), "gitbook", "_book"},
		{"create-react-app", projectOf("package.json", `{"dependencies":{"react-scripts":"5"}}`), "cra", "build"},
		{"vue cli", projectOf("vue.config.js", ""), "vue-cli", "dist"},
		{"qwik", projectOf("vite.config.ts", "", "package.json", `{"devDependencies":{"@builder.io/qwik":"1"}}`), "qwik", "dist"},
		{"ember", projectOf("ember-cli-build.js", ""), "ember", "dist"},
		{"gridsome", projectOf("gridsome.config.js", ""), "gridsome", "dist"},
		{"umi", projectOf(".umirc.ts", ""), "umi", "dist"},
		{"brunch", projectOf("brunch-config.js", ""), "brunch", "public"},
		{"elder", projectOf("elder.config.js", ""), "elder", "public"},
	}
	for _, c := range cases {
		g, ok := detect(c.files)
		if !ok || g.Framework != c.framework || g.Dir != c.to {
			t.Errorf("%s: detect = %+v, %v; want %s in %s", c.name, g, ok, c.framework, c.to)
		}
	}
}

func TestAFoldersNameAloneTellsNothing(t *testing.T) {
	t.Parallel()
	for _, files := range []fstest.MapFS{
		projectOf("public/index.html", ""), projectOf("dist/app.js", "", "README", ""),
		projectOf("config.toml", "title = 'anything'"), projectOf("package.json", "not json"),
	} {
		if g, ok := detect(files); ok {
			t.Errorf("detect = %+v, want nothing", g)
		}
	}
}

func TestTheGuessSaysWhatToldIt(t *testing.T) {
	t.Parallel()
	g, _ := detect(projectOf("astro.config.mjs", ""))
	if got, want := g.Why(), "astro.config.mjs → dist/"; got != want {
		t.Errorf("Why = %q, want %q", got, want)
	}
}

func TestSourceIsToldFromBuiltOutput(t *testing.T) {
	t.Parallel()
	cases := []struct {
		files fstest.MapFS
		want  string
	}{
		{projectOf("index.html", "", "package.json", "{}"), "package.json"},
		{projectOf("index.html", "", "vite.config.ts", ""), "vite.config.ts"},
		{projectOf("hugo.toml", "", "content/a.md", ""), "hugo.toml"},
		{projectOf("src/main.ts", ""), "src/"},
		{projectOf("index.html", "", "src/icons.svg", ""), ""},
		{projectOf("index.html", "", "assets/app-1234abcd.js", ""), ""},
		{projectOf("index.html", "", "_config.yml", ""), ""},
	}
	for _, c := range cases {
		if got := sourceSign(c.files); got != c.want {
			t.Errorf("sourceSign(%v) = %q, want %q", c.files, got, c.want)
		}
	}
}
