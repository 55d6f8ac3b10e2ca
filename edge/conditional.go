package edge

import (
	"strconv"
	"strings"

	"aplomb/blob"
)

// identity stands for "no coding" where a blob.Coding is expected.
const identity = blob.NumCodings

// eachTag calls f with every entity tag of a list, quotes included, until f returns false. A list of which any part is
// not as RFC 9110 §8.8.3 writes it has no tags: what a client meant by it is not certain, and never matches.
func eachTag(fields []string, f func(tag string, weak bool) bool) {
	for _, s := range fields {
		for s = skipToTag(s); s != ""; {
			var ok bool
			if _, _, s, ok = cutTag(s); !ok {
				return
			}
		}
	}
	for _, s := range fields {
		for s = skipToTag(s); s != ""; {
			var tag string
			var weak bool
			if tag, weak, s, _ = cutTag(s); !f(tag, weak) {
				return
			}
		}
	}
}

// skipToTag leaves out empty members of a list.
func skipToTag(s string) string { return strings.TrimLeft(s, " \t,") }

// cutTag takes the tag off the front of a list, with the comma behind it.
func cutTag(s string) (tag string, weak bool, rest string, ok bool) {
	s, weak = strings.CutPrefix(s, "W/")
	if s == "" || s[0] != '"' {
		return "", false, "", false
	}
	end := 1
	for end < len(s) && s[end] > ' ' && s[end] != '"' && s[end] != 0x7f {
		end++
	}
	if end == len(s) || s[end] != '"' {
		return "", false, "", false
	}
	tag, rest = s[:end+1], strings.TrimLeft(s[end+1:], " \t")
	if rest != "" && rest[0] != ',' {
		return "", false, "", false
	}
	return tag, weak, skipToTag(rest), true
}

func isStar(fields []string) bool {
	return len(fields) == 1 && strings.Trim(fields[0], " \t") == "*"
}

// codingOfTag says which form of the file a tag names: the tag of its bytes as they are, or that with the suffix of a coding.
func codingOfTag(tag, own string) (blob.Coding, bool) {
	stem := len(own) - 1
	if len(tag) < len(own) || tag[:stem] != own[:stem] {
		return 0, false
	}
	if tag[stem:] == `"` {
		return identity, true
	}
	for c, suffix := range codedSuffix {
		if tag[stem:] == suffix {
			return blob.Coding(c), true
		}
	}
	return 0, false
}

// noneMatch reports whether If-None-Match names the file in a form the client can take (RFC 9110 §13.1.2, weak
// comparison), and returns that form's tag. Dates are never looked at: two releases can have the same.
func noneMatch(fields []string, own string, a accepted) (tag string, matched bool) {
	if isStar(fields) {
		return own, true
	}
	eachTag(fields, func(t string, _ bool) bool {
		c, ok := codingOfTag(t, own)
		if ok && (c == identity || a[c] > 0) {
			tag, matched = t, true
		}
		return !matched
	})
	return tag, matched
}

// failsIfMatch reports whether If-Match is there and names no form of the file (strong comparison).
func failsIfMatch(fields []string, own string) bool {
	if len(fields) == 0 || isStar(fields) {
		return false
	}
	matched := false
	eachTag(fields, func(t string, weak bool) bool {
		_, ok := codingOfTag(t, own)
		matched = ok && !weak
		return !matched
	})
	return !matched
}

// rangeOutcome says what is to be sent for a Range field.
type rangeOutcome int

const (
	wholeFile     rangeOutcome = iota // no range, or one that may be ignored
	partOfFile                        // one range, within the file
	unsatisfiable                     // a range that begins behind the end: 416
)

// parseRange reads a Range field for a file of that size. Only a single range of bytes is answered in part; several
// ranges, other units and malformed fields get the whole file, as RFC 9110 §14.2 allows.
func parseRange(fields []string, size int64) (start, length int64, outcome rangeOutcome) {
	if len(fields) != 1 {
		return 0, 0, wholeFile
	}
	unit, spec, ok := strings.Cut(fields[0], "=")
	if !ok || !strings.EqualFold(strings.Trim(unit, " \t"), "bytes") || strings.Contains(spec, ",") {
		return 0, 0, wholeFile
	}
	first, last, ok := strings.Cut(strings.Trim(spec, " \t"), "-")
	if !ok || first == "" && last == "" {
		return 0, 0, wholeFile
	}
	if first == "" {
		return parseSuffix(last, size)
	}
	start, ok = parsePosition(first)
	if !ok {
		return 0, 0, wholeFile
	}
	end := size - 1
	if last != "" {
		n, ok := parsePosition(last)
		if !ok || n < start {
			return 0, 0, wholeFile
		}
		end = min(end, n)
	}
	if start >= size {
		return 0, 0, unsatisfiable
	}
	return start, end - start + 1, partOfFile
}

func parseSuffix(last string, size int64) (start, length int64, outcome rangeOutcome) {
	n, ok := parsePosition(last)
	switch {
	case !ok:
		return 0, 0, wholeFile
	case n == 0 || size == 0:
		return 0, 0, unsatisfiable
	}
	n = min(n, size)
	return size - n, n, partOfFile
}

// parsePosition reads digits only; a number too large for any file counts as the largest there is.
func parsePosition(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// mayAnswerRange reports whether If-Range allows a part: it is absent, or names the file's own bytes. A date never does.
func mayAnswerRange(ifRange []string, own string) bool {
	if len(ifRange) == 0 {
		return true
	}
	return len(ifRange) == 1 && strings.Trim(ifRange[0], " \t") == own
}
