package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"aplomb"
	"aplomb/release"
)

// The phases of a deploy, as people see them.
const (
	phaseRead   = "read"
	phaseAsk    = "ask"
	phaseSend   = "send"
	phaseSwitch = "switch"
)

// deployFlags are the flags of deploy.
type deployFlags struct {
	hosts, allow, allowChanged []string
	note, reason               string
	noLive, noIndexOK          bool
}

func (c *call) deployCommand() *cobra.Command {
	var f deployFlags
	cmd := newCommand(text{
		use:   "deploy [DIR]",
		short: "Put a new release of a site's front end live",
		long: `Sends the files of DIR that the server does not have yet, seals them as a release and switches the visitors to it.
Without DIR it takes the folder that aplomb.toml names, or the one that the project's files tell.`,
		examples: []string{"aplomb deploy", `aplomb deploy ./dist --site shop --host shop.localhost --note "new header"`},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitInvalid, exitDenied, exitWithdrawn, exitWaiting, exitRefused, exitRunning, exitDegraded},
		next:     "aplomb status, or aplomb rollback where it is bad",
		failed:   "Not deployed",
	}, atMost(1, "one folder"), func(cmd *cobra.Command, args []string) error {
		return c.deploy(cmd.Context(), strings.Join(args, ""), f)
	})
	cmd.Flags().StringArrayVar(&f.hosts, "host", nil, "`host` of the site, when it is created; may be repeated")
	cmd.Flags().StringVarP(&f.note, "note", "m", "", "a `note` that names the release for people")
	cmd.Flags().StringVar(&f.reason, "reason", "", "`why`, where a rule is broken on purpose")
	cmd.Flags().StringArrayVar(&f.allow, "allow", nil, "send this `path` although it looks like a secret or like source")
	cmd.Flags().StringArrayVar(&f.allowChanged, "allow-changed", nil, "send other bytes under this immutable `path`; needs --reason")
	cmd.Flags().BoolVar(&f.noLive, "no-live", false, "seal the release and leave it uploaded")
	cmd.Flags().BoolVar(&f.noIndexOK, "no-index-ok", false, "deploy a folder without an index.html although a folder inside has one")
	return cmd
}

// deployment is a deploy on its way.
type deployment struct {
	c      *call
	flags  deployFlags
	cfg    config
	folder outputFolder
	root   *os.Root
	view   *progressView
	server *server

	files   digested
	request release.UploadRequest
	keeping sync.WaitGroup // of the digests, for the next time
}

func (c *call) deploy(ctx context.Context, arg string, f deployFlags) error {
	began := c.now()
	d := &deployment{c: c, flags: f}
	if err := d.prepare(arg); err != nil {
		return err
	}
	defer d.root.Close()
	defer d.keeping.Wait()
	if d.folder.why != "" && !c.flags.json {
		c.say(d.folder.why)
	}
	d.view = c.progressView(phaseRead, phaseAsk, phaseSend, phaseSwitch)
	result, err := d.run(ctx)
	if err != nil {
		d.view.fail()
	}
	d.view.close()
	if err != nil {
		return err
	}
	if result.Known && d.request.Note != "" && f.reason != "" { // of the two the server keeps the reason
		if _, err := d.server.client.Note(ctx, d.request.Note, d.server.site, result.Release); err != nil {
			c.say("The note is not on the timeline: " + err.Error())
		}
	}
	return c.tellDeployed(result, d.request.Note, c.now().Sub(began), f.noLive)
}

// prepare finds out what is deployed, and refuses what should not be, before anything is read.
func (d *deployment) prepare(arg string) (err error) {
	if len(d.flags.allowChanged) > 0 && d.flags.reason == "" {
		return aplomb.NewError(aplomb.CodeReason, "--allow-changed needs a reason", "browsers keep the old bytes of that path for up to a year", `aplomb deploy --reason "why"`)
	}
	if d.cfg, err = d.c.loadConfig(); err != nil {
		return err
	}
	if d.folder, err = findFolder(arg, d.cfg); err != nil {
		return err
	}
	if d.server, err = d.c.dial(); err != nil {
		return err
	}
	d.root, err = openFolder(d.folder.path, d.flags.allow)
	return err
}

