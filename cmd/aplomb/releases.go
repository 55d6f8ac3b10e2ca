package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aplomb"
	"aplomb/release"
)

func (c *call) releasesCommand() *cobra.Command {
	return newCommand(text{
		use:      "releases",
		short:    "List a site's releases, newest first, and what each holds on the disk",
		examples: []string{"aplomb releases", "aplomb releases --site shop --json"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused},
		next:     "aplomb promote rN",
		failed:   "Not listed",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error { return c.releases(cmd.Context()) })
}

func (c *call) releases(ctx context.Context) error {
	s, site, err := c.siteOnServer(ctx)
	if err != nil {
		return err
	}
	list, err := s.client.Releases(ctx, site)
	if err != nil {
		return err
	}
	usage, err := s.client.Usage(ctx, site)
	if err != nil {
		return err
	}
	held := map[aplomb.ReleaseID]release.ReleaseUsage{}
	for _, u := range usage.Releases {
		held[u.Release] = u
	}
	if c.flags.json {
		for _, r := range list {
			writeJSON(c.stdout, listedRelease{r, held[r.ID].Bytes, held[r.ID].Own})
		}
		return nil
	}
	if len(list) == 0 {
		c.tell(c.next(fmt.Sprintf("%s has no release yet. next: aplomb deploy", site), site))
		return nil
	}
	for _, r := range list {
		c.tell(releaseLine(r, held[r.ID].Own, c.now()))
	}
	c.tell(fmt.Sprintf("%s on the disk, encoded forms included; after + is what only that release holds.", sizeText(usage.Bytes)))
	return nil
}

// listedRelease is a release with what it holds on the disk: all that it needs, and what only it needs.
type listedRelease struct {
	aplomb.Release
	DiskBytes int64 `json:"disk_bytes"`
	OwnBytes  int64 `json:"own_bytes"`
}

func releaseLine(r aplomb.Release, own int64, now time.Time) string {
	line := fmt.Sprintf("%-5s %-9s %-12s %-12s %11s %9s %10s", r.ID, r.State, agoText(now.Sub(r.Sealed)), r.By,
		countText(r.Files, "file"), sizeText(r.Bytes), "+"+sizeText(own))
	if r.Note != "" {
		line += fmt.Sprintf("  %q", r.Note)
	}
	if r.Why != "" && r.State != aplomb.Live {
		line += "  " + r.Why
	}
	if r.Collected {
		line += "  (its bytes are deleted)"
	}
	return strings.TrimRight(line, " ")
}
