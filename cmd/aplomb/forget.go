package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"aplomb"
	"aplomb/release"
)

func (c *call) forgetCommand() *cobra.Command {
	var reason string
	cmd := newCommand(text{
		use:   "forget URL|rN",
		short: "Delete what must not be served any more, whatever was promised",
		long: `For leaked keys and takedowns. A URL answers 410 from then on, whatever release is live, and its bytes are deleted from the
server, in every release. A release that is not live loses all that only it has. Bytes that other names need stay, and are
named. Afterwards it looks for what was deleted, in the store and as a visitor, and prints what it found. It cannot be undone.`,
		examples: []string{`aplomb forget https://shop.example.com/keys.txt --reason "a key was in it"`, `aplomb forget /logo.png --reason "not ours"`, `aplomb forget r41 --reason "a customer's name"`},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitWaiting, exitRefused, exitRunning, exitNeeded, exitDegraded},
		next:     "aplomb log; and purge what caches elsewhere may still hold",
		failed:   "Not forgotten",
	}, exactly(1, "a URL, a path, or the name of a release", `aplomb forget /path --reason "why"`), func(cmd *cobra.Command, args []string) error {
		return c.forget(cmd.Context(), args[0], reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`why`; needed")
	return cmd
}

func (c *call) forget(ctx context.Context, what, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return aplomb.NewError(aplomb.CodeReason, "nothing was forgotten", "it breaks what was promised to browsers and cannot be undone, so a reason is needed", fmt.Sprintf(`aplomb forget %s --reason "why"`, shellWord(what)))
	}
	s, site, err := c.siteOfURL(ctx, what)
	if err != nil {
		return err
	}
	r, err := act(ctx, c, "forgetting", func(ctx context.Context) (release.Forgotten, error) {
		return s.client.Forget(ctx, reason, site, what)
	})
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, r)
	} else {
		c.tell(forgottenText(r)...)
	}
	switch {
	case slices.ContainsFunc(r.Proof, func(p release.Proof) bool { return !p.OK }) && r.Pending == "":
		return errUnproved
	case r.Pending != "":
		return errWaiting
	}
	return nil
}

// siteOfURL finds the site in question: a URL's own, where no other is named.
func (c *call) siteOfURL(ctx context.Context, what string) (*server, aplomb.SiteName, error) {
	u, err := url.Parse(what)
	if err != nil || u.Host == "" || c.flags.site != "" {
		return c.siteOnServer(ctx)
	}
	s, err := c.dial()
	if err != nil {
		return nil, "", err
	}
	host, err := aplomb.ParseHost(u.Host)
	if err != nil {
		return nil, "", usage(fmt.Sprintf("%q is not a URL of a site", what), err.Error(), "aplomb sites")
	}
	sites, err := s.client.Sites(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, st := range sites {
		if slices.Contains(st.Hosts, host) {
			s.site = st.Site
			return s, st.Site, nil
		}
	}
	return nil, "", aplomb.NewError(aplomb.CodeNoSite, fmt.Sprintf("no site has the host %s", host), "the URL is of nobody here", "aplomb sites")
}

// forgottenText says what answers 410, what was deleted, what stays and why, and what was found afterwards.
func forgottenText(r release.Forgotten) []string {
	first := fmt.Sprintf("%s of %s answers 410 from now on.", countText(len(r.Gone), "URL"), r.Site)
	if r.Release != "" {
		first = fmt.Sprintf("%s of %s is retired and its bytes are deleted; %s answer 410 from now on.", r.Release, r.Site, countText(len(r.Gone), "URL"))
	}
	lines := []string{first}
	for _, p := range r.Gone[:min(len(r.Gone), 5)] {
		lines = append(lines, "  "+p)
	}
	lines = append(lines, fmt.Sprintf("%s deleted, %s.", countText(r.Blobs, "stored file"), sizeText(r.Bytes)))
	for _, s := range r.Shared[:min(len(r.Shared), 5)] {
		lines = append(lines, fmt.Sprintf("The bytes of %s stay: they are served as %s, too.", s.Path, strings.Join(s.At, ", ")))
	}
	if n := len(r.Shared) - 5; n > 0 {
		lines = append(lines, fmt.Sprintf("So do the bytes of %s.", countText(n, "more file")))
	}
	if r.Pending != "" {
		lines = append(lines, "Bytes are still there: "+r.Pending+". They are deleted as soon as that is over.")
	}
	for _, p := range r.Proof {
		mark := "✔"
		if !p.OK {
			mark = "✗"
		}
		lines = append(lines, fmt.Sprintf("  %s %s: %s", mark, p.What, p.Found))
	}
	return append(lines, "Browsers, and caches that are not Aplomb's, may hold it still: purge them there.")
}
