package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/release"
)

func TestTheEndOfADeploySaysWhatIsLiveAndExitsByIt(t *testing.T) {
	t.Parallel()
	const took = 210 * time.Millisecond
	cases := []struct {
		name   string
		r      release.Deployed
		noLive bool
		want   int
		lines  []string
	}{
		{"live", release.Deployed{Release: "r2", State: aplomb.Live, From: "r1", URL: "http://a/", FilesUploaded: 1, BytesUploaded: 4100, Act: 9}, false, exitDone,
			[]string{"r2 is live (was r1). 1 file, 4.1 KB sent. 0.21 s.", "http://a/", "If it is bad: aplomb rollback"}},
		{"first", release.Deployed{Release: "r1", State: aplomb.Live, URL: "http://a/", Act: 5}, false, exitDone,
			[]string{"r1 is live for the first time. 0 files, 0 B sent. 0.21 s.", "http://a/"}},
		{"uploaded as asked", release.Deployed{Release: "r2", State: aplomb.Uploaded}, true, exitDone,
			[]string{"r2 is uploaded and not live. 0 files, 0 B sent. 0.21 s.", "To put it live: aplomb promote r2"}},
		{"overtaken", release.Deployed{Release: "r2", State: aplomb.Waiting, From: "r1", Why: "overtaken by r3"}, false, exitWaiting,
			[]string{"r2 is waiting. 0 files, 0 B sent. 0.21 s.", "Overtaken by r3"}},
		{"ended by a rollback", release.Deployed{Release: "r2", State: aplomb.Uploaded, Why: "ended by a rollback"}, false, exitWaiting,
			[]string{"r2 is uploaded. 0 files, 0 B sent. 0.21 s.", "Ended by a rollback"}},
		{"taken back", release.Deployed{Release: "r2", State: aplomb.Bad, From: "r1"}, false, exitWithdrawn,
			[]string{"r2 is bad. 0 files, 0 B sent. 0.21 s."}},
	}
	for _, c := range cases {
		var out bytes.Buffer
		call := &call{stdout: &out, now: time.Now}
		err := call.tellDeployed(c.r, "", took, c.noLive)
		if got := exitOf(err); got != c.want {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.want)
		}
		if !strings.HasPrefix(out.String(), strings.Join(c.lines, "\n")) {
			t.Errorf("%s: got\n%s\nwant it to begin\n%s", c.name, out.String(), strings.Join(c.lines, "\n"))
		}
	}
}

func TestARollbackShowsItsEvidenceForEveryPlace(t *testing.T) {
	t.Parallel()
	golden(t, "rollback.txt", strings.Join(backText(release.Back{
		Site: "shop", From: "r2", To: "r1", Act: 17,
		Undone:    []aplomb.Done{{What: "routing", MS: 3}, {What: "worker", MS: 0.4}, {What: "edge-cache", MS: 1.2}},
		Pending:   []string{"cdn"},
		NotUndone: []release.NotUndone{{What: "tabs", Why: "open tabs stay on r2 until their next navigation"}},
		Ended:     []int64{15},
	}, 12*time.Millisecond, ""), "\n")+"\n")
}

func TestStatusIsOneSentenceInPeace(t *testing.T) {
	t.Parallel()
	st := release.SiteStatus{Site: "shop", Live: "r2", Share: 1, Since: noon.Local(), By: "mia", Note: "new header", URL: "http://shop.localhost/"}
	lines := statusLines(st, noon.Add(time.Hour))
	want := `shop: r2 is live since ` + noon.Local().Format("15:04") + `, by mia, "new header". http://shop.localhost/`
	if len(lines) != 1 || lines[0] != want {
		t.Errorf("status = %q, want %q", lines, want)
	}
	st.Degraded = "the ledger of site shop refuses to write: x (APL-5001)"
	st.Rollouts = []release.RolloutStatus{{Release: "r3", Stage: "switch", By: "ana", Since: noon}}
	if lines := statusLines(st, noon.Add(time.Hour)); len(lines) != 3 || !strings.Contains(lines[2], "next: aplomb recover --site shop") {
		t.Errorf("status = %q", lines)
	}
}
