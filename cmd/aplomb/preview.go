package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"aplomb/release"
)

func (c *call) previewCommand() *cobra.Command {
	cmd := newCommand(text{
		use:   "preview rN",
		short: "Print a link under which one release is looked at, whether it is live or not",
		long: `The link is good for a day, for whoever has it, as often as it is opened. What it shows is private: it is stored and indexed
nowhere. Where a site has a preview host, the release is found under its own name there; else under a name that browsers find
on this machine alone.`,
		examples: []string{"aplomb preview r41", "aplomb preview r41 --site shop", "aplomb preview revoke"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused},
		next:     "aplomb promote rN, once it is good",
		failed:   "No link made",
	}, exactly(1, "the name of a release, such as r41", "aplomb releases"), func(cmd *cobra.Command, args []string) error {
		return c.preview(cmd.Context(), args[0])
	})
	cmd.ValidArgsFunction = c.completeReleases
	cmd.AddCommand(c.previewRevokeCommand())
	return cmd
}

func (c *call) previewRevokeCommand() *cobra.Command {
	var reason string
	cmd := newCommand(text{
		use:      "revoke",
		short:    "Void every link to a preview of a site that was made before",
		long:     "Whoever opened one of them is asked for a new one. Links that are made afterwards are good.",
		examples: []string{"aplomb preview revoke", `aplomb preview revoke --reason "sent to the wrong people"`},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitDenied, exitRefused, exitDegraded},
		next:     "aplomb preview rN",
		failed:   "Not revoked",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error {
		return c.previewRevoke(cmd.Context(), reason)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for the timeline")
	return cmd
}

func (c *call) previewRevoke(ctx context.Context, reason string) error {
	s, site, err := c.siteOnServer(ctx)
	if err != nil {
		return err
	}
	r, err := act(ctx, c, "revocation", func(ctx context.Context) (release.SiteRules, error) {
		return s.client.SetSite(ctx, reason, site, release.SiteChange{RevokePreviews: true})
	})
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, r)
		return nil
	}
	c.tell(fmt.Sprintf("Every link to a preview of %s that was made before is void.", site))
	return nil
}

func (c *call) preview(ctx context.Context, name string) error {
	id, err := parseRelease(name)
	if err != nil {
		return err
	}
	s, site, err := c.siteOnServer(ctx)
	if err != nil {
		return err
	}
	p, err := act(ctx, c, "preview", func(ctx context.Context) (release.Preview, error) {
		return s.client.Preview(ctx, site, id)
	})
	if err != nil {
		return err
	}
	if c.flags.json {
		writeJSON(c.stdout, p)
		return nil
	}
	c.tell(p.URL)
	c.say(fmt.Sprintf("Good until %s, for whoever has it.", p.Until.Local().Format("2006-01-02 15:04 MST")))
	return nil
}

// previewKeyName is the file with the key that links to previews are signed with.
const previewKeyName = "preview.key"

// previewKey reads the key of a data folder, and makes one where there is none.
func previewKey(dir string) ([]byte, error) {
	file := filepath.Join(dir, previewKeyName)
	key, err := os.ReadFile(file)
	if err == nil && len(key) == 32 {
		return key, nil
	}
	if err == nil {
		err = fmt.Errorf("%s has %d bytes, want 32", file, len(key))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key = make([]byte, 32)
	rand.Read(key) // never fails
	if err := writeSynced(file, key); err != nil {
		return nil, err
	}
	return key, nil
}

// writeSynced makes a file that is whole or not there, whatever happens meanwhile.
func writeSynced(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(file))
}
