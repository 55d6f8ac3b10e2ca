package aplomb

import "strings"

// looksHex reports whether s is a hash in lower-case hex: at least 8 digits, a letter and a decimal digit among them, and
// no date. A number, a date and a word that happens to be hex ("facade") are in doubt and therefore none.
func looksHex(s string) bool {
	if len(s) < 8 {
		return false
	}
	letters, digits := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'f':
			letters++
		default:
			return false
		}
	}
	if letters == 0 || digits == 0 {
		return false
	}
	return len(s) >= 16 || !beginsWithDate(s) && !isWordAndYear(s)
}

// beginsWithDate knows "20240115" and what follows it.
func beginsWithDate(s string) bool {
	if len(s) < 8 || !isYear(s[:4]) || !isDigits(s[4:8]) {
		return false
	}
	month, day := s[4:6], s[6:8]
	return month >= "01" && month <= "12" && day >= "01" && day <= "31"
}

// isWordAndYear knows "cafe2024" and "2024cafe".
func isWordAndYear(s string) bool {
	return isYear(s[:4]) && isLetters(s[4:]) || isYear(s[len(s)-4:]) && isLetters(s[:len(s)-4])
}

func isYear(s string) bool {
	return isDigits(s) && (strings.HasPrefix(s, "19") || strings.HasPrefix(s, "20"))
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func isLetters(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}

// looksBase64 reports whether s, a run of letters, digits, "-" and "_" at the place where a bundler writes its hash,
// is one, and not the words, numbers, versions or sizes that people write there. Lower-case hex is judged as hex. What
// a person could have written is in doubt and therefore none: between one and two real hashes in a hundred are lost by
// that, and their files are revalidated instead of kept.
func looksBase64(s string) bool {
	if len(s) < 8 || !isBase64URL(s) {
		return false
	}
	if strings.Trim(s, "0123456789abcdef") == "" {
		return looksHex(s)
	}
	if strings.HasSuffix(s, "-") || strings.HasSuffix(s, "_") {
		return true
	}
	lower, capital := true, true
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '-' || r == '_' }) {
		lower = lower && isLowerPart(part, len(part) == len(s))
		capital = capital && isCapitalPart(part, len(part) == len(s))
	}
	return !lower && !capital
}

// couldBeBase64 is looksBase64 for a folder in which nobody but the framework writes: only what is plainly a word or a
// number is in doubt there.
func couldBeBase64(s string) bool {
	if len(s) < 8 || !isBase64URL(s) || isDigits(s) {
		return false
	}
	mixed := strings.ToLower(s[1:]) != s[1:] && strings.ToUpper(s) != s
	return mixed || strings.ContainsAny(s, "0123456789")
}

func isBase64URL(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// isLowerPart reports whether a person could have written part in a lower-case name: "small", "v2", "64px", "web3page",
// "640x480p", "i18n"; also "UI". Only a part that is whole, or short, changes from letters to digits and back.
func isLowerPart(part string, whole bool) bool {
	if len(part) >= 2 && len(part) <= 3 && isUpper(part) {
		return true
	}
	most := 2
	switch {
	case isSize(part):
		return true
	case whole || len(part) <= 4:
		most = 3
	}
	runs := 0
	for len(part) > 0 {
		end := runEnd(part)
		run := part[:end]
		if !isDigits(run) && (strings.ToLower(run) != run || len(run) > 4 && !isSpeakable(run)) {
			return false
		}
		runs++
		part = part[end:]
	}
	return runs <= most
}

// isSize knows "640x480" with or without a letter behind it.
func isSize(s string) bool {
	width, height, ok := strings.Cut(s, "x")
	return ok && isDigits(width) && isDigits(strings.TrimRight(height, "pwhx"))
}

// runEnd returns where the leading letters, or the leading digits, of s end.
func runEnd(s string) int {
	digit := isDigits(s[:1])
	for i := 1; i < len(s); i++ {
		if isDigits(s[i:i+1]) != digit {
			return i
		}
	}
	return len(s)
}

// isCapitalPart reports whether a person could have written part in a name with capitals: "Overview", "OVERVIEW",
// "MyModule", "Version2", a number, and where it is whole, "iPhone15".
func isCapitalPart(part string, whole bool) bool {
	word := strings.TrimRight(part, "0123456789")
	switch {
	case word == "":
		return true
	case !isLetters(word):
		return false
	case isUpper(word):
		return len(word) <= 3 || isSpeakable(word)
	}
	return isHumps(word, whole)
}

// isHumps reports whether word is made of capitalised words, with or without a lower-case one before them; of a brand
// that is a single letter.
func isHumps(word string, brands bool) bool {
	start := 0
	for i := 1; i <= len(word); i++ {
		if i < len(word) && !isUpper(word[i:i+1]) {
			continue
		}
		hump := word[start:i]
		brand := brands && start == 0 && len(hump) == 1 && !isUpper(hump) && len(word) > 5
		if !brand && (len(hump) < 2 || !isSpeakable(hump)) {
			return false
		}
		start = i
	}
	return true
}

func isUpper(s string) bool { return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" }

// isSpeakable reports whether a word of letters could be one of a language: vowels among its consonants, neither in long
// runs.
func isSpeakable(word string) bool {
	vowels, consonants, any := 0, 0, false
	for i := 0; i < len(word); i++ {
		if strings.IndexByte("aeiouyAEIOUY", word[i]) >= 0 {
			vowels, consonants, any = vowels+1, 0, true
		} else {
			vowels, consonants = 0, consonants+1
		}
		if vowels > 3 || consonants > 4 || consonants > 3 && len(word) < 6 {
			return false
		}
	}
	return any
}
