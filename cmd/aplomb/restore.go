package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"aplomb"
	"aplomb/backup"
	"aplomb/journal"
)

// restored is the result of a restore, or of a look at a backup.
type restored struct {
	Dir     string           `json:"dir,omitempty"`
	At      time.Time        `json:"at"`      // when the backup was made
	Program string           `json:"program"` // that made it
	Sites   []restoredSite   `json:"sites"`
	LeftOut []backup.LeftOut `json:"left_out"`
	Damaged []backup.Damage  `json:"damaged"`
	Blobs   int              `json:"blobs"`
	Aside   string           `json:"aside,omitempty"` // the folder that keeps what was there before
	TookMS  float64          `json:"took_ms"`
}

// restoredSite is one site of it.
type restoredSite struct {
	backup.Site
	// Now is the head with which the site goes on: the same chain, and the restore as its newest fact, in a new epoch.
	Now *aplomb.Head `json:"now,omitempty"`
}

type restoreFlags struct {
	dir                       string
	over, machine, tokens, at bool
	reason                    string
}

func (c *call) restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := newCommand(text{
		use:   "restore FILE",
		short: "Make a data folder from a backup",
		long: `Checks all of the backup before anything is put in its place, and changes nothing where it is not whole. The folder must not
be in use. A folder that has a timeline of its own is refused; --over puts the backup in the place of an older one, which is
kept aside. A timeline that is newer than the backup, or another one, is never replaced: restore into another folder.
machine.toml belongs to the machine: it comes back only with --with-machine, tokens only with --with-tokens.`,
		examples: []string{"aplomb restore shop.aplomb --dir /var/lib/aplomb", "aplomb restore shop.aplomb --check"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitInvalid, exitRefused, exitDegraded},
		next:     "aplomb up --dir DIR",
		failed:   "Not restored",
	}, atMost(1, "one file"), func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage("it is not clear what is to be restored", "no file was named", "aplomb restore FILE --dir DIR")
		}
		if f.at {
			return c.checkBackup(cmd.Context(), args[0])
		}
		if f.dir == "" {
			return usage("it is not clear where the backup is to be restored", "no folder was named", "aplomb restore FILE --dir DIR")
		}
		return c.restore(cmd.Context(), args[0], f)
	})
	cmd.Flags().StringVar(&f.dir, "dir", "", "data `folder` to make")
	cmd.Flags().BoolVar(&f.over, "over", false, "put it in the place of an older timeline, which is kept aside")
	cmd.Flags().BoolVar(&f.machine, "with-machine", false, "bring machine.toml back too")
	cmd.Flags().BoolVar(&f.tokens, "with-tokens", false, "bring the tokens back too")
	cmd.Flags().BoolVar(&f.at, "check", false, "check the backup, and restore nothing")
	cmd.Flags().StringVar(&f.reason, "reason", "", "`why`, for the timeline")
	return cmd
}

// nowhere takes a backup apart and keeps nothing.
type nowhere struct{}

func (nowhere) Begin(backup.Manifest) error                      { return nil }
func (nowhere) Segment(aplomb.SiteName, string, io.Reader) error { return nil }
func (nowhere) File(string, io.Reader) error                     { return nil }
func (nowhere) Blob(backup.Blob, io.Reader) error                { return nil }

func (c *call) checkBackup(ctx context.Context, file string) error {
	begun := c.now()
	f, err := openBackup(file)
	if err != nil {
		return err
	}
	defer f.Close()
	m, end, err := backup.Read(stoppedReader{ctx, f}, nowhere{})
	if err != nil {
		return backupError(file+" cannot be restored", err)
	}
	r := resultOf(m, end)
	r.TookMS = float64(c.now().Sub(begun).Microseconds()) / 1000
	c.tellRestored(fmt.Sprintf("%s is whole", file), r)
	return nil
}

func openBackup(file string) (*os.File, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, aplomb.NewError(aplomb.CodeBackup, file+" cannot be read", reasonOf(err), "aplomb restore FILE --dir DIR").Because(err)
	}
	return f, nil
}

