package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"aplomb"
	"aplomb/api"
	"aplomb/backup"
)

// backedUp is the result of a backup.
type backedUp struct {
	File     string           `json:"file"` // "-" for stdout
	Bytes    int64            `json:"bytes"`
	Blobs    int              `json:"blobs"`
	Releases int              `json:"releases"`
	Sites    []backup.Site    `json:"sites"`
	LeftOut  []backup.LeftOut `json:"left_out"`
	Damaged  []backup.Damage  `json:"damaged"`
	TookMS   float64          `json:"took_ms"`
}

func (c *call) backupCommand() *cobra.Command {
	var force, tokens bool
	cmd := newCommand(text{
		use:   "backup FILE",
		short: "Write everything that a restore needs into one file",
		long: `Each site's timeline as it stands at that moment, the files of all kept releases, and machine.toml, while the server serves
and deploys go on. FILE is a tar archive; "-" writes it to stdout. Every byte is checked on its way; what is damaged is named,
and the backup goes on without it. Certificates and their keys are never in a backup, tokens only with --with-tokens.
What was forgotten after a backup was made is still in that backup: delete old backups too.`,
		examples: []string{"aplomb backup shop.aplomb", "aplomb backup - | ssh vault 'cat > shop.aplomb'"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitInvalid, exitDenied, exitRefused, exitDegraded},
		next:     "aplomb restore FILE --check",
		failed:   "Not backed up",
	}, atMost(1, "one file"), func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage("it is not clear where the backup is to go", "no file was named", "aplomb backup FILE")
		}
		return c.backup(cmd.Context(), args[0], force, api.BackupAsk{Tokens: tokens})
	})
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE where it is there already")
	cmd.Flags().BoolVar(&tokens, "with-tokens", false, "put the hashed tokens into the backup too")
	return cmd
}

func (c *call) backup(ctx context.Context, file string, force bool, ask api.BackupAsk) error {
	begun := c.now()
	if err := c.checkTarget(file, force); err != nil {
		return err
	}
	s, err := c.dial()
	if err != nil {
		return err
	}
	body, err := s.client.Backup(ctx, ask)
	if err != nil {
		return err
	}
	defer body.Close()
	var r backedUp
	err = gently(func() (err error) {
		if file == "-" {
			r, err = receive(body, c.stdout)
		} else {
			r, err = receiveFile(body, file, force)
		}
		return err
	})
	if err != nil {
		return backupError(fmt.Sprintf("%s was not written", file), err)
	}
	r.File, r.TookMS = file, float64(c.now().Sub(begun).Microseconds())/1000
	c.tellBackup(r)
	return r.whole()
}

// checkTarget refuses what would be overwritten, before anything is asked for.
func (c *call) checkTarget(file string, force bool) error {
	if file == "-" {
		if f, ok := c.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return usage("a backup is not written to a terminal", "it is not text", "aplomb backup FILE")
		}
		return nil
	}
	info, err := os.Lstat(file)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return usage(fmt.Sprintf("%s is not a file", file), "a backup is written to a new file", "aplomb backup FILE")
	case err == nil && !force:
		return fileExists(file)
	}
	return nil
}

func fileExists(file string) error {
	return aplomb.NewError(aplomb.CodeExists, file+" is there already", "what stands in it may be wanted, so it is not replaced", "name another file, or: aplomb backup --force "+shellWord(file))
}

// receive copies a backup and reads what it says of itself. An error means that what was written is not one.
func receive(r io.Reader, w io.Writer) (backedUp, error) {
	m, raw, err := backup.ReadManifest(r)
	if err != nil {
		return backedUp{}, err
	}
	size, err := m.Size()
	if err != nil {
		return backedUp{}, err
	}
	if _, err := w.Write(raw); err != nil {
		return backedUp{}, err
	}
	if _, err := io.CopyBuffer(onlyWriter{w}, io.LimitReader(r, size-int64(len(raw))), make([]byte, 512<<10)); err != nil {
		return backedUp{}, err
	}
	end, tail, err := backup.ReadClosing(r, m)
	if err != nil {
		return backedUp{}, err
	}
	_, err = w.Write(tail)
	return backedUp{
		Bytes: size + int64(len(tail)), Blobs: len(m.Blobs), Releases: m.Releases(), Sites: m.Sites,
		LeftOut: append([]backup.LeftOut{}, m.LeftOut...), Damaged: append([]backup.Damage{}, end.Damaged...),
	}, err
}

