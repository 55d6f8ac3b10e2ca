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

func (c *call) statusCommand() *cobra.Command {
	var watch bool
	cmd := newCommand(text{
		use:      "status",
		short:    "Say what is live",
		examples: []string{"aplomb status", "aplomb status --watch"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused},
		next:     "aplomb log",
		failed:   "No status",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error {
		if watch {
			return c.watch(cmd.Context())
		}
		return c.status(cmd.Context())
	})
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "keep it in view; q quits, r twice rolls back, ? helps")
	return cmd
}

func (c *call) status(ctx context.Context) error {
	sites, err := c.statuses(ctx)
	if err != nil {
		return err
	}
	if c.flags.json {
		for _, st := range sites {
			writeJSON(c.stdout, st)
		}
		return nil
	}
	if len(sites) == 0 {
		c.tell(c.next("There is no site yet. next: aplomb deploy ./dist", ""))
	}
	for _, st := range sites {
		for i, line := range statusLines(st, c.now()) {
			if i > 0 { // the first holds what people wrote, and no advice
				line = c.next(line, st.Site)
			}
			c.tell(line)
		}
	}
	return nil
}

// statuses returns the site that is named, or all there are.
func (c *call) statuses(ctx context.Context) ([]release.SiteStatus, error) {
	site, err := c.namedSite()
	if err != nil {
		return nil, err
	}
	s, err := c.dial()
	if err != nil {
		return nil, err
	}
	if site == "" {
		return s.client.Sites(ctx)
	}
	s.site = site
	st, err := s.client.Status(ctx, site)
	return []release.SiteStatus{st}, err
}

// statusLines is one sentence in peace, and a line for each thing that is not.
func statusLines(st release.SiteStatus, now time.Time) []string {
	line := fmt.Sprintf("%s: nothing is live yet.", st.Site)
	switch {
	case st.Live == "" && st.Degraded != "":
		line = fmt.Sprintf("%s: nothing is served.", st.Site)
	case st.Live != "":
		line = fmt.Sprintf("%s: %s is live since %s", st.Site, st.Live, clockText(st.Since, now))
		if st.Share > 0 && st.Share < 1 {
			line += fmt.Sprintf(" for %.0f %% of the visitors", 100*st.Share)
		}
		if st.By != "" {
			line += ", by " + st.By
		}
		if st.Note != "" {
			line += fmt.Sprintf(", %q", st.Note)
		}
		line += "."
	}
	if st.URL != "" {
		line += " " + st.URL
	}
	lines := []string{line}
	if o := st.Offline; o != nil {
		lines = append(lines, fmt.Sprintf("  Visitors get the maintenance page: offline since %s, by %s: %s. next: aplomb online --site %s", clockText(o.Since, now), o.By, strings.TrimSuffix(oneLine(o.Why), "."), st.Site))
	}
	for _, r := range st.Rollouts {
		lines = append(lines, rolloutLine(r, now))
	}
	if st.Degraded != "" {
		lines = append(lines, "  "+degradedText(st.Site, st.Degraded, st.Live != ""))
	}
	if st.Unsaved {
		lines = append(lines, fmt.Sprintf("  The edge cannot write its state: a restart would serve what was before. It is tried again. Why: %s", st.UnsavedWhy))
	}
	for _, missing := range st.Missing {
		lines = append(lines, "  "+missing)
	}
	for _, d := range st.Damaged {
		lines = append(lines, "  Damaged, and not served: "+d)
	}
	if st.Disk != "" {
		lines = append(lines, "  "+st.Disk+" next: aplomb releases, aplomb collect")
	}
	return lines
}

func rolloutLine(r release.RolloutStatus, now time.Time) string {
	name := string(r.Release)
	if name == "" {
		name = "a deploy"
	}
	return fmt.Sprintf("  %s by %s: %s, begun %s", name, r.By, r.Stage, agoText(now.Sub(r.Since)))
}

// degradedText says what a ledger that refuses to write means, and what to do. served says that visitors get a release.
func degradedText(site aplomb.SiteName, why string, served bool) string {
	why = strings.TrimSuffix(why, " ("+string(aplomb.CodeDegraded)+")")
	if !strings.Contains(why, "refuses to write") {
		why = "the ledger refuses to write: " + why
	}
	visitors := "The site is served and rollback works."
	if !served {
		visitors = "No release of it is served: recover brings back the newest that the ledger still has as live; the one acknowledged last may have been newer."
	}
	return fmt.Sprintf("%s. %s next: aplomb recover --site %s", sentence(why), visitors, site)
}