// stoppedReader ends with its context.
type stoppedReader struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppedReader) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}

func resultOf(m backup.Manifest, end backup.Closing) restored {
	r := restored{At: m.At, Program: m.Program, Sites: []restoredSite{}, LeftOut: append([]backup.LeftOut{}, m.LeftOut...), Damaged: append([]backup.Damage{}, end.Damaged...), Blobs: len(m.Blobs)}
	for _, s := range m.Sites {
		r.Sites = append(r.Sites, restoredSite{Site: s})
	}
	return r
}

func (c *call) restore(ctx context.Context, file string, f restoreFlags) error {
	begun := c.now()
	in, err := openBackup(file)
	if err != nil {
		return err
	}
	defer in.Close()
	folder, err := claimFolder(f.dir)
	if err != nil {
		return err
	}
	defer folder.leave()
	r := &restoring{c: c, f: f, folder: folder, from: file}
	out, err := r.run(ctx, in)
	if err != nil {
		return backupError(fmt.Sprintf("%s was not restored into %s", file, f.dir), err)
	}
	out.Dir, out.TookMS = folder.dir, float64(c.now().Sub(begun).Microseconds())/1000
	c.tellRestored("Restored into "+f.dir, out)
	return nil
}

func (c *call) tellRestored(what string, r restored) {
	if c.flags.json {
		writeJSON(c.stdout, r)
		return
	}
	c.tell(fmt.Sprintf("%s: made %s by aplomb %s, %s, %s. %s.", what, r.At.Format(time.RFC3339), r.Program, countText(len(r.Sites), "site"), countText(r.Blobs, "file"), tookText(milliseconds(r.TookMS))))
	for _, s := range r.Sites {
		line := "  " + siteInBackup(s.Site)
		if s.Now != nil {
			line += fmt.Sprintf("; goes on at %d.%d", s.Now.Epoch, s.Now.N)
		}
		c.tell(line)
	}
	for _, d := range r.Damaged {
		c.tell(fmt.Sprintf("  without: %s; not whole: %s", d.Why, strings.Join(d.Releases, ", ")))
	}
	for _, l := range r.LeftOut {
		c.tell(fmt.Sprintf("  not in it: %s: %s", l.Site, l.Why))
	}
	if r.Aside != "" {
		c.tell("  kept aside  " + r.Aside)
	}
	if r.Dir != "" {
		c.tell("To serve it: aplomb up --dir " + shellWord(r.Dir))
	}
}

// claimed is a data folder that no other process uses now.
type claimed struct {
	dir  string
	made []string // folders that were not there, the outermost first
	lock *journal.FolderLock
	// keep is set once something is in its place.
	keep bool
}

// claimFolder locks a data folder, and makes it where it is not there.
func claimFolder(dir string) (*claimed, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve the data folder: %w", err)
	}
	c := &claimed{dir: dir}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Lstat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		c.made = append([]string{d}, c.made...)
	}
	lockFile := filepath.Join(dir, "lock")
	if _, err := os.Lstat(lockFile); errors.Is(err, fs.ErrNotExist) {
		c.made = append(c.made, lockFile)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, aplomb.NewError(aplomb.CodeNoFolder, fmt.Sprintf("the data folder %s cannot be made", dir), reasonOf(err), "name another one: --dir DIR").Because(err)
	}
	if c.lock, err = journal.Lock(dir, "aplomb restore"); err != nil {
		return nil, err
	}
	return c, nil
}

// leave gives the folder back. One that was made for nothing is gone afterwards.
func (c *claimed) leave() {
	for i := len(c.made) - 1; i >= 0 && !c.keep; i-- {
		os.Remove(c.made[i]) // what somebody put into it meanwhile keeps it
	}
	c.lock.Close()
}

// free returns what may still be written to the disk of the folder.
func (c *claimed) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(c.dir, &st); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", c.dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
