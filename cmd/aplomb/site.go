package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"aplomb"
	"aplomb/release"
)

func (c *call) siteCommand() *cobra.Command {
	cmd := newCommand(text{
		use:   "site",
		short: "Add, remove, show and set sites",
		long: `What is set here belongs to the site: it binds whoever deploys, and no rollback moves it. aplomb.toml belongs to a release, and
may only be stricter.`,
		examples: []string{"aplomb site add shop --host shop.example.com", "aplomb site set shop hosts=shop.example.com,www.shop.example.com redirect_to=www.shop.example.com=shop.example.com"},
		exits:    []int{exitDone, exitUsage},
		next:     "aplomb sites",
	}, atMost(0, "one of add, remove, show, set"), func(cmd *cobra.Command, _ []string) error { return cmd.Help() })
	cmd.AddCommand(c.siteAddCommand(), c.siteRemoveCommand(), c.siteShowCommand(), c.siteSetCommand())
	return cmd
}

func (c *call) siteAddCommand() *cobra.Command {
	var hosts []string
	var reason string
	cmd := newCommand(text{
		use:      "add NAME --host HOST",
		short:    "Create a site that has no release yet",
		examples: []string{"aplomb site add shop --host shop.example.com --host www.shop.example.com"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused},
		next:     "aplomb deploy ./dist --site NAME",
		failed:   "Not created",
	}, exactly(1, "the name of the site", "aplomb site add shop --host shop.example.com"), func(cmd *cobra.Command, args []string) error {
		s, site, err := c.siteArgument(args[0])
		if err != nil {
			return err
		}
		r, err := act(cmd.Context(), c, "creation", func(ctx context.Context) (release.SiteRules, error) {
			return s.client.AddSite(ctx, reason, site, hosts)
		})
		if err != nil {
			return err
		}
		return c.tellRules(r, c.next(fmt.Sprintf("Site %s is there; nothing is live on it yet. next: aplomb deploy ./dist --site %s", site, site), ""))
	})
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "a `host` of the site; may be repeated")
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}

// siteArgument finds the server, and the site that an argument names.
func (c *call) siteArgument(name string) (*server, aplomb.SiteName, error) {
	site, err := aplomb.ParseSiteName(name)
	if err != nil {
		return nil, "", usage(fmt.Sprintf("no site can be named %q", name), err.Error(), "aplomb sites")
	}
	s, err := c.dial()
	if err != nil {
		return nil, "", err
	}
	s.site = site
	return s, site, nil
}

func (c *call) siteRemoveCommand() *cobra.Command {
	var confirm, reason string
	cmd := newCommand(text{
		use:   "remove NAME",
		short: "End a site: none of its hosts is answered for any more",
		long: `It cannot be undone: the site's name has to be typed once more, at the terminal or after --confirm. Its timeline is kept aside
in the data folder, its files are deleted by the next collections, its name and its hosts are free. While a deploy is under
way the site is not removed.`,
		examples: []string{"aplomb site remove shop", "aplomb site remove shop --confirm shop"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitDegraded},
		next:     "aplomb sites",
		failed:   "Not removed",
	}, exactly(1, "the name of the site", "aplomb sites"), func(cmd *cobra.Command, args []string) error {
		return c.siteRemove(cmd.Context(), args[0], confirm, reason)
	})
	cmd.Flags().StringVar(&confirm, "confirm", "", "the site's `name` once more")
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}

func (c *call) siteRemove(ctx context.Context, name, confirm, reason string) error {
	s, site, err := c.siteArgument(name)
	if err != nil {
		return err
	}
	if confirm == "" && !c.flags.json && c.stdin != nil && term.IsTerminal(int(c.stdin.Fd())) {
		if confirm, err = askName(c.stdin, c.stderr, site); err != nil {
			return err
		}
	}
	r, err := act(ctx, c, "removal", func(ctx context.Context) (release.SiteRemoved, error) {
		return s.client.RemoveSite(ctx, reason, site, confirm)
	})
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, r)
		return nil
	}
	was := "nothing was live on it"
	if r.Live != "" {
		was = fmt.Sprintf("%s was live", r.Live)
	}
	c.tell(fmt.Sprintf("Site %s is removed (%s). Its hosts are free.", r.Site, was), "Its timeline is kept: "+r.Aside)
	return nil
}

// askName asks for a site's name to be typed once more.
func askName(in io.Reader, out io.Writer, site aplomb.SiteName) (string, error) {
	fmt.Fprintf(out, "This ends site %s. Type its name to go on: ", site)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the name: %w", err)
	}
	return strings.TrimSpace(line), nil
}

