package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (c *call) versionCommand() *cobra.Command {
	return newCommand(text{
		use:      "version",
		short:    "Print which aplomb this is",
		examples: []string{"aplomb version", "aplomb version --json"},
		exits:    []int{exitDone},
		next:     "aplomb status",
	}, atMost(0, "no arguments"), func(*cobra.Command, []string) error { return c.tellVersion() })
}

func (c *call) tellVersion() error {
	v := thisVersion()
	if c.flags.json {
		writeJSON(c.stdout, v)
		return nil
	}
	line := "aplomb " + v.Version
	if v.Commit != "" {
		line += " (" + v.Commit + ")"
	}
	c.tell(fmt.Sprintf("%s, %s, %s", line, v.Go, v.Platform))
	return nil
}

// version is what is known of this program's making.
type version struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// released is the version that a release of Aplomb was built as, by the linker; "" in any other build.
var released string

func thisVersion() version {
	v := version{Version: "development", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	if released != "" {
		v.Version = released
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v.Commit = s.Value[:12]
		}
	}
	return v
}
