package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpText is what --help prints: examples first, because they are what most readers came for, then the rest, and last what
// is usually done next.
func helpText(cmd *cobra.Command) string {
	var b strings.Builder
	b.WriteString(cmd.Short + ".\n")
	if cmd.Long != "" {
		b.WriteString("\n" + strings.TrimSpace(cmd.Long) + "\n")
	}
	section(&b, "Examples", indent(cmd.Example))
	section(&b, "Use", "  "+useLine(cmd)+"\n")
	section(&b, "Commands", commandList(cmd))
	if cmd.HasParent() {
		section(&b, "Flags", flagList(cmd.LocalNonPersistentFlags()))
		section(&b, "Flags of every command", flagList(cmd.InheritedFlags()))
	} else {
		section(&b, "Flags of every command", flagList(cmd.PersistentFlags()))
	}
	section(&b, "Exit codes", cmd.Annotations[noteExits])
	if next := cmd.Annotations[noteNext]; next != "" {
		b.WriteString("\nnext: " + next + "\n")
	}
	return b.String()
}

func section(b *strings.Builder, title, body string) {
	if body != "" {
		b.WriteString("\n" + title + "\n" + body)
	}
}

func indent(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString("  " + strings.TrimRight(line, "\n") + "\n")
	}
	return b.String()
}

func useLine(cmd *cobra.Command) string {
	use := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		use += " COMMAND"
	}
	return use + " [flags]"
}

func commandList(cmd *cobra.Command) string {
	var b strings.Builder
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(&b, "  %-12s %s\n", sub.Name(), lowerFirst(sub.Short))
		}
	}
	return b.String()
}

func flagList(set *pflag.FlagSet) string {
	var b strings.Builder
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, use := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		b.WriteString("  " + pad(name, 24) + " " + use + "\n")
	})
	return b.String()
}

// unknownCommand says that there is no such command and offers the one that was probably meant, with what
// was typed after it. It does not run it.
func unknownCommand(root *cobra.Command, word string, typed ...string) error {
	var names []string
	for _, sub := range root.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	path := root.CommandPath()
	if near := nearest(word, names); near != "" {
		do := path + " " + near
		if len(typed) > 0 {
			do = strings.Join(corrected(typed, word, near), " ")
		}
		return usage(fmt.Sprintf("there is no command %q", word), fmt.Sprintf("did you mean %q? Nothing was run", near), do)
	}
	return usage(fmt.Sprintf("there is no command %q", word), "the commands are "+listText(names), path+" --help")
}

// corrected returns a command line with one word replaced.
func corrected(args []string, word, by string) []string {
	line := append([]string{"aplomb"}, quoted(args)...)
	if i := slices.Index(args, word); i >= 0 {
		line[i+1] = by
	}
	return line
}

// flagError says which flags were not understood, all at once, and which ones were probably meant.
func flagError(cmd *cobra.Command, args []string, err error) error {
	if _, ok := errors.AsType[*pflag.NotExistError](err); !ok {
		return usage(err.Error(), "the value of a flag is not what the flag takes", cmd.CommandPath()+" --help")
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	line := append([]string{"aplomb"}, quoted(args)...)
	var unknown, meant []string
	for i, arg := range args {
		if arg == "--" {
			break
		}
		flag, isFlag := strings.CutPrefix(arg, "--")
		name, value, _ := strings.Cut(flag, "=")
		if !isFlag || name == "" || name == "help" || slices.Contains(names, name) {
			continue
		}
		unknown = append(unknown, "--"+name)
		if near := nearest(name, names); near != "" {
			meant = append(meant, "--"+near)
			line[i+1] = "--" + near
			if value != "" {
				line[i+1] += "=" + shellWord(value)
			}
		}
	}
	if len(unknown) == 0 { // it is a short one
		missing, _ := errors.AsType[*pflag.NotExistError](err)
		unknown = []string{"-" + missing.GetSpecifiedName()}
	}
	what := fmt.Sprintf("%q has no flag %s", cmd.CommandPath(), listText(unknown))
	switch {
	case len(meant) == 0:
		return usage(what, "its flags are in its help", cmd.CommandPath()+" --help")
	case len(meant) < len(unknown):
		return usage(what, fmt.Sprintf("did you mean %s? Nothing was run", listText(meant)), cmd.CommandPath()+" --help")
	}
	return usage(what, fmt.Sprintf("did you mean %s? Nothing was run", listText(meant)), strings.Join(line, " "))
}

// atMost and exactly check the number of arguments and say in a person's words what is wanted.
func atMost(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usage(fmt.Sprintf("%q takes %s, not %d arguments", cmd.CommandPath(), what, len(args)),
				fmt.Sprintf("%q is one too many", args[n]), cmd.CommandPath()+" --help")
		}
		return nil
	}
}

func exactly(n int, what, example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usage(fmt.Sprintf("%q takes %s", cmd.CommandPath(), what),
			fmt.Sprintf("%s given", countText(len(args), "argument")), example)
	}
}