func (d *deployment) run(ctx context.Context) (release.Deployed, error) {
	if err := d.read(ctx); err != nil {
		return release.Deployed{}, err
	}
	up, err := d.ask(ctx)
	if err != nil {
		return release.Deployed{}, err
	}
	if err := d.send(ctx, up); err != nil {
		d.abandon(up)
		return release.Deployed{}, cancelled(ctx, err)
	}
	return d.seal(ctx, up)
}

// read lists the folder and finds the digest of every file.
func (d *deployment) read(ctx context.Context) error {
	var bytes atomic.Int64
	d.view.begin(phaseRead, shortPath(d.folder.path), func() string {
		return shortPath(d.folder.path) + ", " + sizeText(bytes.Load()) + " read"
	})
	list, err := walk(d.root)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(f found) bool { return f.path == "/"+configName }) // it is for us, not for visitors
	warning, err := checkFiles(d.folder.path, list, d.flags.noIndexOK)
	if err != nil {
		return err
	}
	if warning != "" {
		d.view.note("warning", warning)
	}
	cache := d.statCache()
	before := loadStatCache(cache)
	if d.files, err = digestFiles(ctx, d.root, list, before, d.c.now, &bytes); err != nil {
		return cancelled(ctx, err)
	}
	if cache != "" && (d.files.read > 0 || len(before) != len(list)) {
		d.keeping.Go(func() { saveStatCache(cache, d.files.known) }) // what is not kept is read again: it costs time alone
	}
	d.view.tell(phaseRead, phaseDone, fmt.Sprintf("%s, %s, %s read anew", countText(len(list), "file"), sizeText(d.files.bytes), numberText(d.files.read)))
	return nil
}

// statCache returns where the folder's digests are kept, "" where there is no place for them.
func (d *deployment) statCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	real, err := filepath.EvalSymlinks(d.folder.path)
	if err != nil {
		return ""
	}
	return statCachePath(dir, real)
}

// ask opens the upload. A site that does not exist yet is created with the hosts that were named, else under localhost.
func (d *deployment) ask(ctx context.Context) (release.Upload, error) {
	site, err := d.chooseSite(ctx)
	if err != nil {
		return release.Upload{}, cancelled(ctx, err)
	}
	d.server.site = site
	hosts := d.flags.hosts
	if len(hosts) == 0 {
		hosts = d.cfg.Hosts
	}
	framework := d.cfg.Framework
	if framework == "" {
		framework = d.folder.framework
	}
	d.request = release.UploadRequest{
		Site: site, Hosts: hosts, Files: d.files.files, Note: d.flags.note, NoLive: d.flags.noLive,
		Settings:     aplomb.Settings{Framework: framework, Hashed: d.cfg.Hashed, Fallback: d.cfg.Fallback, CleanURLs: d.cfg.CleanURLs, App: d.cfg.App},
		AllowSecrets: slices.Concat(d.cfg.AllowSecrets, d.flags.allow),
		AllowChanged: d.flags.allowChanged,
	}
	d.view.begin(phaseAsk, "which files are missing", nil)
	up, err := d.server.client.Begin(ctx, d.flags.reason, d.request)
	if errors.Is(err, aplomb.ErrNotFound) && len(hosts) == 0 {
		d.request.Hosts = []string{string(site) + ".localhost"}
		up, err = d.server.client.Begin(ctx, d.flags.reason, d.request)
	}
	if err != nil {
		return up, cancelled(ctx, err)
	}
	text := countText(len(up.Missing), "file") + " missing"
	if up.Created {
		text += fmt.Sprintf("; site %s created for %s", site, listText(d.request.Hosts))
	}
	d.view.usual(phaseSend, milliseconds(up.Usual["upload"]))
	d.view.usual(phaseSwitch, milliseconds(up.Usual["seal"]+up.Usual["switch"]))
	d.view.tell(phaseAsk, phaseDone, text)
	return up, nil
}

