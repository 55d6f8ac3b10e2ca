package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aplomb"
)

// call is one run of the program: where its words go, and what its flags said.
type call struct {
	stdin  *os.File
	stdout io.Writer // results
	stderr io.Writer // talk
	screen screen    // of stderr
	getenv func(string) string
	now    func() time.Time

	flags flags
	name  string         // how this program is called from here, "" for aplomb
	args  []string       // as they were typed
	root  *cobra.Command // nil before run
	cmd   *cobra.Command // the one that args name
	ran   bool           // its arguments were understood
	// server is set once a server was asked for anything.
	server *server
}

// flags are the flags that every command has.
type flags struct {
	json                     bool
	site, api, config, actor string
}

// text is what a command says of itself.
type text struct {
	use, short, long string
	examples         []string
	exits            []int
	next             string
	failed           string // begins the headline of an error: "Not deployed"
}

// Keys of what a command's annotations hold.
const (
	noteExits  = "exits"
	noteNext   = "next"
	noteFailed = "failed"
)

// newCommand makes a command of its words. Its arguments are checked by args.
func newCommand(t text, args cobra.PositionalArgs, run func(*cobra.Command, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: t.use, Short: t.short, Long: t.long,
		Example: strings.Join(t.examples, "\n"),
		Args:    args, RunE: run,
		Annotations:           map[string]string{noteExits: exitHelp(t.exits...), noteNext: t.next, noteFailed: t.failed},
		DisableFlagsInUseLine: true,
	}
}

// run carries out the command that args name and returns the exit code.
func (c *call) run(ctx context.Context, args []string) int {
	c.flags.json = slices.Contains(args, "--json") // also when the flags cannot be read to their end
	root := c.rootCommand(args)
	c.args, c.root, c.cmd = args, root, root
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) { c.cmd, c.ran = cmd, true }
	root.SetArgs(args)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	c.cmd = cmd
	if c.server != nil {
		defer c.server.close()
	}
	if err == nil || printed(err) {
		return exitOf(err)
	}
	e := c.pasteable(asError(err))
	if e.Production == "" {
		e = e.With(c.production(e))
	}
	report(c.stderr, c.screen, c.flags.json, cmd.Annotations[noteFailed], e)
	return exitOf(e)
}

func (c *call) rootCommand(args []string) *cobra.Command {
	root := newCommand(text{
		use:   "aplomb",
		short: "Put a web site's changes in front of its visitors, and take a bad one back",
		examples: []string{
			"aplomb up                      # serve; leave it running",
			"aplomb deploy ./dist           # a new release goes live",
			"aplomb rollback                # the release before is live again",
		},
		exits: []int{exitDone, exitUnexpected, exitUsage, exitInvalid, exitDenied, exitWithdrawn, exitWaiting, exitRefused, exitRunning, exitNeeded, exitDegraded},
		next:  "aplomb init, or aplomb COMMAND --help",
	}, cobra.ArbitraryArgs, func(cmd *cobra.Command, args []string) error {
		if asked, err := cmd.Flags().GetBool("version"); err == nil && asked {
			return c.tellVersion()
		}
		if len(args) > 0 {
			return unknownCommand(cmd, args[0], c.args...)
		}
		return cmd.Help()
	})
	root.Flags().Bool("version", false, "print which aplomb this is")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { io.WriteString(c.stdout, helpText(cmd)) })
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if word := firstWord(cmd, args); cmd == root && word != "" {
			return unknownCommand(cmd, word, args...)
		}
		return flagError(cmd, args, err)
	})
	f := root.PersistentFlags()
	f.BoolVar(&c.flags.json, "json", c.flags.json, "print results as JSON on stdout, errors as JSON on stderr")
	f.StringVar(&c.flags.site, "site", "", "the `site` (default: aplomb.toml, or the only one there is)")
	f.StringVar(&c.flags.api, "api", "", "`address` of the server's API (default: $APLOMB_API, or the only server you run)")
	f.StringVar(&c.flags.config, "config", "", "`file` to read instead of the aplomb.toml found upward from here")
	f.StringVar(&c.flags.actor, "actor", "", "`who` asks, for the timeline (default: $APLOMB_ACTOR, or your user name)")
	root.AddCommand(c.initCommand(), c.upCommand(), c.deployCommand(), c.promoteCommand(), c.previewCommand(), c.rollbackCommand(),
		c.undoCommand(), c.offlineCommand(), c.onlineCommand(), c.metricsCommand(), c.statusCommand(), c.releasesCommand(), c.collectCommand(), c.forgetCommand(), c.sitesCommand(), c.siteCommand(), c.logCommand(), c.logLevelCommand(), c.noteCommand(), c.retireCommand(),
		c.auditCommand(), c.recoverCommand(), c.backupCommand(), c.restoreCommand(), c.configCommand(), c.installCommand(), c.versionCommand(), c.completionCommand(),
		c.tokenCommand(), c.loginCommand(), c.logoutCommand(), c.whoamiCommand())
	return root
}

// firstWord returns the first argument that is neither a flag of cmd nor a flag's value.
func firstWord(cmd *cobra.Command, args []string) string {
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "--")
		if !isFlag {
			if strings.HasPrefix(args[i], "-") {
				continue
			}
			return args[i]
		}
		if f := cmd.PersistentFlags().Lookup(name); f != nil && f.NoOptDefVal == "" {
			i++
		}
	}
	return ""
}

// actor is who asks: for the timeline, not for permission.
func (c *call) actor() string {
	if name := c.namedActor(); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// namedActor is who the flag or the environment says asks; "" lets the server look whose process asks.
func (c *call) namedActor() string { return cmp.Or(c.flags.actor, c.getenv("APLOMB_ACTOR")) }

// say writes one line of talk.
func (c *call) say(line string) { io.WriteString(c.stderr, line+"\n") }

// tell writes lines of a result for people.
func (c *call) tell(lines ...string) {
	for _, line := range lines {
		io.WriteString(c.stdout, line+"\n")
	}
}

// usage is an error in the way a command was called.
func usage(what, why, do string) error { return aplomb.NewError(aplomb.CodeUsage, what, why, do) }
