package edge

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"aplomb/blob"
)

// acceptsAll is a client that takes every coding.
func acceptsAll() accepted { return parseAccepted([]string{"br, zstd, gzip"}) }

// TestATagWithAnythingWrongAroundItNeverMatches: a 304 is sent for a list that is certain, or not at all.
func TestATagWithAnythingWrongAroundItNeverMatches(t *testing.T) {
	t.Parallel()
	const own = `"abc"`
	for _, c := range []struct {
		fields []string
		want   string // the tag matched, "" for none
	}{
		{[]string{`"abc"`}, own},
		{[]string{`W/"abc"`}, own},
		{[]string{` , "x",, "abc" ,`}, own},
		{[]string{`"x"`, `"abc"`}, own},
		{[]string{`"abc-br"`}, `"abc-br"`},
		{[]string{`*`}, own},
		{[]string{"\t* "}, own},
		{[]string{`"abc"junk`}, ""},
		{[]string{`"abc" junk`}, ""},
		{[]string{`"abc""x"`}, ""},
		{[]string{`"abc";q=1`}, ""},
		{[]string{`"abc", junk`}, ""},
		{[]string{`junk, "abc"`}, ""},
		{[]string{`"abc"`, `junk`}, ""},
		{[]string{`junk"abc"`}, ""},
		{[]string{`abc`}, ""},
		{[]string{`"abc`}, ""},
		{[]string{`abc"`}, ""},
		{[]string{`w/"abc"`}, ""},
		{[]string{`W/ "abc"`}, ""},
		{[]string{`W/W/"abc"`}, ""},
		{[]string{`""abc"`}, ""},
		{[]string{`"abc ", "abc"`}, ""},
		{[]string{"\"\x7f\", \"abc\""}, ""},
		{[]string{`*, "abc"`}, ""},
		{[]string{`"abc", *`}, ""},
		{[]string{`"abcd"`}, ""},
		{[]string{`"abc-xz"`}, ""},
		{[]string{``}, ""},
		{nil, ""},
	} {
		tag, matched := noneMatch(c.fields, own, acceptsAll())
		if matched != (c.want != "") || tag != c.want {
			t.Errorf("If-None-Match: %q matches %q (%v), want %q", c.fields, tag, matched, c.want)
		}
		if strong := c.want != "" && !strings.Contains(c.fields[0], "W/"); len(c.fields) > 0 && failsIfMatch(c.fields, own) == strong {
			t.Errorf("If-Match: %q holds = %v, want %v", c.fields, !strong, strong)
		}
	}
}

// tagList is RFC 9110's list of entity tags, written down a second time.
var tagList = regexp.MustCompile(`^[ \t,]*((W/)?"[^\x00-\x20"\x7f]*"[ \t]*(,[ \t,]*|$))*$`)

// naiveMatch is noneMatch as slow and plain as it can be.
func naiveMatch(field, own string, a accepted) bool {
	if strings.Trim(field, " \t") == "*" {
		return true
	}
	if !tagList.MatchString(field) {
		return false
	}
	forms := []string{own}
	for c := range blob.NumCodings {
		if a[c] > 0 {
			forms = append(forms, strings.TrimSuffix(own, `"`)+codedSuffix[c])
		}
	}
	for _, tag := range regexp.MustCompile(`"[^"]*"`).FindAllString(field, -1) {
		if slices.Contains(forms, tag) {
			return true
		}
	}
	return false
}

func FuzzIfNoneMatch(f *testing.F) {
	for _, seed := range []string{
		`"abc"`, `"abc"junk`, `W/"abc", "x"`, `"x","abc-br"`, `*`, `"abc""abc"`, `, ,"abc",`, `"abc-gzip"; q=1`, `"abc`, "\"\xff\",\"abc\"", `W/"abc-zstd"`,
	} {
		f.Add(seed, "br, gzip;q=0")
	}
	f.Fuzz(func(t *testing.T, field, codings string) {
		const own = `"abc"`
		a := parseAccepted([]string{codings})
		tag, matched := noneMatch([]string{field}, own, a)
		if want := naiveMatch(field, own, a); matched != want {
			t.Errorf("If-None-Match: %q matches = %v, want %v", field, matched, want)
		}
		if matched && !strings.HasPrefix(tag, `"abc`) {
			t.Errorf("If-None-Match: %q matches %q", field, tag)
		}
	})
}
