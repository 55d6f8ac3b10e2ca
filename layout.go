package aplomb

import "strings"

// DetectLayout returns the framework whose output the files are, as far as their names tell, "" in doubt.
func DetectLayout(files []File) string {
	var seen layoutSigns
	for _, f := range files {
		seen.look(f.Path)
	}
	return seen.layout()
}

// layoutSigns counts what only one framework writes.
type layoutSigns struct {
	next, sveltekit, nuxt, astro, gatsby, vitepress int
	chunkVendors, assetManifest                     bool
	angularMain, viteCode, hexCode, longHexCode     int
	vueCode, docusaurusCode, qwikCode               int
}

func (s *layoutSigns) look(path string) {
	switch {
	case within(path, nextStatic):
		s.next++
	case within(path, "/_app/immutable/"):
		s.sveltekit++
	case within(path, "/_nuxt/"):
		s.nuxt++
	case within(path, "/_astro/"):
		s.astro++
	case within(path, "/page-data/"):
		s.gatsby++
	case path == "/hashmap.json", path == "/vp-icons.css":
		s.vitepress++
	case path == "/asset-manifest.json":
		s.assetManifest = true
	default:
		s.lookAtCode(path)
	}
}

// lookAtCode looks at scripts and styles: a bundler hashes them, people seldom do.
func (s *layoutSigns) lookAtCode(path string) {
	base := path[strings.LastIndexByte(path, '/')+1:]
	if !isCode(base) {
		return
	}
	stem, ok := assetStem(base)
	if !ok {
		return
	}
	hex := hashedHex(stem, 8)
	switch {
	case strings.LastIndexByte(path, '/') == 0 && strings.HasPrefix(stem, "main") && hashedAngular(path, stem):
		s.angularMain++
	case within(path, "/build/") && hashedQwik(stem):
		s.qwikCode++
	case within(path, "/assets/js/", "/assets/css/") && hex:
		s.docusaurusCode++
	case within(path, "/assets/") && hashedVite(stem):
		s.viteCode++
	case within(path, "/js/", "/css/") && hex:
		s.vueCode++
		s.chunkVendors = s.chunkVendors || strings.HasPrefix(base, "chunk-vendors.")
	}
	if hex {
		s.hexCode++
	}
	if hashedHex(stem, 20) {
		s.longHexCode++
	}
}

// layout decides. A framework's own folder or file decides alone; two bundlers' patterns side by side decide nothing.
func (s *layoutSigns) layout() string {
	own := [...]struct {
		name string
		is   bool
	}{
		{"next", s.next > 0}, {"sveltekit", s.sveltekit > 0}, {"nuxt", s.nuxt > 0}, {"astro", s.astro > 0},
		{"gatsby", s.gatsby > 0 && s.longHexCode > 0}, {"vitepress", s.vitepress > 0 && s.viteCode > 0},
		{"qwik", s.qwikCode > 0}, {"angular", s.angularMain > 0}, {"vue-cli", s.chunkVendors},
	}
	found := ""
	for _, o := range own {
		if o.is && found != "" {
			return ""
		}
		if o.is {
			found = o.name
		}
	}
	switch {
	case found != "":
		return found
	case s.docusaurusCode > 1 && s.viteCode == 0:
		return "docusaurus"
	case s.viteCode > 0:
		return "vite"
	case s.assetManifest && s.hexCode > 0, s.longHexCode > 0, s.hexCode > 1:
		return "webpack"
	}
	return ""
}
