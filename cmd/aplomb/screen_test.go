package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestOnlyATerminalThatNobodyAskedToBePlainIsDrawnOn(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		tty    bool
		getenv func(string) string
		want   bool
	}{
		{"terminal", true, env("TERM", "xterm-256color"), true},
		{"pipe", false, env("TERM", "xterm-256color"), false},
		{"NO_COLOR", true, env("TERM", "xterm", "NO_COLOR", "1"), false},
		{"dumb", true, env("TERM", "dumb"), false},
	}
	for _, c := range cases {
		if got := newScreen(c.tty, 80, c.getenv).live; got != c.want {
			t.Errorf("%s: live = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestPlainTextHasNoEscapes(t *testing.T) {
	t.Parallel()
	if got := plainScreen(80).paint(colourBad, "x"); got != "x" {
		t.Errorf("paint = %q, want plain", got)
	}
}

func TestWrapKeepsEveryWordWithinTheWidth(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("wörter und zahlen 123 ", 20)
	lines := wrap(text, 30)
	for _, l := range lines {
		if n := utf8.RuneCountInString(l); n > 30 {
			t.Errorf("%d characters: %q", n, l)
		}
	}
	if got, want := strings.Join(strings.Fields(strings.Join(lines, " ")), " "), strings.TrimSpace(text); got != want {
		t.Errorf("words differ: %q, want %q", got, want)
	}
}

func TestWrapLeavesQuotedLinesOfAFileAlone(t *testing.T) {
	t.Parallel()
	text := "aplomb.toml:3:1: unknown\n3| hsots = [\"a very long line that would be broken elsewhere\"]\n   ^^^^^"
	if got := strings.Join(wrap(text, 40), "\n"); got != text {
		t.Errorf("wrap =\n%s\nwant\n%s", got, text)
	}
}

func TestFiguresReadAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	sizes := map[int64]string{0: "0 B", 999: "999 B", 4100: "4.1 KB", 300_000_000: "300.0 MB", 2_500_000_000: "2.5 GB"}
	for n, want := range sizes {
		if got := sizeText(n); got != want {
			t.Errorf("sizeText(%d) = %q, want %q", n, got, want)
		}
	}
	counts := map[int]string{0: "0 files", 1: "1 file", 10000: "10,000 files", 1234567: "1,234,567 files"}
	for n, want := range counts {
		if got := countText(n, "file"); got != want {
			t.Errorf("countText(%d) = %q, want %q", n, got, want)
		}
	}
	times := map[float64]string{0.2: "under 1 ms", 3: "3 ms", 210: "0.21 s", 12_000: "12 s", 125_000: "2 min 5 s"}
	for ms, want := range times {
		if got := tookText(milliseconds(ms)); got != want {
			t.Errorf("tookText(%v ms) = %q, want %q", ms, got, want)
		}
	}
}

func TestNearestOffersWhatWasMeantAndNothingElse(t *testing.T) {
	t.Parallel()
	known := []string{"deploy", "rollback", "status", "releases", "undo", "up"}
	cases := map[string]string{"depoly": "deploy", "rolback": "rollback", "sttaus": "status", "u": "up", "frobnicate": "", "delete": ""}
	for word, want := range cases {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
