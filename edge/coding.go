package edge

import (
	"strings"

	"aplomb"
	"aplomb/blob"
)

// accepted is how much a client wants each coding, in thousandths; 0 means it does not take it. Every spelling of
// Accept-Encoding comes down to these numbers, and those to one of four answers: identity or one coding.
type accepted [blob.NumCodings]uint16

// Header values that never change; answers share them.
var (
	codingTokens = [blob.NumCodings][]string{blob.Brotli: {"br"}, blob.Zstd: {"zstd"}, blob.Gzip: {"gzip"}}
	codedSuffix  = [blob.NumCodings]string{blob.Brotli: `-br"`, blob.Zstd: `-zstd"`, blob.Gzip: `-gzip"`}
)

// parseAccepted reads Accept-Encoding. Without the header, or where it cannot be read, nothing is accepted but
// identity, which every client can take.
func parseAccepted(fields []string) accepted {
	var a accepted
	var named [blob.NumCodings]bool
	var rest uint16
	for _, list := range fields {
		for list != "" {
			var item string
			item, list, _ = strings.Cut(list, ",")
			name, params, _ := strings.Cut(item, ";")
			name = strings.Trim(name, " \t")
			if name == "" {
				continue
			}
			q := parseQuality(params)
			if name == "*" {
				rest = q
			} else if c, ok := codingOf(name); ok {
				a[c], named[c] = q, true
			}
		}
	}
	for c := range a {
		if !named[c] {
			a[c] = rest
		}
	}
	return a
}

func codingOf(name string) (blob.Coding, bool) {
	switch {
	case strings.EqualFold(name, "br"):
		return blob.Brotli, true
	case strings.EqualFold(name, "zstd"):
		return blob.Zstd, true
	case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"):
		return blob.Gzip, true
	}
	return 0, false
}

// parseQuality reads ";q=0.8" in thousandths: 1000 where there is none, 0 where it cannot be read.
func parseQuality(params string) uint16 {
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		name, value, ok := strings.Cut(strings.Trim(param, " \t"), "=")
		if !strings.EqualFold(strings.Trim(name, " \t"), "q") {
			continue
		}
		if !ok {
			return 0
		}
		return parseThousandths(strings.Trim(value, " \t"))
	}
	return 1000
}

// parseThousandths reads a weight as RFC 9110 §12.4.2 writes it: "0", "1", "0.5", at most three decimals, 0 to 1.
func parseThousandths(s string) uint16 {
	if s == "" || len(s) > 5 || s[0] != '0' && s[0] != '1' || len(s) > 1 && s[1] != '.' {
		return 0
	}
	v, unit := uint16(s[0]-'0')*1000, uint16(100)
	for i := 2; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		v += uint16(s[i]-'0') * unit
		unit /= 10
	}
	if v > 1000 {
		return 0
	}
	return v
}

// choose returns the coding the client wants most among those there are; equal wishes go in the order of the codings.
func (a accepted) choose(of *codedForms) (blob.Coding, bool) {
	best, found := blob.Coding(0), false
	for c := range blob.NumCodings {
		if a[c] > 0 && of.forms[c].size > 0 && (!found || a[c] > a[best]) {
			best, found = c, true
		}
	}
	return best, found
}

// without returns a for a client that does not take c.
func (a accepted) without(c blob.Coding) accepted {
	a[c] = 0
	return a
}

// codedForms are the encoded forms of one file with their header values made once. They are made again when the store
// has others: encodings arrive after a release is live.
type codedForms struct {
	of    blob.Encodings
	forms [blob.NumCodings]codedForm
}

type codedForm struct {
	digest aplomb.Digest
	size   int64
	values [2]string // ETag, Content-Length
}
