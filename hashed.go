package aplomb

import "strings"

// IsHashed reports whether the name of a file changes with its content, so that its URL may be kept for ever.
//
// It does when a glob matches the path, or when the framework is known, the file lies where that framework writes its
// assets, and the last part of the name before the extension is the framework's hash: 8 or more characters, for some
// frameworks of a fixed length and alphabet. In doubt a name is not hashed: a word, a number, a date, a version, a size,
// a word followed by a number are no hashes, though a hash may look like one. A build below a base path is known by all
// files of a release, when it is sealed. Documents, source maps, licence texts and
// files compressed beforehand never are, since their bytes change under the same name.
func IsHashed(path, framework string, globs []string) bool {
	if IsDocument(ContentType(path)) {
		return false
	}
	for _, g := range globs {
		if MatchGlob(g, path) {
			return true
		}
	}
	base := path[strings.LastIndexByte(path, '/')+1:]
	stem, ok := assetStem(base)
	if !ok {
		return false
	}
	return hashedBy(frameworkLayout(framework), path, stem)
}

// Frameworks lists the names that Settings.Framework may have for IsHashed to know where hashed files lie, in order.
func Frameworks() []string {
	return []string{"angular", "astro", "cra", "docusaurus", "ember", "gatsby", "hugo", "next", "nuxt", "parcel", "qwik",
		"react-router", "remix", "rsbuild", "sveltekit", "vite", "vitepress", "vue-cli", "webpack"}
}

// frameworkLayout maps a framework to the one whose layout it shares.
func frameworkLayout(framework string) string {
	switch framework {
	case "remix", "react-router":
		return "vite"
	case "cra", "rsbuild":
		return "webpack"
	}
	return framework
}

// hashedBy applies one framework's folder and name pattern. stem is the file's name without its extension.
func hashedBy(layout, path, stem string) bool {
	switch layout {
	case "vite", "vitepress":
		return within(path, "/assets/") && hashedVite(stem)
	case "astro":
		return within(path, "/_astro/") && hashedAstro(stem)
	case "sveltekit":
		return within(path, "/_app/immutable/")
	case "nuxt":
		return within(path, "/_nuxt/") && !within(path, "/_nuxt/builds/") && hashedNuxt(stem)
	case "next":
		return within(path, nextStatic) && hashedNext(path[len(nextStatic):], stem)
	case "angular":
		return hashedAngular(path, stem)
	case "webpack", "parcel":
		return hashedHex(stem, 8)
	case "vue-cli":
		return within(path, "/js/", "/css/", "/img/", "/fonts/", "/media/") && hashedHex(stem, 8)
	case "docusaurus":
		return within(path, "/assets/") && hashedHex(stem, 8)
	case "ember":
		return within(path, "/assets/") && hashedHex(stem, 32)
	case "hugo":
		return hashedHex(stem, 32)
	case "qwik":
		return within(path, "/build/") && hashedQwik(stem) || within(path, "/assets/") && hashedVite(stem)
	case "gatsby":
		return hashedGatsby(path, stem)
	}
	return false
}

func within(path string, folders ...string) bool {
	for _, f := range folders {
		if strings.HasPrefix(path, f) {
			return true
		}
	}
	return false
}

// assetStem cuts the extension off a name, and what bundlers put between hash and extension. It refuses the kinds of
// files whose bytes bundlers change without changing the name.
func assetStem(base string) (stem string, ok bool) {
	dot := strings.LastIndexByte(base, '.')
	if dot <= 0 {
		return "", false
	}
	stem = base[:dot]
	switch strings.ToLower(base[dot+1:]) {
	case "map", "txt", "gz", "br", "zst", "html", "htm", "xhtml", "xml", "md", "webmanifest":
		return "", false
	}
	for _, inner := range [...]string{".chunk", ".bundle", ".entry", ".lean", ".min", ".module"} {
		if rest, cut := strings.CutSuffix(stem, inner); cut {
			return rest, rest != ""
		}
	}
	return stem, true
}

// hashedVite knows index-BwdlfHaE.js and, of older versions and VitePress, index.3f2a1b4c.js and app.CXKyX2mR.js.
func hashedVite(stem string) bool {
	return hashedLast(stem, 8, "-.") || hashedHex(stem, 8)
}

// hashedLast reports whether the last n characters of stem are a base64url hash after a separator and a name.
func hashedLast(stem string, n int, separators string) bool {
	at := len(stem) - n - 1
	return at > 0 && strings.IndexByte(separators, stem[at]) >= 0 && looksBase64(stem[at+1:])
}

