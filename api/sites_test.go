package api

import (
	"testing"

	"aplomb"
	"aplomb/release"
)

func TestASiteIsMadeSetShownAndRemovedThroughTheAPI(t *testing.T) {
	t.Parallel()
	c := newHouse(t).tcp(t)
	ctx := t.Context()
	if r, err := c.AddSite(ctx, "", "blog", []string{"blog.test"}); err != nil || r.N != 1 || r.Rules[0].Value != "blog.test" {
		t.Fatalf("added = %+v, %v", r, err)
	}
	preview := "preview.blog.test"
	r, err := c.SetSite(ctx, "for the team", "blog", release.SiteChange{PreviewHost: &preview})
	if err != nil || len(r.Changes) != 1 || r.Changes[0].After != preview {
		t.Fatalf("set = %+v, %v", r, err)
	}
	if r, err := c.Site(ctx, "blog"); err != nil || len(r.Changes) != 0 || r.Rules[3].Value != preview {
		t.Errorf("shown = %+v, %v", r, err)
	}
	if _, err := c.RemoveSite(ctx, "", "blog", "blo"); !isCode(err, aplomb.CodeReason) {
		t.Errorf("removed by another name: %v", err)
	}
	if r, err := c.RemoveSite(ctx, "", "blog", "blog"); err != nil || r.Site != "blog" {
		t.Errorf("removed = %+v, %v", r, err)
	}
	if _, err := c.Site(ctx, "blog"); !isCode(err, aplomb.CodeNoSite) {
		t.Errorf("shown after that: %v", err)
	}
}

func TestASiteGoesOfflineAndForgetsThroughTheAPI(t *testing.T) {
	t.Parallel()
	c := newHouse(t).tcp(t)
	ctx := t.Context()
	deploy(t, c, page("one"))
	if s, err := c.Offline(ctx, "counting", "shop", 60); err != nil || s.Offline == nil || s.Offline.RetryAfter != 60 || !s.Recorded {
		t.Fatalf("offline = %+v, %v", s, err)
	}
	if s, err := c.Online(ctx, "", "shop"); err != nil || s.Offline != nil {
		t.Errorf("online = %+v, %v", s, err)
	}
	if u, err := c.Usage(ctx, "shop"); err != nil || len(u.Releases) != 1 || u.Releases[0].Own == 0 || u.Bytes != u.Releases[0].Own {
		t.Errorf("usage = %+v, %v", u, err)
	}
	if f, err := c.Forget(ctx, "a name", "shop", "/index.html"); err != nil || len(f.Gone) != 2 || f.Blobs == 0 {
		t.Errorf("forgotten = %+v, %v", f, err)
	}
	if f, err := c.Collect(ctx); err != nil || f.Releases == nil || f.Skipped != "" {
		t.Errorf("collected = %+v, %v", f, err)
	}
}
