package aplomb

import (
	"fmt"
	"slices"
	"strings"
)

// MatchGlob reports whether a glob of Settings.Hashed matches a whole path. "*" stands for any characters within a
// segment, "**" as a segment for any number of segments, none included. The glob is one that CheckGlob lets pass.
func MatchGlob(glob, path string) bool {
	if glob == "" || glob[0] != '/' || path == "" || path[0] != '/' {
		return false
	}
	globs, names := strings.Split(glob[1:], "/"), strings.Split(path[1:], "/")
	g, n := 0, 0
	back, from := -1, 0
	for n < len(names) {
		switch {
		case g < len(globs) && globs[g] == "**":
			back, from = g, n
			g++
		case g < len(globs) && matchSegment(globs[g], names[n]):
			g++
			n++
		case back >= 0:
			from++
			g, n = back+1, from
		default:
			return false
		}
	}
	for g < len(globs) && globs[g] == "**" {
		g++
	}
	return g == len(globs)
}

// matchSegment matches one segment in which "*" stands for any characters.
func matchSegment(glob, name string) bool {
	g, n := 0, 0
	back, from := -1, 0
	for n < len(name) {
		switch {
		case g < len(glob) && glob[g] == '*':
			back, from = g, n
			g++
		case g < len(glob) && glob[g] == name[n]:
			g++
			n++
		case back >= 0:
			from++
			g, n = back+1, from
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

// CheckGlob reports what is wrong with a glob of Settings.Hashed, as an *Error.
func CheckGlob(glob string) error {
	why := ""
	switch {
	case glob == "" || glob[0] != '/':
		why = `it does not begin with "/"`
	case len(glob) > 512:
		why = "it has more than 512 characters"
	case slices.ContainsFunc(strings.Split(glob[1:], "/"), func(s string) bool { return s != "**" && strings.Contains(s, "**") }):
		why = `"**" does not stand alone between two "/"`
	case strings.Contains(glob, "//"):
		why = "it has an empty segment"
	case strings.ContainsAny(glob, "?[]{}\\"):
		why = `only "*" and "**" stand for other characters`
	default:
		return nil
	}
	return NewError(CodeConfig, fmt.Sprintf("the glob %.80q in hashed cannot be used", glob), why, `write it as in hashed = ["/static/**"]`)
}
