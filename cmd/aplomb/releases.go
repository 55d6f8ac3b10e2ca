package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aplomb"
)

func (c *call) releasesCommand() *cobra.Command {
	return newCommand(text{
		use:      "releases",
		short:    "List a site's releases, newest first",
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
	if c.flags.json {
		for _, r := range list {
			writeJSON(c.stdout, r)
		}
		return nil
	}
	if len(list) == 0 {
		c.tell(fmt.Sprintf("%s has no release yet. next: aplomb deploy", site))
		return nil
	}
	for _, r := range list {
		c.tell(releaseLine(r, c.now()))
	}
	return nil
}

func releaseLine(r aplomb.Release, now time.Time) string {
	line := fmt.Sprintf("%-5s %-9s %-12s %-12s %11s %9s", r.ID, r.State, agoText(now.Sub(r.Sealed)), r.By,
		countText(r.Files, "file"), sizeText(r.Bytes))
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