// hashedHex reports whether stem is a hex hash of at least 16 digits, or ends in one of at least n after a separator.
func hashedHex(stem string, n int) bool {
	last := stem[strings.LastIndexAny(stem, ".-_~")+1:]
	if last == stem {
		return len(stem) >= max(n, 16) && looksHex(stem)
	}
	return len(last) >= n && looksHex(last)
}

// hashedOwn is hashedVite for a folder in which nobody but the framework writes.
func hashedOwn(stem string) bool {
	at := len(stem) - 9
	return at > 0 && stem[at] == '.' && couldBeBase64(stem[at+1:]) || hashedVite(stem)
}

// hashedAstro knows hoisted.CXKyX2mR.js, and photo.CXKyX2mR_Z1abc2.webp of an image it made.
func hashedAstro(stem string) bool {
	if hashedOwn(stem) {
		return true
	}
	dot := strings.LastIndexByte(stem, '.')
	if dot <= 0 || len(stem)-dot-1 < 10 || stem[dot+9] != '_' {
		return false
	}
	return couldBeBase64(stem[dot+1:dot+9]) && isBase64URL(stem[dot+10:])
}

// hashedNuxt knows CXKyX2mR.js and entry.CXKyX2mR.css, and of Nuxt 2 3f2a1b4.js.
func hashedNuxt(stem string) bool {
	last := stem[strings.LastIndexByte(stem, '.')+1:]
	if len(last) == 7 {
		return looksHex(last + last)
	}
	return len(last) == 8 && couldBeBase64(last) || hashedOwn(stem)
}

const nextStatic = "/_next/static/"

// hashedNext knows the files in chunks, css and media by the hash in their name, and whatever lies under a folder named
// by a build, when that name is not one a person gave.
func hashedNext(rest, stem string) bool {
	folder, _, nested := strings.Cut(rest, "/")
	if !nested {
		return false
	}
	switch folder {
	case "chunks", "css":
		return hashedHex(stem, 16)
	case "media":
		stem = strings.TrimSuffix(stem, ".p")
		return hashedHex(strings.TrimSuffix(stem, "-s"), 8) || hashedHex(stem, 8)
	}
	return isBuildID(folder)
}

// isBuildID knows the random name that Next gives a build, 21 characters, and a commit.
func isBuildID(s string) bool {
	if len(s) >= 16 && looksHex(s) {
		return true
	}
	return len(s) == 21 && isBase64URL(s) && strings.ToLower(s) != s && strings.ToUpper(s) != s && strings.ContainsAny(s, "0123456789")
}

// hashedAngular knows main-QZ7XJ2KA.js and chunk-ABCDEFGH.js of the newer builder, main.3f2a1b4c5d6e7f8a.js of the older
// one, in the root, in /media/ and in the folder of a language.
func hashedAngular(path, stem string) bool {
	folder := path[:strings.LastIndexByte(path, '/')+1]
	media := strings.HasSuffix(folder, "/media/")
	folder = strings.TrimSuffix(folder, "media/")
	if folder != "/" && !isLanguageFolder(folder) {
		return false
	}
	if hashedHex(stem, 16) {
		return true
	}
	at := len(stem) - 9
	if at < 1 || stem[at] != '-' || strings.Trim(stem[at+1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return false
	}
	switch stem[:at] {
	case "main", "chunk", "polyfills", "styles", "scripts", "common", "runtime", "vendor", "worker":
		return true
	}
	return media || looksBase64(stem[at+1:])
}

// isLanguageFolder knows "/de/" and "/en-US/".
func isLanguageFolder(folder string) bool {
	language, region, regional := strings.Cut(strings.Trim(folder, "/"), "-")
	return len(language) == 2 && isLetters(language) && (!regional || len(region) == 2 && isLetters(region))
}

// hashedQwik knows q-CXKyX2mR.js.
func hashedQwik(stem string) bool {
	hash, ok := strings.CutPrefix(stem, "q-")
	return ok && len(hash) == 8 && looksBase64(hash)
}

// hashedGatsby knows app-8ab34bd1b1dd0e5b4ffa.js in the root, and whatever lies in /static/ under a name or in a folder
// of 32 hex digits.
func hashedGatsby(path, stem string) bool {
	rest, static := strings.CutPrefix(path, "/static/")
	if !static {
		return strings.LastIndexByte(path, '/') == 0 && hashedHex(stem, 20)
	}
	folder, _, nested := strings.Cut(rest, "/")
	return nested && len(folder) == 32 && looksHex(folder) || hashedHex(stem, 32)
}
