package main

import (
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"aplomb/api"
)

func (c *call) logLevelCommand() *cobra.Command {
	return newCommand(text{
		use:   "log-level [debug|info|warn|error]",
		short: "Say, or change, how much a running server's log says",
		long: `The change is at once and lasts until the server ends. debug tells what clients did that was not HTTP, among much else; "aplomb
up --log-level" sets it for good.`,
		examples: []string{"aplomb log-level", "aplomb log-level debug"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied},
		next:     "aplomb log-level info, when you have seen enough",
		failed:   "Not changed",
	}, atMost(1, "debug, info, warn or error"), func(cmd *cobra.Command, args []string) error {
		s, err := c.dial()
		if err != nil {
			return err
		}
		defer s.close()
		if len(args) == 0 {
			l, err := s.client.Level(cmd.Context())
			return c.tellLevel("is", l, err)
		}
		level, err := parseLevel(args[0])
		if err != nil {
			return err
		}
		l, err := s.client.SetLevel(cmd.Context(), level)
		return c.tellLevel("is now", l, err)
	})
}

func (c *call) tellLevel(is string, l api.Level, err error) error {
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, l)
		return nil
	}
	c.tell("The log's level " + is + " " + strings.ToLower(l.Level.String()) + ".")
	return nil
}

func parseLevel(s string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(s, l.String()) {
			return l, nil
		}
	}
	return 0, usage("there is no log level "+s, "the levels are debug, info, warn and error", "aplomb log-level info")
}