// onlyWriter hides that a file can read by itself: it would do so in small pieces.
type onlyWriter struct{ io.Writer }

// receiveFile writes a backup beside its name and then under it: a name holds a whole backup, or what it held before.
func receiveFile(r io.Reader, file string, force bool) (out backedUp, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".partial-")
	if err != nil {
		return out, err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if out, err = receive(r, f); err != nil {
		return out, err
	}
	if err := f.Sync(); err != nil {
		return out, err
	}
	if err := placeFile(f.Name(), file, force); err != nil {
		return out, err
	}
	return out, syncDir(filepath.Dir(file))
}

// placeFile gives a file its name. Without force, one that came there meanwhile stays.
func placeFile(temp, file string, force bool) error {
	if force {
		return os.Rename(temp, file)
	}
	err := os.Link(temp, file)
	switch {
	case errors.Is(err, os.ErrExist):
		return fileExists(file)
	case err != nil: // a file system without second names
		return os.Rename(temp, file)
	}
	return os.Remove(temp)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// backupError says in a person's words why a backup cannot be written or read.
func backupError(what string, err error) error {
	if _, ok := errors.AsType[*aplomb.Error](err); ok {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, aplomb.ErrNoSpace) {
		return aplomb.NewError(aplomb.CodeNoSpace, what, reasonOf(err), "make room, and try again").Because(err)
	}
	do := ""
	switch {
	case errors.Is(err, backup.ErrForeign):
		do = "name a file that aplomb backup has written"
	case errors.Is(err, backup.ErrNewer):
		do = "restore it with the Aplomb that made it, or a newer one"
	case errors.Is(err, backup.ErrTruncated), errors.Is(err, backup.ErrAltered):
		do = "take another copy of it, or another backup"
	default:
		return aplomb.NewError(aplomb.CodeBackup, what, reasonOf(err), "mend that, and try again").Because(err)
	}
	return aplomb.NewError(aplomb.CodeBackup, what, err.Error(), do).Because(err)
}

func (c *call) tellBackup(r backedUp) {
	out := c.stdout
	if r.File == "-" {
		out = c.stderr
	}
	if c.flags.json {
		writeJSON(out, r)
		return
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s, %s, %s. %s.\n", r.File, sizeText(r.Bytes), countText(len(r.Sites), "site"), countText(r.Releases, "release"), tookText(milliseconds(r.TookMS)))
	for _, s := range r.Sites {
		fmt.Fprintf(&b, "  %s\n", siteInBackup(s))
	}
	for _, d := range r.Damaged {
		fmt.Fprintf(&b, "  damaged: %s; not whole: %s\n", d.Why, strings.Join(d.Releases, ", "))
	}
	for _, l := range r.LeftOut {
		fmt.Fprintf(&b, "  left out: %s: %s\n", l.Site, l.Why)
	}
	out.Write(b.Bytes())
}

func siteInBackup(s backup.Site) string {
	live := "nothing live"
	if s.Live != "" {
		live = string(s.Live) + " live"
	}
	return fmt.Sprintf("%s: %s, %s, head %d.%d %s", s.Name, live, countText(s.Releases, "release"), max(s.Head.Epoch, 1), s.Head.N, s.Head.SHA.Short())
}

// whole is an error where the backup does not hold everything that it should.
func (r backedUp) whole() error {
	switch {
	case len(r.LeftOut) > 0:
		return aplomb.NewError(aplomb.CodeDegraded, fmt.Sprintf("The backup is without %s", r.LeftOut[0].Site), r.LeftOut[0].Why, "aplomb recover --site "+string(r.LeftOut[0].Site)+", then back up again")
	case len(r.Damaged) > 0:
		var broken []string
		for _, d := range r.Damaged {
			broken = append(broken, d.Releases...)
		}
		slices.Sort(broken)
		return aplomb.NewError(aplomb.CodeDamaged, fmt.Sprintf("The backup is without %s that are damaged", countText(len(r.Damaged), "file")),
			"not whole in it: "+strings.Join(slices.Compact(broken), ", "), "deploy the same files again, which heals them, then back up again")
	}
	return nil
}