func (c *call) siteShowCommand() *cobra.Command {
	return newCommand(text{
		use:      "show NAME",
		short:    "Print what is set for a site",
		examples: []string{"aplomb site show shop", "aplomb site show shop --json"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused},
		next:     "aplomb site set NAME KEY=VALUE",
		failed:   "Not shown",
	}, exactly(1, "the name of the site", "aplomb sites"), func(cmd *cobra.Command, args []string) error {
		return c.siteShow(cmd.Context(), args[0])
	})
}

func (c *call) siteShow(ctx context.Context, name string) error {
	s, site, err := c.siteArgument(name)
	if err != nil {
		return err
	}
	r, err := s.client.Site(ctx, site)
	if err != nil {
		return err
	}
	return c.tellRules(r, "")
}

func (c *call) siteSetCommand() *cobra.Command {
	var reason string
	cmd := newCommand(text{
		use:   "set NAME KEY=VALUE…",
		short: "Set what binds the deploys of a site",
		long: `hosts=HOST,HOST             the hosts it is served under; a host belongs to one site
redirect_to=FROM=TO,…       leads visitors of one host to another: www.example.com=example.com
upstreams=ADDRESS,…         addresses of apps that a release may name: app.internal:3000, 127.0.0.1:*, unix:/run/*;
                            "default" is this machine, "none" is no app at all
preview_host=HOST           releases are previewed under r1.HOST, r2.HOST, …

A value takes the place of the one before; an empty one takes it away.`,
		examples: []string{"aplomb site set shop hosts=shop.example.com", "aplomb site set shop upstreams=127.0.0.1:*,app.internal:3000"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitDegraded},
		next:     "aplomb site show NAME",
		failed:   "Not set",
	}, atLeastOne("the name of the site, then what is to be set", "aplomb sites"), func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return c.siteShow(cmd.Context(), args[0])
		}
		return c.siteSet(cmd.Context(), args[0], args[1:], reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}

func atLeastOne(what, do string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return usage("it is not clear which site is meant", "this needs "+what, do)
	}
}

func (c *call) siteSet(ctx context.Context, name string, pairs []string, reason string) error {
	change, err := parseChange(pairs)
	if err != nil {
		return err
	}
	s, site, err := c.siteArgument(name)
	if err != nil {
		return err
	}
	r, err := act(ctx, c, "change", func(ctx context.Context) (release.SiteRules, error) {
		return s.client.SetSite(ctx, reason, site, change)
	})
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, r)
		return nil
	}
	for _, ch := range r.Changes {
		c.tell(ch.String())
	}
	return nil
}

// parseChange reads KEY=VALUE words.
func parseChange(pairs []string) (release.SiteChange, error) {
	var change release.SiteChange
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return change, usage(fmt.Sprintf("%q sets nothing", pair), "want KEY=VALUE", "aplomb site set --help")
		}
		list := []string{}
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		switch key {
		case "hosts":
			change.Hosts = &list
		case "redirect_to":
			redirects := map[string]string{}
			for _, item := range list {
				from, to, ok := strings.Cut(item, "=")
				if !ok {
					return change, usage(fmt.Sprintf("%q leads nowhere", item), "want FROM=TO", "aplomb site set NAME redirect_to=www.example.com=example.com")
				}
				redirects[from] = to
			}
			change.RedirectTo = &redirects
		case "upstreams":
			if value == "default" {
				list = []string{}
			}
			change.Upstreams = &list
		case "preview_host":
			change.PreviewHost = &value
		default:
			return change, usage(fmt.Sprintf("there is nothing called %q to set", key), "the keys are hosts, redirect_to, upstreams, preview_host", "aplomb site set --help")
		}
	}
	return change, nil
}

// tellRules prints a site's rules, each on a line as it would be set, and last what follows.
func (c *call) tellRules(r release.SiteRules, last string) error {
	if c.flags.json {
		writeJSON(c.stdout, r)
		return nil
	}
	for _, rule := range r.Rules {
		if rule.Value != "" || rule.Key != "preview_serial" {
			c.tell(rule.Key + "=" + rule.Value)
		}
	}
	if r.Offline != nil {
		c.tell(fmt.Sprintf("offline since %s, by %s: %s", clockText(r.Offline.Since, c.now()), r.Offline.By, oneLine(r.Offline.Why)))
	}
	if n := len(r.Gone); n > 0 {
		c.tell(fmt.Sprintf("%s forgotten: %s", countText(n, "URL"), listText(r.Gone[:min(n, 5)])))
	}
	if last != "" {
		c.tell(last)
	}
	return nil
}
