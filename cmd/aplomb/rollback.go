package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aplomb/release"
)

func (c *call) rollbackCommand() *cobra.Command {
	var reason string
	cmd := newCommand(text{
		use:   "rollback",
		short: "Go back to the release that was live before",
		long: `Takes back what is under way; otherwise goes to the newest release that was live before and was not withdrawn. It asks
nothing, and it can be undone. Interrupting this command does not stop it.`,
		examples: []string{"aplomb rollback", "aplomb rollback --site shop"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitRunning, exitNeeded},
		next:     "aplomb status, or aplomb undo",
		failed:   "Not rolled back",
	}, noRelease, func(cmd *cobra.Command, _ []string) error {
		return c.back(cmd.Context(), "rollback", func(ctx context.Context, s *server) (release.Back, error) {
			return s.client.Rollback(ctx, reason, s.site)
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}

// noRelease refuses arguments, and says how to go to a certain release.
func noRelease(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage("rollback takes no release: the server knows what was live before", fmt.Sprintf("%q was given", args[0]), "aplomb rollback, or aplomb promote "+args[0])
}

func (c *call) undoCommand() *cobra.Command {
	var reason string
	var n int64
	cmd := newCommand(text{
		use:      "undo",
		short:    "Reverse the last act that visitors saw",
		examples: []string{"aplomb undo", "aplomb undo --act 17   # only if 17 is still the last act"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitRunning, exitNeeded, exitDegraded},
		next:     "aplomb status",
		failed:   "Not undone",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error {
		return c.back(cmd.Context(), "undo", func(ctx context.Context, s *server) (release.Back, error) {
			return s.client.Undo(ctx, reason, s.site, n)
		})
	})
	cmd.Flags().Int64Var(&n, "act", 0, "undo this act, by its `n` on the timeline, and only if it is the last")
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}

// back does what rollback and undo have in common.
func (c *call) back(ctx context.Context, what string, do func(context.Context, *server) (release.Back, error)) error {
	began := c.now()
	s, _, err := c.siteOnServer(ctx)
	if err != nil {
		return err
	}
	b, err := act(ctx, c, what, func(ctx context.Context) (release.Back, error) { return do(ctx, s) })
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, b)
		return nil
	}
	c.tell(backText(b, c.now().Sub(began), c.onServer())...)
	if slices.Contains(b.Pending, "edge-state") {
		c.tell("A restart of the server would serve what was before: the edge could not write its state, and tries again. " + c.advise("Next: aplomb status", b.Site))
	}
	if b.Recorded {
		c.tell(c.advise("Undo: aplomb undo", b.Site))
	} else {
		c.tell("The ledger could not take this act: visitors are back all the same. " + c.advise("Next: aplomb recover", b.Site))
	}
	return nil
}

// backText says how far an act went back, with evidence for each of the four places where a release can be: done and how
// fast, still going on, or not undone and why. on names the server, at the end of a sentence.
func backText(b release.Back, took time.Duration, on string) []string {
	first := fmt.Sprintf("%s is live again (was %s). %s%s.", b.To, b.From, tookText(took), on)
	if b.To == "" {
		first = fmt.Sprintf("Nothing is live (was %s). %s%s.", b.From, tookText(took), on)
	}
	if b.Undid > 0 {
		first += fmt.Sprintf(" Act %d is undone.", b.Undid)
	}
	lines := []string{first}
	for _, place := range []struct {
		name  string
		whats []string
	}{
		{"routing", []string{"routing"}},
		{"caches", []string{"edge-cache", "cdn"}},
		{"browsers", []string{"worker", "tabs"}},
		{"data", []string{"data"}},
	} {
		lines = append(lines, fmt.Sprintf("  %-9s %s", place.name, placeText(b, place.whats)))
	}
	if n := len(b.Ended); n > 0 {
		lines = append(lines, fmt.Sprintf("  %s on the way ended with it.", countText(n, "rollout")))
	}
	return lines
}

func placeText(b release.Back, whats []string) string {
	var parts []string
	for _, d := range b.Undone {
		if slices.Contains(whats, d.What) {
			parts = append(parts, named(d.What, whats)+"✔ "+tookText(milliseconds(d.MS)))
		}
	}
	for _, p := range b.Pending {
		if slices.Contains(whats, p) {
			parts = append(parts, named(p, whats)+"going on")
		}
	}
	for _, n := range b.NotUndone {
		if slices.Contains(whats, n.What) {
			parts = append(parts, named(n.What, whats)+"not undone: "+n.Why)
		}
	}
	if parts == nil {
		return "– nothing to take back"
	}
	return strings.Join(parts, " · ")
}

// named puts a name before a part where its line holds more than one.
func named(what string, whats []string) string {
	if len(whats) == 1 {
		return ""
	}
	return strings.ReplaceAll(what, "-", " ") + " "
}
