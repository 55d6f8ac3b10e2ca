package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"aplomb"
)

// asError gives every error the five parts that people get. An error that nobody foresaw keeps its own words.
func asError(err error) *aplomb.Error {
	if e, ok := errors.AsType[*aplomb.Error](err); ok {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return aplomb.NewError(aplomb.CodeUsage, "The command was cancelled",
			"it was interrupted before it was done", "run it again; it takes up what was done already").Because(err)
	}
	return aplomb.NewError(aplomb.CodeInternal, sentence(err.Error()),
		"this was not foreseen, so nothing more is known than the line above",
		"aplomb status").Because(err)
}

// report writes an error for the reader: an object where JSON was asked for, otherwise the five parts in lines.
func report(w io.Writer, s screen, asJSON bool, act string, e *aplomb.Error) {
	if asJSON {
		writeJSON(w, e)
		return
	}
	io.WriteString(w, errorText(s, act, e))
}

// errorText sets an error: the headline with the code at the right edge, three parts, and last what production is now.
func errorText(s screen, act string, err *aplomb.Error) string {
	e := shown(err)
	width := s.textWidth()
	head := headline(act, e)
	room := width - len(e.Code) - 1
	first, rest := head, []string(nil)
	if lines := wrapLine(head, room-2); len(lines) > 1 {
		first, rest = lines[0], lines[1:]
	}
	var b strings.Builder
	b.WriteString(s.paint(colourBad, "✗") + " " + s.paint(colourBold, pad(first, room-2)) + " " + s.paint(colourFaint, string(e.Code)) + "\n")
	for _, line := range rest {
		b.WriteString("  " + s.paint(colourBold, line) + "\n")
	}
	part(&b, "What", wrap(e.What, width-10))
	part(&b, "Why", wrap(e.Why, width-10))
	part(&b, "Do", strings.Split(strings.TrimRight(e.Do, "\n"), "\n")) // never broken: it is there to be pasted
	b.WriteString(e.Production + "\n")
	return b.String()
}

// shown returns an error in which nothing is left that a terminal would obey: parts of it may come from files and from afar.
func shown(e *aplomb.Error) *aplomb.Error {
	out := *e
	for _, part := range []*string{&out.What, &out.Why, &out.Do, &out.Production} {
		*part = printable(*part)
	}
	return &out
}

func headline(act string, e *aplomb.Error) string {
	title := "Something in Aplomb went wrong"
	if c, ok := aplomb.Codes[e.Code]; ok {
		title = c.Title
	}
	if act == "" {
		return title + "."
	}
	return act + ": " + lowerFirst(title) + "."
}

func part(b *strings.Builder, name string, lines []string) {
	for i, line := range lines {
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(b, "  %-8s%s\n", name, line)
	}
}

// lowerFirst joins a sentence to one that goes before. Names such as APL or JSON stay as they are.
func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	next, _ := utf8.DecodeRuneInString(s[n:])
	if unicode.IsUpper(next) {
		return s
	}
	return string(unicode.ToLower(r)) + s[n:]
}

// sentence makes words of an error begin like a sentence.
func sentence(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// writeJSON writes v as one line. Results and errors are plain values: encoding them cannot fail but for the writer,
// whose reader has gone.
func writeJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}
