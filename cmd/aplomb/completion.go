package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"aplomb"
)

func (c *call) completionCommand() *cobra.Command {
	cmd := newCommand(text{
		use:   "completion bash|zsh|fish|powershell",
		short: "Print the shell's completion for aplomb",
		examples: []string{
			"source <(aplomb completion bash)",
			"aplomb completion fish > ~/.config/fish/completions/aplomb.fish",
		},
		exits: []int{exitDone, exitUsage},
		next:  "open a new shell, and type: aplomb promote, then the tabulator",
	}, exactly(1, "the name of a shell: bash, zsh, fish or powershell", "aplomb completion bash"), func(cmd *cobra.Command, args []string) error {
		root := cmd.Root()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(c.stdout, true)
		case "zsh":
			return root.GenZshCompletion(c.stdout)
		case "fish":
			return root.GenFishCompletion(c.stdout, true)
		case "powershell":
			return root.GenPowerShellCompletionWithDesc(c.stdout)
		}
		return usage(fmt.Sprintf("there is no completion for %q", args[0]), "the shells are bash, zsh, fish and powershell", "aplomb completion bash")
	})
	cmd.ValidArgs = []string{"bash", "zsh", "fish", "powershell"}
	return cmd
}

// completeWithin is how long a person waits for a tabulator at most.
const completeWithin = 400 * time.Millisecond

// completeReleases offers the site's releases with their age and note, newest first. Without a server it offers nothing.
func (c *call) completeReleases(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	if len(args) > 0 {
		return nil, directive
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	s, site, err := c.siteOnServer(ctx)
	if err != nil {
		return nil, directive
	}
	list, err := s.client.Releases(ctx, site)
	if err != nil {
		return nil, directive
	}
	var offers []string
	for _, r := range list {
		offers = append(offers, cobra.CompletionWithDesc(string(r.ID), releaseHint(r, c.now())))
	}
	return offers, directive
}

// releaseHint is what tells one release from another: `3 h ago  "new header"`.
func releaseHint(r aplomb.Release, now time.Time) string {
	hint := agoText(now.Sub(r.Sealed)) + "  " + string(r.State)
	if r.Note != "" {
		hint += fmt.Sprintf("  %q", r.Note)
	}
	return hint
}
