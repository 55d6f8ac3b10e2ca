package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aplomb/release"
)

func (c *call) sitesCommand() *cobra.Command {
	return newCommand(text{
		use:      "sites",
		short:    "List the sites of a server",
		examples: []string{"aplomb sites", "aplomb sites --json"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied},
		next:     "aplomb site show NAME",
		failed:   "Not listed",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error { return c.sites(cmd.Context()) })
}

func (c *call) sites(ctx context.Context) error {
	s, err := c.dial()
	if err != nil {
		return err
	}
	list, err := s.client.Sites(ctx)
	if err != nil {
		return err
	}
	if c.flags.json {
		for _, st := range list {
			writeJSON(c.stdout, st)
		}
		return nil
	}
	if len(list) == 0 {
		c.tell(c.next("There is no site yet. next: aplomb deploy ./dist, or aplomb site add NAME --host HOST", ""))
	}
	for _, st := range list {
		c.tell(siteLine(st, c.now()))
	}
	return nil
}

// siteLine is one site of a list: its name, what is live since when and by whom, and its hosts.
func siteLine(st release.SiteStatus, now time.Time) string {
	live, since := "nothing live", ""
	if st.Live != "" {
		live, since = string(st.Live), clockText(st.Since, now)
	}
	if st.Offline != nil {
		live += ", offline"
	}
	hosts := make([]string, len(st.Hosts))
	for i, h := range st.Hosts {
		hosts[i] = string(h)
	}
	return strings.TrimRight(fmt.Sprintf("%-16s %-14s %-16s %-12s %s", st.Site, live, since, st.By, strings.Join(hosts, " ")), " ")
}

func (c *call) collectCommand() *cobra.Command {
	return newCommand(text{
		use:   "collect",
		short: "Delete the bytes of releases that are no longer kept",
		long: `The last 10 releases of a site stay, and those sealed or seen by visitors within 30 days; the live one always does. It
happens by itself once a day; this does it now, on every site, and says what it freed. Bytes that arrived within the last day
are left for the next time.`,
		examples: []string{"aplomb collect", "aplomb releases   # what each of them holds"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied},
		next:     "aplomb releases",
		failed:   "Not collected",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error { return c.collect(cmd.Context()) })
}

func (c *call) collect(ctx context.Context) error {
	s, err := c.dial()
	if err != nil {
		return err
	}
	freed, err := act(ctx, c, "collection", s.client.Collect)
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, freed)
		return nil
	}
	for _, r := range freed.Releases {
		c.tell(fmt.Sprintf("%s of %s is no longer kept (%s, sealed %s).", r.ID, r.Site, sizeText(r.Bytes), agoText(c.now().Sub(r.Sealed))))
	}
	c.tell(fmt.Sprintf("%s freed, %s deleted.", sizeText(freed.Bytes), countText(freed.Blobs, "stored file")))
	if freed.Skipped != "" {
		c.tell(c.next("It did not run to its end: "+freed.Skipped+". next: aplomb collect in a minute", ""))
	}
	return nil
}
