package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aplomb"
	"aplomb/api"
)

func (c *call) tokenCommand() *cobra.Command {
	cmd := newCommand(text{
		use:   "token",
		short: "Give, list and revoke the tokens of others: CI, teammates, monitors",
		long: `Whoever runs aplomb up needs none on that machine. Everybody else has a token, with a name that stands on the timeline for what was
done with it, and with scopes:

read       status, timeline, releases; with every other scope, too
deploy     deploy, promote, preview, note, on one site that exists
approve    say yes to what waits for a person
rollback   rollback, undo, retire, offline, online; promote of a release that was withdrawn
admin      everything: sites and their rules, tokens, backup, forget, recover`,
		examples: []string{"aplomb token add ci --scope deploy --site shop --expires 90d", "aplomb token list"},
		exits:    []int{exitDone, exitUsage},
		next:     "aplomb token add NAME --scope SCOPE",
	}, atMost(0, "one of add, list, revoke"), func(cmd *cobra.Command, _ []string) error { return cmd.Help() })
	cmd.AddCommand(c.tokenAddCommand(), c.tokenListCommand(), c.tokenRevokeCommand())
	return cmd
}

func (c *call) tokenAddCommand() *cobra.Command {
	var scopes []string
	var expires, reason string
	cmd := newCommand(text{
		use:   "add NAME --scope SCOPE",
		short: "Make a token and print it, this once",
		long: `The token alone is on stdout. The server keeps its hash; nobody can print it again. Keep it where CI keeps secrets, and give it to
commands in APLOMB_TOKEN or with aplomb login. Without --site it is for all sites, which a token that deploys cannot be.`,
		examples: []string{"aplomb token add ci --scope deploy --site shop --expires 90d", "aplomb token add oncall --scope rollback", "aplomb token add grafana --scope read"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitInvalid, exitDenied, exitRefused, exitDegraded},
		next:     "aplomb token list",
		failed:   "No token made",
	}, exactly(1, "the name of the token", "aplomb token add ci --scope deploy --site shop"), func(cmd *cobra.Command, args []string) error {
		ask, err := c.tokenAsk(args[0], scopes, expires, reason)
		if err != nil {
			return err
		}
		return c.tokenAdd(cmd.Context(), ask)
	})
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "`what` it is for: read, deploy, approve, rollback, admin; may be repeated, or several with commas")
	cmd.Flags().StringVar(&expires, "expires", "", "`how long` it is good: 90d, 12h, or a date like 2027-01-31 (default: until it is revoked)")
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}

// tokenAsk reads what a token is to be. Its site is only ever one that was named: aplomb.toml says what this folder is for, not
// what somebody else may do.
func (c *call) tokenAsk(name string, scopes []string, expires, reason string) (api.TokenAsk, error) {
	ask := api.TokenAsk{Name: name, Why: reason}
	if len(scopes) == 0 {
		return ask, usage("it is not said what the token is for", "the scopes are "+strings.Join(aplomb.ScopeNames(), ", "), "aplomb token add "+shellWord(name)+" --scope read")
	}
	for _, words := range scopes {
		s, err := aplomb.ParseScope(words)
		if err != nil {
			return ask, usage("the token's scope cannot be read", err.Error(), "aplomb token --help")
		}
		ask.Scopes |= s
	}
	if c.flags.site != "" {
		site, err := aplomb.ParseSiteName(c.flags.site)
		if err != nil {
			return ask, usage(fmt.Sprintf("no site can be named %q", c.flags.site), err.Error(), "aplomb sites")
		}
		ask.Site = site
	}
	if expires == "" {
		return ask, nil
	}
	d, err := parseExpiry(expires, c.now())
	if err != nil {
		return ask, usage(fmt.Sprintf("%q is no time at which a token can expire", expires), err.Error(), "--expires 90d")
	}
	ask.Seconds = int64(d / time.Second)
	return ask, nil
}

// longestExpiry is what a time that is far off is taken for a mistake beyond.
const longestExpiry = 100 * 365 * 24 * time.Hour

