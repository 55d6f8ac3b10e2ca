package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"aplomb"
)

// unitText is the unit that the package ships and that install writes.
//
//go:embed aplomb.service
var unitText string

// Where a server that was installed lives.
const (
	serviceUser    = "aplomb"
	serviceDir     = "/var/lib/aplomb"
	packagedBinary = "/usr/bin/aplomb"
	ownBinary      = "/usr/local/bin/aplomb"
	packagedUnit   = "/lib/systemd/system/aplomb.service"
	ownUnit        = "/etc/systemd/system/aplomb.service"
)

// firstMachine is the machine.toml of a new server.
const firstMachine = `# Settings of this machine. They never travel with a release. docs/configuration.md says what each key means.
listen = [":80"]
api = "127.0.0.1:9400"
`

func (c *call) installCommand() *cobra.Command {
	var root string
	var noStart bool
	cmd := newCommand(text{
		use:   "install",
		short: "Set this program up as a service of this machine",
		long: `Makes the user aplomb, who may do nothing but serve, the data folder /var/lib/aplomb with a machine.toml that listens on port
80, and a systemd unit that starts the server now and with the machine. What is there already is left as it is, but for the
unit, which follows the program. The Debian package does the same by itself.`,
		examples: []string{"sudo aplomb install", "aplomb install --root ./image"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitRefused},
		next:     "aplomb deploy ./dist --site shop --host shop.example.com, as root or with a token",
		failed:   "Not installed",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error {
		i := installation{c: c, root: root, noStart: noStart}
		return i.run(cmd.Context())
	})
	cmd.Flags().StringVar(&root, "root", "", "`folder` of an image to install into: nothing is started, no user is made")
	cmd.Flags().BoolVar(&noStart, "no-start", false, "set everything up and start nothing")
	return cmd
}

// installation is one run of install.
type installation struct {
	c       *call
	root    string // "" or the folder that stands for /
	noStart bool
}

func (i installation) path(p string) string { return filepath.Join(i.root, p) }

func (i installation) run(ctx context.Context) error {
	if i.root == "" && os.Getuid() != 0 {
		return aplomb.NewError(aplomb.CodeUsage, "Only root can set up a service", "a user, a unit and ports below 1024 are the system's", "sudo aplomb install").
			With("Production is unchanged: nothing was written.")
	}
	for _, step := range []func(context.Context) error{i.placeBinary, i.makeUser, i.makeFolder, i.writeUnit, i.start} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// binary is the program that the unit starts.
func (i installation) binary() string {
	if exists(i.path(packagedUnit)) {
		return packagedBinary
	}
	return ownBinary
}

// placeBinary copies the running program to where the unit finds it.
func (i installation) placeBinary(context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	to := i.path(i.binary())
	if same(self, to) {
		return nil
	}
	if i.binary() == packagedBinary && exists(to) {
		return nil // the package's own
	}
	from, err := os.Open(self)
	if err != nil {
		return fmt.Errorf("read this program: %w", err)
	}
	defer from.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	making, err := os.OpenFile(to+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(making, from)
	if err == nil {
		err = making.Chmod(0o755)
	}
	if err = errors.Join(err, making.Close()); err == nil {
		err = os.Rename(making.Name(), to)
	}
	if err != nil {
		return fmt.Errorf("copy this program to %s: %w", to, err)
	}
	i.c.say("program: " + to)
	return nil
}

func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func (i installation) makeUser(ctx context.Context) error {
	if i.root != "" {
		return nil
	}
	if _, err := user.Lookup(serviceUser); err == nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, "useradd", "--system", "--user-group", "--home-dir", serviceDir, "--no-create-home",
		"--shell", "/usr/sbin/nologin", serviceUser).CombinedOutput()
	if err != nil {
		return aplomb.NewError(aplomb.CodeUsage, "The user "+serviceUser+" was not made", strings.TrimSpace(string(out)), "useradd --system "+serviceUser+", then: aplomb install").Because(err)
	}
	i.c.say("user: " + serviceUser)
	return nil
}

func (i installation) makeFolder(context.Context) error {
	dir := i.path(serviceDir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	file := filepath.Join(dir, machineName)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
	case err != nil:
		return err
	default:
		_, err := io.WriteString(f, firstMachine)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		i.c.say("settings: " + file)
	}
	if i.root != "" {
		return nil
	}
	u, err := user.Lookup(serviceUser)
	if err != nil {
		return err
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	if err := errors.Join(errU, errG); err != nil {
		return err
	}
	for _, p := range []string{dir, file} {
		if err := os.Lchown(p, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

func (i installation) writeUnit(context.Context) error {
	if exists(i.path(packagedUnit)) {
		return nil
	}
	file := i.path(ownUnit)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	text := strings.Replace(unitText, packagedBinary, i.binary(), 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	i.c.say("unit: " + file)
	return nil
}

// start starts the service where systemd runs, and says how where it does not.
func (i installation) start(ctx context.Context) error {
	if i.root != "" {
		return nil
	}
	if !systemdRuns() {
		i.c.say(fmt.Sprintf("systemd does not run here. By hand: setpriv --reuid %s --regid %s --clear-groups --inh-caps +net_bind_service --ambient-caps +net_bind_service env HOME=%s %s up --dir %s",
			serviceUser, serviceUser, serviceDir, i.binary(), serviceDir))
		return nil
	}
	commands := [][]string{{"daemon-reload"}, {"enable", "aplomb"}}
	if !i.noStart {
		commands = append(commands, []string{"restart", "aplomb"})
	}
	for _, args := range commands {
		if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
			return aplomb.NewError(aplomb.CodeUsage, "The service was not started", strings.TrimSpace(string(out)), "systemctl status aplomb; journalctl -u aplomb").Because(err)
		}
	}
	if !i.noStart {
		i.c.say("Aplomb runs. journalctl -u aplomb is its log.")
	}
	return nil
}
