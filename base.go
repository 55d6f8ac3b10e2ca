package aplomb

import "strings"

// assetBase returns the folder, such as "/app", below which a build with a base path lies, "" where there is none or it is
// in doubt; and the framework, found by the files below it where framework is "". Only a framework that writes into a
// folder of its own is looked for, and only one folder may look like the base: two scripts or styles with the framework's
// hash, or one beside the folder's own front page.
func assetBase(files []File, framework string) (base, found string) {
	for _, layout := range baseLayouts(framework) {
		at := basesOf(files, layout)
		if len(at) == 0 {
			continue
		}
		if len(at) > 1 || base != "" && base != at[0] {
			return "", framework
		}
		if base == "" {
			base, found = at[0], layout
		}
	}
	if base == "" || framework != "" {
		found = framework
	}
	return base, found
}

// baseLayouts returns the layouts to look for below a base path. Where the framework is not known only those are that no
// other writes like.
func baseLayouts(framework string) []string {
	switch layout := frameworkLayout(framework); layout {
	case "":
		return []string{"next", "sveltekit", "nuxt", "astro", "vite"}
	case "vite", "vitepress", "astro", "sveltekit", "nuxt", "next", "qwik", "docusaurus", "vue-cli":
		return []string{layout}
	}
	return nil
}

// basesOf returns the folders below which files lie as the layout says.
func basesOf(files []File, layout string) []string {
	hashed, pages := map[string]int{}, map[string]bool{}
	for _, f := range files {
		if folder, is := strings.CutSuffix(f.Path, "/index.html"); is {
			pages[folder] = true
		}
		base := f.Path[strings.LastIndexByte(f.Path, '/')+1:]
		if !isCode(base) {
			continue
		}
		if stem, ok := assetStem(base); ok {
			if folder := folderAbove(f.Path, layout, stem); folder != "" {
				hashed[folder]++
			}
		}
	}
	var bases []string
	for folder, n := range hashed {
		if n > 1 || pages[folder] {
			bases = append(bases, folder)
		}
	}
	return bases
}

// folderAbove returns the shortest folder below which path is a hashed file of the layout, "" when it is none there, or is one
// as it stands.
func folderAbove(path, layout, stem string) string {
	if hashedBy(layout, path, stem) {
		return ""
	}
	for i := 1; i < len(path); i++ {
		if path[i] == '/' && hashedBy(layout, path[i:], stem) {
			return path[:i]
		}
	}
	return ""
}

func isCode(base string) bool {
	return strings.HasSuffix(base, ".js") || strings.HasSuffix(base, ".css") || strings.HasSuffix(base, ".mjs")
}

// isHashedBelow is IsHashed for a build below a base path.
func isHashedBelow(base, path, framework string) bool {
	rest, below := strings.CutPrefix(path, base+"/")
	return base != "" && below && IsHashed("/"+rest, framework, nil)
}
