package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"aplomb"
	"aplomb/release"
)

func (c *call) auditCommand() *cobra.Command {
	cmd := newCommand(text{
		use:      "audit",
		short:    "Check that the timeline is whole",
		examples: []string{"aplomb audit verify"},
		exits:    []int{exitDone, exitUsage},
		next:     "aplomb audit verify",
	}, cobra.ArbitraryArgs, func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return cmd.Help()
	})
	var dir string
	verify := newCommand(text{
		use:      "verify",
		short:    "Walk every site's chain of facts from its first line",
		long:     "Asks the server. With --dir it reads a data folder that no server uses, and changes nothing there.",
		examples: []string{"aplomb audit verify", "aplomb audit verify --dir /var/lib/aplomb"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitDegraded},
		next:     "aplomb recover, where a chain is damaged",
		failed:   "Not whole",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error { return c.verify(cmd.Context(), dir) })
	verify.Flags().StringVar(&dir, "dir", "", "data `folder` to read without a server")
	cmd.AddCommand(verify)
	return cmd
}

func (c *call) verify(ctx context.Context, dir string) error {
	list, err := c.verified(ctx, dir)
	if err != nil {
		return err
	}
	bad := ""
	for _, v := range list {
		if !v.OK && bad == "" {
			bad = fmt.Sprintf("%s: %s", v.Site, v.Problem)
		}
		if c.flags.json {
			writeJSON(c.stdout, v)
			continue
		}
		c.tell(verifiedLine(v))
	}
	if bad != "" {
		return aplomb.NewError(aplomb.CodeDamaged, bad, "the chain of facts does not prove what it says", "aplomb recover")
	}
	return nil
}

func (c *call) verified(ctx context.Context, dir string) ([]release.Verified, error) {
	if dir != "" {
		return c.verifyFolder(ctx, dir)
	}
	s, err := c.dial()
	if err != nil {
		return nil, err
	}
	return s.client.Verify(ctx)
}

func verifiedLine(v release.Verified) string {
	if !v.OK {
		return fmt.Sprintf("✗ %s: %s", v.Site, v.Problem)
	}
	return fmt.Sprintf("✔ %s: %s, head %s", v.Site, countText(int(v.Entries), "fact"), v.Head.SHA.Short())
}

func (c *call) recoverCommand() *cobra.Command {
	var dir, reason string
	cmd := newCommand(text{
		use:   "recover",
		short: "Make a damaged ledger writable again",
		long: `Keeps what visitors get now, sets the damaged file aside, and goes on with a new chain that says what happened and what
is lost. Asks the server; with --dir it works on a data folder that no server uses.`,
		examples: []string{"aplomb recover --site shop", "aplomb recover --site shop --dir /var/lib/aplomb"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitRunning, exitDegraded},
		next:     "aplomb audit verify",
		failed:   "Not recovered",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error { return c.recover(cmd.Context(), dir, reason) })
	cmd.Flags().StringVar(&dir, "dir", "", "data `folder` to work on without a server")
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}

func (c *call) recover(ctx context.Context, dir, reason string) error {
	r, err := c.recovered(ctx, dir, reason)
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, r)
		return nil
	}
	c.tell(fmt.Sprintf("The ledger of %s is writable again. %s %s known.", r.Site, r.Sentence, countText(r.Releases, "release")))
	if r.Aside != "" {
		c.tell("  set aside  " + r.Aside)
	}
	if r.Lost != "" {
		c.tell("  lost       " + r.Lost)
	}
	return nil
}

// recovered asks the server, or does it on a folder.
func (c *call) recovered(ctx context.Context, dir, reason string) (release.Recovered, error) {
	if dir != "" {
		return c.recoverFolder(ctx, dir, reason)
	}
	s, site, err := c.siteOnServer(ctx)
	if errors.Is(err, aplomb.ErrDown) {
		e := asError(err)
		e.Do += "\nor, without a server: aplomb recover --dir DIR"
		return release.Recovered{}, e
	}
	if err != nil {
		return release.Recovered{}, err
	}
	return act(ctx, c, "recovery", func(ctx context.Context) (release.Recovered, error) { return s.client.Recover(ctx, reason, site) })
}
