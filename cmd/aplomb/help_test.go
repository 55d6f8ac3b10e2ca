package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// everyCommand calls f for the program's commands, all the way down.
func everyCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		everyCommand(sub, f)
	}
}

func TestEveryHelpBeginsWithExamplesAndEndsWithWhatIsNext(t *testing.T) {
	t.Parallel()
	root := (&call{getenv: env()}).rootCommand(nil)
	n := 0
	everyCommand(root, func(cmd *cobra.Command) {
		n++
		help := helpText(cmd)
		examples, use, exits := strings.Index(help, "\nExamples\n"), strings.Index(help, "\nUse\n"), strings.Index(help, "\nExit codes\n  0 ")
		if examples < 0 || examples > use || use > exits {
			t.Errorf("%s: help is out of order:\n%s", cmd.CommandPath(), help)
		}
		lines := strings.Split(strings.TrimSpace(help), "\n")
		if !strings.HasPrefix(lines[len(lines)-1], "next: ") {
			t.Errorf("%s: help ends with %q", cmd.CommandPath(), lines[len(lines)-1])
		}
		if strings.Contains(help, "!") {
			t.Errorf("%s: help raises its voice", cmd.CommandPath())
		}
		for example := range strings.Lines(cmd.Example) {
			if !strings.Contains(example, "aplomb ") {
				t.Errorf("%s: %q is no example", cmd.CommandPath(), example)
			}
		}
	})
	if n < 18 {
		t.Errorf("%d commands, want them all", n)
	}
}

func TestHelpCanBeAskedForInEveryWay(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"deploy", "--help"}, {"help", "deploy"}, {"audit"}, {"config"}} {
		var out, talk bytes.Buffer
		c := &call{stdout: &out, stderr: &talk, getenv: env()}
		if code := c.run(t.Context(), args); code != exitDone || !strings.Contains(out.String(), "\nnext: ") || talk.Len() > 0 {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, out.String(), talk.String())
		}
	}
}
