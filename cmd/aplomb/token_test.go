package main

import (
	"testing"
	"time"
)

func TestExpiryIsReadAsPeopleWriteIt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "12h": 12 * time.Hour, "30m": 30 * time.Minute, "1h30m": 90 * time.Minute,
		"2026-11-24": 6 * time.Hour, "2026-11-25": 30 * time.Hour,
	} {
		if got, err := parseExpiry(text, now); err != nil || got != want {
			t.Errorf("parseExpiry(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "0d", "-1d", "d", "90", "90 days", "1.5d", "0s", "-12h", "10ms", "2026-11-23", "2026-13-01", "99999999999d", "9000000h", "tomorrow"} {
		if got, err := parseExpiry(bad, now); err == nil {
			t.Errorf("parseExpiry(%q) = %v, want an error", bad, got)
		}
	}
}

func TestOnlyLoopbackAddressesStayOnThisMachine(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"127.0.0.1:9400": true, "[::1]:9400": true, "localhost:9400": true, "127.1.2.3:1": true,
		"10.0.0.1:9400": false, "api.example.com:9400": false, "localhost.example.com:9400": false, "": false,
	} {
		if got := thisMachine(addr); got != want {
			t.Errorf("thisMachine(%q) = %t, want %t", addr, got, want)
		}
	}
}