// chooseSite returns the site that is named, else the one named after the project: if it exists, or as the first of all.
func (d *deployment) chooseSite(ctx context.Context) (aplomb.SiteName, error) {
	site, err := d.c.namedSite()
	if err != nil || site != "" {
		return site, err
	}
	sites, err := d.server.client.Sites(ctx)
	if err != nil {
		return "", err
	}
	own := siteFromFolder(d.folder.project)
	names := siteNames(sites)
	d.server.only = len(names) == 0 || len(names) == 1 && names[0] == string(own)
	if len(names) == 0 || slices.Contains(names, string(own)) {
		return own, nil
	}
	// A deploy never guesses that somebody else's site is meant.
	return "", aplomb.NewError(aplomb.CodeWhichSite, "it is not clear which site this folder is for",
		fmt.Sprintf("the server has %s, and neither --site nor aplomb.toml names one", listText(names)),
		fmt.Sprintf("aplomb deploy --site %s\nor, for a new site: aplomb deploy --site %s", names[0], own))
}

// send streams the missing files.
func (d *deployment) send(ctx context.Context, up release.Upload) error {
	list, total := missingFiles(d.files, up.Missing)
	if len(list) == 0 {
		d.view.tell(phaseSend, phaseSkipped, "0 bytes: the server has every file")
		return ctx.Err()
	}
	var sent atomic.Int64
	d.view.begin(phaseSend, fmt.Sprintf("%s, %s", countText(len(list), "file"), sizeText(total)), func() string {
		return fmt.Sprintf("%s of %s", sizeText(sent.Load()), sizeText(total))
	})
	body, w := io.Pipe()
	var writing sync.WaitGroup
	var local error
	writing.Go(func() {
		local = writeStream(w, d.root, d.files, list, &sent)
		w.CloseWithError(local)
	})
	_, err := d.server.client.Send(ctx, up.ID, body)
	body.Close()
	writing.Wait()
	if _, ours := errors.AsType[*aplomb.Error](local); ours {
		return local // a file changed: the server only knows that the stream ended
	}
	if err != nil {
		return err
	}
	d.view.tell(phaseSend, phaseDone, fmt.Sprintf("%s, %s", countText(len(list), "file"), sizeText(total)))
	return nil
}

// seal makes the upload a release and waits until visitors are on it.
func (d *deployment) seal(ctx context.Context, up release.Upload) (release.Deployed, error) {
	what := "making it a release and switching"
	if d.flags.noLive {
		what = "making it a release"
	}
	d.view.begin(phaseSwitch, what, nil)
	r, err := act(ctx, d.c, "deploy", func(ctx context.Context) (release.Deployed, error) {
		return d.server.client.SealTelling(ctx, up.ID, func(url string) { d.view.note("preview", url) })
	})
	if err != nil {
		return r, err
	}
	d.view.tell(phaseSwitch, phaseDone, fmt.Sprintf("%s is %s", r.Release, r.State))
	return r, nil
}

// abandonWithin is how long an interrupted command waits to tell the server that it gives up.
const abandonWithin = 2 * time.Second

// abandon tells the server that an upload will not be finished. Where that fails the server finds out by itself.
func (d *deployment) abandon(up release.Upload) {
	ctx, cancel := context.WithTimeout(context.Background(), abandonWithin) // the command's own may have ended
	defer cancel()
	_ = d.server.client.Abandon(ctx, up.ID, "the client gave up")
}

// cancelled turns what an interrupt made of an error into what people know: they ended it.
func cancelled(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return aplomb.NewError(aplomb.CodeCancelled, "The deploy was interrupted", "a signal asked this command to end", "aplomb deploy again").Because(err)
}
