package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/release"
)

func TestTheNameOfASiteIsAskedForBeforeItIsRemoved(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{"shop\n": "shop", "  shop  ": "shop", "": "", "no\nshop\n": "no"} {
		var talk bytes.Buffer
		got, err := askName(strings.NewReader(typed), &talk, "shop")
		if err != nil || got != want || !strings.Contains(talk.String(), "ends site shop. Type its name") {
			t.Errorf("typed %q: %q, %v; asked %q", typed, got, err, talk.String())
		}
	}
}

func TestWhatASiteIsSetToIsReadFromWords(t *testing.T) {
	t.Parallel()
	c, err := parseChange([]string{"hosts=a.test, b.test", "redirect_to=www.a.test=a.test,b.test=a.test", "upstreams=default", "preview_host="})
	if err != nil {
		t.Fatal(err)
	}
	if len(*c.Hosts) != 2 || (*c.Hosts)[1] != "b.test" || (*c.RedirectTo)["www.a.test"] != "a.test" || len(*c.RedirectTo) != 2 || *c.Upstreams == nil || len(*c.Upstreams) != 0 || *c.PreviewHost != "" {
		t.Errorf("change = %v %v %v %v", *c.Hosts, *c.RedirectTo, *c.Upstreams, *c.PreviewHost)
	}
	if c, err := parseChange([]string{"hosts=a.test"}); err != nil || c.RedirectTo != nil || c.Upstreams != nil || c.PreviewHost != nil {
		t.Errorf("what is not named is changed: %+v, %v", c, err)
	}
	for _, bad := range []string{"hosts", "colour=red", "redirect_to=a.test", "=x"} {
		if _, err := parseChange([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestStatusAndDeploySayThatVisitorsGetTheMaintenancePage(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	off := &aplomb.Offline{Since: noon, By: "mia", Why: "counting."}
	st := release.SiteStatus{Site: "shop", Live: "r1", Share: 1, Since: noon, Offline: off, Disk: "The disk is nearly full."}
	text := strings.Join(statusLines(st, noon.Add(time.Hour)), "\n")
	for _, want := range []string{"offline since ", ", by mia: counting. next: aplomb online --site shop", "  The disk is nearly full. next: aplomb releases"} {
		if !strings.Contains(text, want) {
			t.Errorf("status lacks %q:\n%s", want, text)
		}
	}
	c := &call{getenv: env()}
	said := strings.Join(c.deployedText(release.Deployed{Release: "r2", State: aplomb.Live, From: "r1", Site: "shop", Offline: off}, "", time.Second, false), "\n")
	if !strings.Contains(said, "Visitors do not see it yet") || !strings.Contains(said, "aplomb online") {
		t.Errorf("deploy says %s", said)
	}
}

func TestForgettingSaysWhatStaysAndWhatWasFound(t *testing.T) {
	t.Parallel()
	text := strings.Join(forgottenText(release.Forgotten{
		Site: "shop", Gone: []string{"/keys.txt"}, Blobs: 2, Bytes: 1500,
		Shared:  []release.SharedBytes{{Path: "/keys.txt", At: []string{"blog r3/k.txt"}}},
		Pending: "an upload is open",
		Proof:   []release.Proof{{What: "GET /keys.txt", Found: "410", OK: true}, {What: "the store", Found: "1 is there"}},
	}), "\n")
	for _, want := range []string{"1 URL of shop answers 410", "2 stored files deleted, 1.5 KB.", "they are served as blog r3/k.txt", "an upload is open", "✔ GET /keys.txt: 410", "✗ the store: 1 is there"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}
