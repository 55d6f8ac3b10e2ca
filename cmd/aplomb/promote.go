package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"aplomb"
	"aplomb/release"
)

func (c *call) promoteCommand() *cobra.Command {
	var reason string
	cmd := newCommand(text{
		use:      "promote rN",
		short:    "Put a release live that the server has already",
		examples: []string{"aplomb promote r41", `aplomb promote r41 --reason "the new one is too slow"`},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitWithdrawn, exitWaiting, exitRefused, exitRunning, exitDegraded},
		next:     "aplomb status, or aplomb undo where it was wrong",
		failed:   "Not promoted",
	}, exactly(1, "the name of a release, such as r41", "aplomb releases"), func(cmd *cobra.Command, args []string) error {
		return c.promote(cmd.Context(), args[0], reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	cmd.ValidArgsFunction = c.completeReleases
	return cmd
}

func (c *call) promote(ctx context.Context, name, reason string) error {
	began := c.now()
	id, err := parseRelease(name)
	if err != nil {
		return err
	}
	s, site, err := c.siteOnServer(ctx)
	if err != nil {
		return err
	}
	r, err := act(ctx, c, "promote", func(ctx context.Context) (release.Deployed, error) {
		return s.client.Promote(ctx, reason, site, id)
	})
	if err != nil {
		return err
	}
	return c.tellDeployed(r, "", c.now().Sub(began), false)
}

func parseRelease(name string) (aplomb.ReleaseID, error) {
	id, err := aplomb.ParseReleaseID(name)
	if err != nil {
		return "", usage(fmt.Sprintf("%q is not the name of a release", name), "releases are named r1, r2 and so on", "aplomb releases")
	}
	return id, nil
}