// parseExpiry reads "90d", "12h", "30m", or the day after whose end a token is good no more.
func parseExpiry(text string, now time.Time) (time.Duration, error) {
	if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		if d := day.AddDate(0, 0, 1).Sub(now); d > 0 {
			return checkExpiry(d)
		}
		return 0, fmt.Errorf("that day is over")
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n > int(longestExpiry/(24*time.Hour)) {
			return 0, fmt.Errorf("want days, hours or minutes like 90d, 12h, 30m, or a date like 2027-01-31")
		}
		return checkExpiry(time.Duration(n) * 24 * time.Hour)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("want days, hours or minutes like 90d, 12h, 30m, or a date like 2027-01-31")
	}
	return checkExpiry(d)
}

func checkExpiry(d time.Duration) (time.Duration, error) {
	if d < time.Second || d > longestExpiry {
		return 0, fmt.Errorf("want at least a second and at most 100 years")
	}
	return d, nil
}

func (c *call) tokenAdd(ctx context.Context, ask api.TokenAsk) error {
	s, err := c.dial()
	if err != nil {
		return err
	}
	g, err := s.client.AddToken(ctx, ask)
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, g)
		return nil
	}
	c.tell(g.Token)
	c.say(fmt.Sprintf("Token %s: %s, %s, %s. It is printed this once.", g.Name, g.Scopes, siteText(g.Site), untilText(g.Grant, c.now())))
	c.say("next: give it to its commands in APLOMB_TOKEN, or: aplomb login --api ADDRESS --token-stdin")
	return nil
}

func siteText(site aplomb.SiteName) string {
	if site == "" {
		return "all sites"
	}
	return "site " + string(site)
}

func untilText(g api.Grant, now time.Time) string {
	switch {
	case !g.Revoked.IsZero():
		return "revoked " + clockText(g.Revoked, now) + " by " + g.RevokedBy
	case g.Expired(now):
		return "expired " + clockText(g.Expires, now)
	case g.Expires.IsZero():
		return "until it is revoked"
	}
	return "until " + clockText(g.Expires, now)
}

func (c *call) tokenListCommand() *cobra.Command {
	var all bool
	cmd := newCommand(text{
		use:      "list",
		short:    "List the tokens: what they are for, who made them, when they were used last",
		examples: []string{"aplomb token list", "aplomb token list --all --json"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied},
		next:     "aplomb token revoke NAME",
		failed:   "Not listed",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error { return c.tokenList(cmd.Context(), all) })
	cmd.Flags().BoolVar(&all, "all", false, "the revoked ones, too")
	return cmd
}

func (c *call) tokenList(ctx context.Context, all bool) error {
	s, err := c.dial()
	if err != nil {
		return err
	}
	list, err := s.client.Tokens(ctx, all)
	if err != nil {
		return err
	}
	for _, g := range list {
		if c.flags.json {
			writeJSON(c.stdout, g)
			continue
		}
		c.tell(grantLine(g, c.now()))
	}
	if len(list) == 0 && !c.flags.json {
		c.tell("There is no token. next: aplomb token add NAME --scope deploy --site SITE")
	}
	return nil
}

// grantLine is one token of a list.
func grantLine(g api.Grant, now time.Time) string {
	used := "never used"
	if !g.LastUsed.IsZero() {
		used = "used " + agoText(now.Sub(g.LastUsed))
	}
	return fmt.Sprintf("%-16s %-28s %-16s by %-12s %-16s %s", g.Name, g.Scopes, siteText(g.Site), g.By, used, untilText(g, now))
}

func (c *call) tokenRevokeCommand() *cobra.Command {
	var reason string
	cmd := newCommand(text{
		use:      "revoke NAME",
		short:    "End a token: its next request is refused, its streams end",
		examples: []string{"aplomb token revoke ci", `aplomb token revoke ci --reason "it was in a log"`},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitInvalid, exitDenied, exitRefused, exitDegraded},
		next:     "aplomb token list",
		failed:   "Not revoked",
	}, exactly(1, "the name of the token", "aplomb token list"), func(cmd *cobra.Command, args []string) error {
		s, err := c.dial()
		if err != nil {
			return err
		}
		g, err := s.client.RevokeToken(cmd.Context(), reason, args[0])
		if err != nil {
			return err
		}
		if c.flags.json {
			writeJSON(c.stdout, g)
			return nil
		}
		used := "It was never used."
		if !g.LastUsed.IsZero() {
			used = "It was last used " + agoText(c.now().Sub(g.LastUsed)) + "."
		}
		c.tell(fmt.Sprintf("Token %s is revoked: it opens nothing any more. %s", g.Name, used))
		return nil
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}
