package release

import (
	"testing"
	"time"

	"aplomb"
)

func TestSentenceNeverCallsAFreshReleaseUnchanged(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name         string
		live         aplomb.ReleaseID
		since, began time.Time
		want         string
	}{
		{"before the request", "r41", now.Add(-58 * time.Minute), now, "Production is unchanged: still r41, live since 14:02 UTC."},
		{"since yesterday", "r41", now.Add(-24 * time.Hour), now, "Production is unchanged: still r41, live since 2026-11-23 15:00 UTC."},
		{"during the request", "r42", now, now.Add(-time.Second), "Production: r42 is live."},
		{"nothing yet", "", time.Time{}, now, "Production is unchanged: nothing is live yet."},
	} {
		st := SiteStatus{Live: c.live, Since: c.since, Sentence: string(c.live) + " is live."}
		if got := st.Production(c.began, now); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
