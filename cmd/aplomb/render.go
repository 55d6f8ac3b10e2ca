package main

import (
	"fmt"
	"strings"
	"time"
)

// cursorUp moves a terminal's cursor to the start of the line n above.
func cursorUp(n int) string { return fmt.Sprintf("\x1b[%dA\r", n) }

// renderFrame draws progress at a moment: one line a phase. It is a pure function of what it is given.
func renderFrame(p progress, now time.Time, s screen) []string {
	width := s.textWidth()
	nameWidth := 0
	for _, f := range p.phases {
		nameWidth = max(nameWidth, len(f.name))
	}
	const timeWidth, usualWidth = 10, 16
	textWidth := width - 4 - nameWidth - 2 - timeWidth - usualWidth
	var lines []string
	for _, f := range p.phases {
		usual := ""
		if f.usual > 0 && f.state == phaseRunning {
			usual = "usually " + tookText(f.usual)
		}
		line := fmt.Sprintf("  %s %s  %s%s  %s", s.paint(markColour(f.state), mark(f.state)), pad(f.name, nameWidth),
			pad(clip(phaseText(f), textWidth), textWidth), s.paint(colourFaint, padLeft(phaseTime(f, now), timeWidth)),
			s.paint(colourFaint, usual))
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}

func phaseText(f phase) string {
	if f.state == phaseRunning && f.now != nil {
		return f.now()
	}
	if f.text == "" && f.state != phasePending {
		return string(f.state)
	}
	return f.text
}

func phaseTime(f phase, now time.Time) string {
	switch {
	case f.begun.IsZero():
		return ""
	case f.state == phaseRunning:
		return fmt.Sprintf("%.1f s", now.Sub(f.begun).Seconds())
	}
	return tookText(f.ended.Sub(f.begun))
}

// mark shows a state by its shape, for those who see no colour.
func mark(s phaseState) string {
	switch s {
	case phaseRunning:
		return "●"
	case phaseDone:
		return "✔"
	case phaseSkipped:
		return "–"
	case phaseFailed:
		return "✗"
	}
	return "·"
}

func markColour(s phaseState) string {
	switch s {
	case phaseDone:
		return colourGood
	case phaseFailed:
		return colourBad
	case phaseRunning:
		return colourBold
	}
	return colourFaint
}

// lineOf is an event as a line of a log.
func lineOf(e event) string {
	line := e.At.Format(time.RFC3339) + " " + e.Phase + " " + string(e.State)
	if e.MS > 0 {
		line += " in " + tookText(milliseconds(e.MS))
	}
	if e.Text != "" {
		line += ": " + e.Text
	}
	return line
}

func padLeft(text string, width int) string {
	if n := width - len([]rune(text)); n > 0 {
		return strings.Repeat(" ", n) + text
	}
	return text
}
