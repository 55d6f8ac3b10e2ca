package main

import (
	"fmt"
	"strconv"
	"time"
)

// sizeText returns a number of bytes for people: "4.1 KB".
func sizeText(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1000*1000:
		return scaled(n, 1000, "KB")
	case n < 1000*1000*1000:
		return scaled(n, 1000*1000, "MB")
	}
	return scaled(n, 1000*1000*1000, "GB")
}

func scaled(n, unit int64, name string) string {
	return fmt.Sprintf("%.1f %s", float64(n)/float64(unit), name)
}

// countText returns "1 file", "2 files", "10,000 files".
func countText(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return numberText(n) + " " + noun + "s"
}

func numberText(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// tookText returns how long something took, in the unit that people would say it in: "3 ms", "0.21 s", "2 min 5 s".
func tookText(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "under 1 ms"
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

// milliseconds turns a figure of the API into a duration.
func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// agoText returns an age in one unit: "just now", "5 min ago", "3 h ago", "12 d ago".
func agoText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d d ago", int(d.Hours()/24))
}

// clockText returns a time of today as a clock shows it, any other with its day. Both are local to the reader.
func clockText(at, now time.Time) string {
	at, now = at.Local(), now.Local()
	if at.Year() == now.Year() && at.YearDay() == now.YearDay() {
		return at.Format("15:04")
	}
	return at.Format("2006-01-02 15:04")
}
