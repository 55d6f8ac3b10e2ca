package aplomb

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// invisibleProblem says why a name with characters that do not show cannot be served, "" when it has none: such a name
// looks like another, or, where it turns the direction of writing, like another file's kind.
//
// Joiners are let through where the writing needs them: between letters of scripts that join, and within one emoji.
func invisibleProblem(path string) string {
	if isASCII(path) {
		return ""
	}
	before := '/'
	for i, r := range path {
		after, _ := utf8.DecodeRuneInString(path[i+utf8.RuneLen(r):])
		joins := (r == '\u200c' || r == '\u200d') && joinable(before) && joinable(after)
		switch {
		case unicode.Is(unicode.Bidi_Control, r):
			return fmt.Sprintf("the name contains %U, which does not show and turns the direction of writing", r)
		case isInvisible(r) && !joins:
			return fmt.Sprintf("the name contains %U, a character that does not show", r)
		}
		before = r
	}
	return ""
}

// isInvisible knows format characters, except the few that are drawn, line and paragraph separators, and the letters and
// marks without a shape. Variation selectors, which choose between two shapes of a character, are none.
func isInvisible(r rune) bool {
	return unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r) ||
		unicode.In(r, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}

// joinable reports whether a joiner beside r has a meaning.
func joinable(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Syriac, unicode.Mongolian, unicode.Nko, unicode.Devanagari, unicode.Bengali,
		unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam,
		unicode.Sinhala, unicode.Tibetan, unicode.Myanmar, unicode.Khmer) ||
		r > unicode.MaxLatin1 && unicode.In(r, unicode.So, unicode.Sk, unicode.Variation_Selector)
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// parts are what characters are made of, one step at a time. 0 stands for none.
type parts map[rune][2]rune

func newParts() parts {
	of := make(parts, 2100)
	one, two := []rune(sameAsOne), []rune(madeOfTwo)
	for i := 0; i+1 < len(one); i += 2 {
		of[one[i]] = [2]rune{one[i+1]}
	}
	for i := 0; i+2 < len(two); i += 3 {
		of[two[i]] = [2]rune{two[i+1], two[i+2]}
	}
	return of
}

// decomposed returns the same string for names that are canonically the same text, such as "é" as one character and as
// an "e" with an accent behind it. Marks upon one letter are put in the order of their numbers, which is no order of
// Unicode, but one.
func (p parts) decomposed(s string) string {
	if isASCII(s) {
		return s
	}
	var out []rune
	for _, r := range s {
		out = p.appendTo(out, r)
	}
	for i := 0; i < len(out); i++ {
		end := i
		for end < len(out) && unicode.Is(unicode.M, out[end]) {
			end++
		}
		if end > i {
			slices.Sort(out[i:end])
			i = end
		}
	}
	return string(out)
}

func (p parts) appendTo(out []rune, r rune) []rune {
	const hangul, last = '\uac00', '\ud7a3'
	if r < utf8.RuneSelf {
		return append(out, r)
	}
	if r >= hangul && r <= last { // a syllable is computed from its letters
		n := r - hangul
		out = append(out, '\u1100'+n/(21*28), '\u1161'+n%(21*28)/28)
		if n%28 > 0 {
			out = append(out, '\u11a7'+n%28)
		}
		return out
	}
	two, made := p[r]
	if !made {
		return append(out, r)
	}
	out = p.appendTo(out, two[0])
	if two[1] != 0 {
		out = p.appendTo(out, two[1])
	}
	return out
}

// sameText is fold for names whose letters are composed in one way or another.
func (p parts) sameText(s string) string { return fold(p.decomposed(s)) }

// twinProblem says how two different names are one.
func twinProblem(one, other string) string {
	switch {
	case one == other:
		return "the path stands in the list twice"
	case fold(one) == fold(other):
		return fmt.Sprintf("it differs from %s only in upper and lower case", shown(other))
	}
	return fmt.Sprintf("%s and %s are one name to many systems: they differ only in how Unicode composes a letter, as in NFC and NFD", escaped(one), escaped(other))
}

// escaped writes a name so that what looks alike can be told apart.
func escaped(path string) string { return strings.Trim(fmt.Sprintf("%+q", path), `"`) }
