package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"aplomb"
	"aplomb/api"
)

func (c *call) loginCommand() *cobra.Command {
	var stdin bool
	cmd := newCommand(text{
		use:   "login --api HOST:PORT",
		short: "Keep a token for the commands of this user",
		long: `Asks the server whether the token is good, and keeps it in a file of this user alone. The user that runs aplomb up needs none on
that machine. CI needs no login either: APLOMB_TOKEN in its environment goes before what is kept. The API has no TLS of its own:
towards another machine, go through a tunnel (ssh -L 9400:127.0.0.1:9400).`,
		examples: []string{"aplomb login --api 127.0.0.1:9400", "aplomb login --api 127.0.0.1:9400 --token-stdin < token.txt"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitDegraded},
		next:     "aplomb whoami",
		failed:   "Not logged in",
	}, atMost(0, "no arguments: a token in a command line is seen by others"), func(cmd *cobra.Command, _ []string) error {
		return c.login(cmd.Context(), stdin)
	})
	cmd.Flags().BoolVar(&stdin, "token-stdin", false, "read the token from stdin")
	return cmd
}

func (c *call) login(ctx context.Context, stdin bool) error {
	addr := cmp.Or(c.flags.api, c.getenv("APLOMB_API"))
	if addr == "" {
		return usage("it is not said which server the token is for", "a token is for one server", "aplomb login --api HOST:PORT")
	}
	text, err := c.readToken(stdin)
	if err != nil {
		return err
	}
	_, t, err := api.ParseToken(text)
	if err != nil {
		return aplomb.NewError(aplomb.CodeDenied, "that is not a token of aplomb token add", err.Error(), "aplomb token add NAME --scope SCOPE, on the server").
			With("Production is unchanged: nothing was sent.")
	}
	ep, err := api.TokenEndpoint(addr, t)
	if err != nil {
		return err
	}
	if !thisMachine(ep.API) {
		c.say("The token goes to " + ep.API + " without TLS: who is on the way can read it. A tunnel keeps it: ssh -L 9400:127.0.0.1:9400 HOST")
	}
	client := api.Dial(ep)
	defer client.Close()
	who, err := client.Whoami(ctx)
	if err != nil {
		return err
	}
	file, err := api.Login(ep)
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, who)
		return nil
	}
	c.tell(fmt.Sprintf("Logged in to %s as %s: %s, %s.", ep.API, who.Actor, who.Scopes, siteText(who.Site)))
	c.say("The token is in " + file + ". It ends with: aplomb logout --api " + ep.API)
	return nil
}

// maxTokenInput is far more than a token is long.
const maxTokenInput = 4 << 10

// readToken reads a token from stdin, unseen where that is a terminal.
func (c *call) readToken(stdin bool) (string, error) {
	tty := c.stdin != nil && term.IsTerminal(int(c.stdin.Fd()))
	switch {
	case c.stdin == nil || !stdin && !tty:
		return "", usage("no token was given", "there is no terminal to ask at", "aplomb login --api HOST:PORT --token-stdin < FILE")
	case tty:
		io.WriteString(c.stderr, "Token: ")
		b, err := term.ReadPassword(int(c.stdin.Fd()))
		c.say("")
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		return string(b), nil
	}
	line, err := bufio.NewReader(io.LimitReader(c.stdin, maxTokenInput)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// thisMachine reports whether what is sent to an address stays here.
func thisMachine(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (c *call) logoutCommand() *cobra.Command {
	return newCommand(text{
		use:      "logout",
		short:    "Forget the token that login kept",
		long:     "The token itself goes on to be good, for whoever else has it: aplomb token revoke ends it.",
		examples: []string{"aplomb logout", "aplomb logout --api 127.0.0.1:9400"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitRefused},
		next:     "aplomb whoami",
		failed:   "Not logged out",
	}, atMost(0, "no arguments"), func(*cobra.Command, []string) error {
		addr, err := api.Logout(cmp.Or(c.flags.api, c.getenv("APLOMB_API")))
		if err != nil {
			return err
		}
		if c.flags.json {
			writeJSON(c.stdout, struct {
				API string `json:"api"`
			}{addr})
			return nil
		}
		c.tell("Logged out of " + addr + ".")
		return nil
	})
}
