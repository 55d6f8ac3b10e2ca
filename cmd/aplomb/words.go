package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// listText joins names as people say them: "a, b and c".
func listText[T ~string](names []T) string {
	var b strings.Builder
	for i, name := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}

// printable replaces what a terminal would obey, or not show, by a mark of the same width: text that was read from a file is
// shown, never carried out. Line ends stay.
func printable(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		i += n
		if r != '\n' && !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}
