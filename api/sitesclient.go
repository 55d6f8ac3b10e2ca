package api

import (
	"context"

	"aplomb"
	"aplomb/release"
)

// AddSite creates a site that has no release yet.
func (c *Client) AddSite(ctx context.Context, why string, site aplomb.SiteName, hosts []string) (release.SiteRules, error) {
	return post[release.SiteRules](ctx, c, sitePath(site, ""), hostsBody{hosts, why})
}

// RemoveSite ends a site; confirm is its name once more.
func (c *Client) RemoveSite(ctx context.Context, why string, site aplomb.SiteName, confirm string) (release.SiteRemoved, error) {
	return send[release.SiteRemoved](ctx, c, "DELETE", sitePath(site, ""), removeBody{confirm, why})
}

// Site returns a site's own rules.
func (c *Client) Site(ctx context.Context, site aplomb.SiteName) (release.SiteRules, error) {
	return get[release.SiteRules](ctx, c, sitePath(site, "/rules"))
}

// SetSite changes a site's own rules.
func (c *Client) SetSite(ctx context.Context, why string, site aplomb.SiteName, change release.SiteChange) (release.SiteRules, error) {
	return post[release.SiteRules](ctx, c, sitePath(site, "/rules"), rulesBody{change, why})
}

// Offline shows a site's visitors its maintenance page; after is what they are told, in seconds, or 0.
func (c *Client) Offline(ctx context.Context, why string, site aplomb.SiteName, after int) (release.Shown, error) {
	return post[release.Shown](ctx, c, sitePath(site, "/offline"), offlineBody{after, why})
}

// Online ends the maintenance page.
func (c *Client) Online(ctx context.Context, why string, site aplomb.SiteName) (release.Shown, error) {
	return post[release.Shown](ctx, c, sitePath(site, "/online"), whyBody{why})
}

// Forget makes a URL, or what only one release has, answer 410, and deletes the bytes.
func (c *Client) Forget(ctx context.Context, why string, site aplomb.SiteName, what string) (release.Forgotten, error) {
	return post[release.Forgotten](ctx, c, sitePath(site, "/forget"), forgetBody{what, why})
}

// Usage says what a site's kept releases take on the disk.
func (c *Client) Usage(ctx context.Context, site aplomb.SiteName) (release.Usage, error) {
	return get[release.Usage](ctx, c, sitePath(site, "/usage"))
}

// Collect deletes the bytes of releases that are kept for nobody any more, on every site.
func (c *Client) Collect(ctx context.Context) (release.Freed, error) {
	return post[release.Freed](ctx, c, "/v1/collect", struct{}{})
}
