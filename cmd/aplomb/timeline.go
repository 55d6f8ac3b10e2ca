package main

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"aplomb"
)

func (c *call) logCommand() *cobra.Command {
	var follow bool
	var after int64
	cmd := newCommand(text{
		use:      "log",
		short:    "Print a site's timeline: who did what, when and why",
		examples: []string{"aplomb log", "aplomb log --follow --json"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused},
		next:     `aplomb note "what was seen"`,
		failed:   "No timeline",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error { return c.log(cmd.Context(), after, follow) })
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as things happen")
	cmd.Flags().Int64Var(&after, "after", 0, "begin after this `n`")
	return cmd
}

func (c *call) log(ctx context.Context, after int64, follow bool) error {
	s, site, err := c.siteOnServer(ctx)
	if err != nil {
		return err
	}
	for f, err := range s.client.Facts(ctx, site, after, follow) {
		if err != nil {
			return err
		}
		if c.flags.json {
			writeJSON(c.stdout, f)
			continue
		}
		c.tell(factLine(f))
	}
	return nil
}

// factLine is a fact for people: when in the reader's own time, what, which release, who, why.
func factLine(f aplomb.Fact) string {
	what := string(f.Release)
	if f.From != "" && f.From != f.Release {
		what += " (was " + string(f.From) + ")"
	}
	line := fmt.Sprintf("%s  %4d  %-12s  %-14s  %-10s  %s", f.At.Local().Format(time.DateTime), f.N, f.Kind, what, f.Actor, oneLine(f.Why))
	return strings.TrimRight(line, " ")
}

// oneLine keeps what people wrote on one line.
// oneLine makes what a person wrote safe for a terminal: one line, nothing that steers it or turns its direction.
func oneLine(s string) string {
	shown := strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, s)
	return strings.Join(strings.Fields(shown), " ")
}

func (c *call) noteCommand() *cobra.Command {
	var of string
	cmd := newCommand(text{
		use:      `note "…"`,
		short:    "Put a note on a site's timeline",
		examples: []string{`aplomb note "checkout was slow for a minute"`, `aplomb note "approved by Ana" --release r41`},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitDegraded},
		next:     "aplomb log",
		failed:   "Not noted",
	}, exactly(1, "one text in quotation marks", `aplomb note "what was seen"`), func(cmd *cobra.Command, args []string) error {
		return c.note(cmd.Context(), args[0], of)
	})
	cmd.Flags().StringVar(&of, "release", "", "the `release` that it is about")
	return cmd
}

func (c *call) note(ctx context.Context, words, of string) error {
	if strings.TrimSpace(words) == "" {
		return usage("the note is empty", "a note is there to be read later", `aplomb note "what was seen"`)
	}
	var id aplomb.ReleaseID
	if of != "" {
		var err error
		if id, err = parseRelease(of); err != nil {
			return err
		}
	}
	s, site, err := c.siteOnServer(ctx)
	if err != nil {
		return err
	}
	f, err := act(ctx, c, "note", func(ctx context.Context) (aplomb.Fact, error) { return s.client.Note(ctx, words, site, id) })
	return c.tellFact(f, err)
}

func (c *call) retireCommand() *cobra.Command {
	var reason string
	cmd := newCommand(text{
		use:      "retire rN",
		short:    "Block a release for good, with a reason",
		long:     "A retired release is never live again: promote and undo refuse it, rollback passes it over.",
		examples: []string{`aplomb retire r41 --reason "loses orders"`},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitDegraded},
		next:     "aplomb releases",
		failed:   "Not retired",
	}, exactly(1, "the name of a release, such as r41", "aplomb releases"), func(cmd *cobra.Command, args []string) error {
		return c.retire(cmd.Context(), args[0], reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`why`; needed")
	cmd.ValidArgsFunction = c.completeReleases
	return cmd
}

func (c *call) retire(ctx context.Context, name, reason string) error {
	id, err := parseRelease(name)
	if err != nil {
		return err
	}
	if strings.TrimSpace(reason) == "" {
		return aplomb.NewError(aplomb.CodeReason, fmt.Sprintf("%s is not retired", id),
			"it is blocked for good, so whoever meets it later must be able to read why", fmt.Sprintf(`aplomb retire %s --reason "why"`, id))
	}
	s, site, err := c.siteOnServer(ctx)
	if err != nil {
		return err
	}
	f, err := act(ctx, c, "retirement", func(ctx context.Context) (aplomb.Fact, error) { return s.client.Retire(ctx, reason, site, id) })
	return c.tellFact(f, err)
}

// tellFact prints the fact that a command made.
func (c *call) tellFact(f aplomb.Fact, err error) error {
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, f)
		return nil
	}
	c.tell(factLine(f))
	return nil
}
