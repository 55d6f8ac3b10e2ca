package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"aplomb/api"
)

func (c *call) whoamiCommand() *cobra.Command {
	return newCommand(text{
		use:      "whoami",
		short:    "Say who this command is to the server, what it may do, and which server that is",
		examples: []string{"aplomb whoami", "aplomb whoami --json"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied},
		next:     "aplomb status",
		failed:   "Not known",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error { return c.whoami(cmd.Context()) })
}

func (c *call) whoami(ctx context.Context) error {
	s, err := c.dial()
	if err != nil {
		return err
	}
	who, err := s.client.Whoami(ctx)
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, who)
		return nil
	}
	door := "the socket, as this machine's user"
	switch {
	case who.Token != "":
		door = fmt.Sprintf("TCP, with the token %s, %s", who.Token, untilText(api.Grant{Expires: who.Expires}, c.now()))
	case who.Door != "socket":
		door = "TCP, with the token of this machine's user"
	}
	c.tell(
		fmt.Sprintf("%s may %s on %s.", who.Actor, strings.Join(who.Scopes.Names(), ", "), siteText(who.Site)),
		"  through  "+door,
		fmt.Sprintf("  server   %s at %s, data in %s, aplomb %s", who.Server.Name, s.client.Endpoint(), who.Server.Dir, who.Server.Version),
	)
	return nil
}
