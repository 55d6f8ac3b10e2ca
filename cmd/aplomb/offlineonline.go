package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"aplomb"
	"aplomb/release"
)

func (c *call) offlineCommand() *cobra.Command {
	var reason string
	var after int
	cmd := newCommand(text{
		use:   "offline",
		short: "Show visitors a maintenance page instead of the site",
		long: `Every visitor gets 503 and Retry-After from then on, through restarts, until "aplomb online". A deploy meanwhile goes live
behind the page. Like a rollback it works with the disk full and with a damaged ledger.`,
		examples: []string{`aplomb offline --reason "moving the database"`, `aplomb offline --reason "back at noon" --retry-after 3600`},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitRunning},
		next:     "aplomb online",
		failed:   "Not taken offline",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error {
		if strings.TrimSpace(reason) == "" {
			return aplomb.NewError(aplomb.CodeReason, "nothing was taken offline", "visitors will get no page of the site, so a reason is needed", `aplomb offline --reason "why"`)
		}
		return c.show(cmd.Context(), "maintenance page", func(ctx context.Context, s *server) (release.Shown, error) {
			return s.client.Offline(ctx, reason, s.site, after)
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`why`; needed")
	cmd.Flags().IntVar(&after, "retry-after", 300, "when visitors are told to come back, in `seconds`")
	return cmd
}

func (c *call) onlineCommand() *cobra.Command {
	var reason string
	cmd := newCommand(text{
		use:      "online",
		short:    "End the maintenance page",
		examples: []string{"aplomb online", "aplomb online --site shop"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitRunning},
		next:     "aplomb status",
		failed:   "Still offline",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error {
		return c.show(cmd.Context(), "end of the maintenance page", func(ctx context.Context, s *server) (release.Shown, error) {
			return s.client.Online(ctx, reason, s.site)
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}

// show does what offline and online have in common.
func (c *call) show(ctx context.Context, what string, do func(context.Context, *server) (release.Shown, error)) error {
	s, _, err := c.siteOnServer(ctx)
	if err != nil {
		return err
	}
	r, err := act(ctx, c, what, func(ctx context.Context) (release.Shown, error) { return do(ctx, s) })
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, r)
		return nil
	}
	behind := "nothing is live behind it"
	if r.Live != "" {
		behind = fmt.Sprintf("%s stays live behind it", r.Live)
	}
	switch {
	case r.Offline != nil:
		c.tell(fmt.Sprintf("%s is offline: visitors get the maintenance page; %s. %s.", r.Site, behind, tookText(milliseconds(r.TookMS))), c.advise("To end it: aplomb online", r.Site))
	case r.Live == "":
		c.tell(fmt.Sprintf("%s is online again; nothing is live yet.", r.Site))
	default:
		c.tell(fmt.Sprintf("%s is online again: visitors get %s. %s.", r.Site, r.Live, tookText(milliseconds(r.TookMS))))
	}
	if !r.Recorded {
		c.tell("The ledger could not take this yet: visitors get it all the same. " + c.advise("How it stands: aplomb status", r.Site))
	}
	return nil
}
