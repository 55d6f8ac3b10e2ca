package aplomb

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckFiles reports the first file that cannot be part of a release, as an *Error that names it: a path that is not a
// plain absolute path, that is reserved, that holds characters that do not show, that stands there twice, that differs from
// another in case or in the composing of letters only or is also the folder of another, a size that cannot be, and whatever exceeds l.
func CheckFiles(files []File, l Limits) error {
	if len(files) == 0 {
		return NewError(CodeManifest, "the upload has no files", "a release serves at least one file",
			"name the folder that the build wrote: aplomb deploy ./dist")
	}
	if len(files) > l.Files {
		return limitError(fmt.Sprintf("the upload has %d files", len(files)), fmt.Sprintf("at most %d files are allowed", l.Files))
	}
	left := l.TotalBytes
	for _, f := range files {
		if err := checkFile(f, l); err != nil {
			return err
		}
		if left -= f.Size; left < 0 {
			return limitError("the upload is too large",
				fmt.Sprintf("with %s its files exceed %d bytes in all", shown(f.Path), l.TotalBytes))
		}
	}
	if err := checkClashes(files); err != nil {
		return err
	}
	return checkSizesAgree(files)
}

func checkFile(f File, l Limits) error {
	if err := checkPath(f.Path, l); err != nil {
		return err
	}
	switch {
	case f.Size < 0:
		return manifestError(fmt.Sprintf("%s has a negative size", shown(f.Path)), fmt.Sprintf("it is said to have %d bytes", f.Size))
	case f.Size > l.FileBytes:
		return limitError(fmt.Sprintf("%s is too large", shown(f.Path)),
			fmt.Sprintf("it has %d bytes, and a file may have %d", f.Size, l.FileBytes))
	case f.Digest.IsZero():
		return manifestError(fmt.Sprintf("%s has no digest", shown(f.Path)), "every file is named by the sha-256 of its bytes")
	}
	return nil
}

func checkPath(path string, l Limits) error {
	if len(path) > l.PathBytes {
		return limitError(fmt.Sprintf("%s is too long", shown(path)),
			fmt.Sprintf("the path has %d bytes, and a path may have %d", len(path), l.PathBytes))
	}
	if why := pathProblem(path); why != "" {
		return NewError(CodePath, fmt.Sprintf("%s cannot be served", shown(path)), why, "rename the file or leave it out, then deploy again")
	}
	if n := strings.Count(path, "/"); n > l.PathSegments {
		return limitError(fmt.Sprintf("%s is too deep", shown(path)),
			fmt.Sprintf("the path has %d segments, and a path may have %d", n, l.PathSegments))
	}
	return nil
}

// pathProblem says why path is no File.Path, "" when it is one.
func pathProblem(path string) string {
	if path == "" || path[0] != '/' {
		return `a path begins with "/"`
	}
	if !utf8.ValidString(path) {
		return "the name is not valid UTF-8"
	}
	for _, r := range path {
		if r == '\\' {
			return `the name contains "\", which some systems read as a folder`
		}
		if unicode.IsControl(r) {
			return fmt.Sprintf("the name contains the control character %U", r)
		}
	}
	if why := invisibleProblem(path); why != "" {
		return why
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		switch segment {
		case "":
			return "the path has an empty segment"
		case ".", "..":
			return fmt.Sprintf("the path has a segment %q", segment)
		}
	}
	if reserved(path) {
		return fmt.Sprintf("paths under %s belong to Aplomb", ReservedPrefix)
	}
	return ""
}

// reserved reports whether path lies under ReservedPrefix, in any case, or takes its name.
func reserved(path string) bool {
	const name = len(ReservedPrefix) - 1
	if len(path) < name || !strings.EqualFold(path[:name], ReservedPrefix[:name]) {
		return false
	}
	return len(path) == name || path[name] == '/'
}

// checkClashes finds two files that a case-insensitive file system, one that composes letters in its own way, or any file
// system, could not hold side by side.
func checkClashes(files []File) error {
	if err := checkClashesBy(files, fold); err != nil {
		return err
	}
	if !slices.ContainsFunc(files, func(f File) bool { return !isASCII(f.Path) }) {
		return nil
	}
	return checkClashesBy(files, newParts().sameText)
}

// checkClashesBy finds two files of which the second could not stand beside the first where names are one by key.
func checkClashesBy(files []File, key func(string) string) error {
	names := make([]string, len(files))
	byName := make(map[string]int, len(files))
	for i, f := range files {
		names[i] = key(f.Path)
		if j, taken := byName[names[i]]; taken {
			return clashError(f.Path, twinProblem(f.Path, files[j].Path))
		}
		byName[names[i]] = i
	}
	for i, name := range names {
		for end := strings.LastIndexByte(name, '/'); end > 0; end = strings.LastIndexByte(name[:end], '/') {
			if j, is := byName[name[:end]]; is {
				return clashError(files[j].Path, fmt.Sprintf("it is also the folder of %s", shown(files[i].Path)))
			}
		}
	}
	return nil
}

func checkSizesAgree(files []File) error {
	sizes := make(map[Digest]int, len(files))
	for i, f := range files {
		j, known := sizes[f.Digest]
		if known && files[j].Size != f.Size {
			return manifestError(fmt.Sprintf("%s and %s contradict each other", shown(files[j].Path), shown(f.Path)),
				fmt.Sprintf("they have one digest and two sizes, %d and %d bytes", files[j].Size, f.Size))
		}
		if !known {
			sizes[f.Digest] = i
		}
	}
	return nil
}

// fold returns one representative of all strings equal to s under Unicode simple case folding.
func fold(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z':
			b = append(b, byte(r)-('a'-'A'))
		case r < utf8.RuneSelf:
			b = append(b, byte(r))
		default:
			b = utf8.AppendRune(b, leastFold(r))
		}
	}
	return string(b)
}

// leastFold returns the smallest rune of r's folding orbit, so that the Kelvin sign and k meet in K.
func leastFold(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

// shown returns a path for a message: quoted where it would not print, and never longer than a line or two.
func shown(path string) string {
	const most = 200
	tail := ""
	if len(path) > most {
		cut := most
		for cut > most-utf8.UTFMax && !utf8.RuneStart(path[cut]) {
			cut--
		}
		path, tail = path[:cut], "…"
	}
	plain := path != ""
	for _, r := range path {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			plain = false
		}
	}
	if plain {
		return path + tail
	}
	return fmt.Sprintf("%q", path) + tail
}

func clashError(path, why string) *Error {
	return NewError(CodePath, fmt.Sprintf("%s cannot be served", shown(path)), why, "rename one of the two files, then deploy again")
}

func limitError(what, why string) *Error {
	return NewError(CodeLimit, what, why, "leave out what the site does not serve, then deploy again")
}

func manifestError(what, why string) *Error {
	return NewError(CodeManifest, what, why, "deploy again; if it happens again, run aplomb version on both sides")
}
