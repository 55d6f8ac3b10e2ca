package main

import (
	"strings"
	"unicode/utf8"
)

// screen is what is known of the place where people read.
type screen struct {
	// live says that lines may be redrawn and coloured: a terminal, and nobody asked for plain text.
	live bool
	// tty says that a person reads, whether or not lines may be redrawn.
	tty   bool
	width int
}

// newScreen applies the conventions: NO_COLOR and TERM=dumb mean plain lines, as a pipe does.
func newScreen(tty bool, width int, getenv func(string) string) screen {
	if width <= 0 {
		width = 80
	}
	live := tty && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	return screen{live: live, tty: tty, width: width}
}

// textWidth is the width that running text is set in: no line that the eye loses on its way back.
func (s screen) textWidth() int { return min(max(s.width, 40), 100) }

// The colours, by what they say.
const (
	colourGood  = "32"
	colourBad   = "31"
	colourFaint = "2"
	colourBold  = "1"
)

// paint colours text where that is wanted.
func (s screen) paint(colour, text string) string {
	if !s.live || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// wrap breaks text at spaces so that no line is longer than width; what stands on a line of its own in the text stays so. A
// line that begins with a space or a digit and a bar is set already and is left alone.
func wrap(text string, width int) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, " ") || strings.Contains(line, "| ") {
			lines = append(lines, line)
			continue
		}
		lines = append(lines, wrapLine(line, width)...)
	}
	return lines
}

func wrapLine(line string, width int) []string {
	var lines []string
	var b strings.Builder
	used := 0
	for word := range strings.FieldsSeq(line) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			lines = append(lines, b.String())
			b.Reset()
			used = 0
		}
		if used > 0 {
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return append(lines, b.String())
}

// clip shortens text to width characters, with an ellipsis where something is missing.
func clip(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	if width < 1 {
		return ""
	}
	return string([]rune(text)[:width-1]) + "…"
}

// pad fills text with spaces up to width characters.
func pad(text string, width int) string {
	if n := width - utf8.RuneCountInString(text); n > 0 {
		return text + strings.Repeat(" ", n)
	}
	return text
}
