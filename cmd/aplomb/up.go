package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"aplomb"
	"aplomb/api"
	"aplomb/blob"
	"aplomb/edge"
	"aplomb/journal"
	"aplomb/ledger"
	"aplomb/release"
)

// upFlags are the flags of up.
type upFlags struct {
	dir       string
	logFormat string
	logLevel  string
	machine   machineSettings
}

func (c *call) upCommand() *cobra.Command {
	var f upFlags
	cmd := newCommand(text{
		use:   "up",
		short: "Serve the sites of a data folder, until it is told to stop",
		long: `Serves at once what was live last, then opens the timeline and the API, and prints READY on a line of its own ("READY
degraded" where a ledger refuses to write, or a door or a disk that takes writes is missing: the sites are served all the same,
and status says what is missing). An interrupt or SIGTERM ends it gracefully: answers under way are finished. A second one ends
it at once.`,
		examples: []string{"aplomb up", "aplomb up --dir /var/lib/aplomb --listen :80 --tls-listen :443 --cert cert.pem --key key.pem"},
		exits:    []int{exitDone, exitUnexpected, exitUsage, exitRefused},
		next:     "in another terminal: aplomb deploy ./dist",
		failed:   "Not started",
	}, atMost(0, "no arguments"), func(cmd *cobra.Command, _ []string) error {
		f.machine.API = c.flags.api
		return c.up(cmd.Context(), f)
	})
	cmd.Flags().StringVar(&f.dir, "dir", "", "data `folder` (default: $XDG_DATA_HOME/aplomb or ~/.local/share/aplomb)")
	cmd.Flags().StringArrayVar(&f.machine.Listen, "listen", nil, "`address` for HTTP; may be repeated (default "+defaultListen+")")
	cmd.Flags().StringArrayVar(&f.machine.ListenTLS, "tls-listen", nil, "`address` for HTTPS; may be repeated")
	cmd.Flags().StringVar(&f.machine.Cert, "cert", "", "`file` with the certificate for HTTPS, PEM")
	cmd.Flags().StringVar(&f.machine.Key, "key", "", "`file` with the certificate's key, PEM")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "info", "`how much` the log says: debug, info, warn or error")
	cmd.Flags().StringVar(&f.logFormat, "log-format", "", "`text` or json (default: text on a terminal, else json)")
	return cmd
}

func (c *call) up(ctx context.Context, f upFlags) error {
	signal.Ignore(syscall.SIGHUP) // a terminal that is closed is no reason to take the sites away
	level := new(slog.LevelVar)
	set, err := parseLevel(f.logLevel)
	if err != nil {
		return err
	}
	level.Set(set)
	lg, err := c.logger(f.logFormat, level)
	if err != nil {
		return err
	}
	h, err := c.openHouse(ctx, lg, level, f)
	if err != nil {
		return asError(err).With("Production is as it was: this server did not start.")
	}
	c.sayUp(h)
	io.WriteString(c.stdout, h.readyLine()+"\n")
	if err := notifySystemd(c.getenv, "READY=1\nSTATUS="+h.readyLine()); err != nil {
		lg.Warn("systemd was not told that the sites are served", "err", err)
	}
	select {
	case <-ctx.Done():
		lg.Info("stopping", "why", "a signal asked for it")
	case <-h.parts.failed.Done():
		lg.Error("stopping", "err", context.Cause(h.parts.failed))
	}
	_ = notifySystemd(c.getenv, "STOPPING=1") // it finds out anyway
	return h.parts.stop()
}

// logger returns the log of a server: for people on a terminal, for programs elsewhere.
func (c *call) logger(format string, level slog.Leveler) (*slog.Logger, error) {
	if format == "" {
		format = "json"
		if c.screen.tty {
			format = "text"
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: level})), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.stderr, &slog.HandlerOptions{Level: level})), nil
	}
	return nil, usage(fmt.Sprintf("there is no log format %q", format), "the formats are text and json", "aplomb up --log-format text")
}

// house is a server with all its parts.
type house struct {
	c       *call
	lg      *slog.Logger
	level   *slog.LevelVar // of lg
	dir     string
	machine machineSettings
	parts   *parts

	reserve *journal.Reserve
	blobs   *blob.Disk
	damaged chan blob.Damage // from the store to the timeline
	edge    *edge.Edge
	ledger  ledger.Ledger
	journal *journal.Journal // nil where it could not be opened
	manager *release.Manager
	api     *api.Server

	troubles troubles

	previewKey []byte // nil where it could not be read or made
	metrics    *metrics
	accessLog  *edge.AccessLog // nil where it is off
}

// openHouse opens and starts every part, in the order in which visitors need them: what was served last is served before the
// ledger is even looked at.
func (c *call) openHouse(ctx context.Context, lg *slog.Logger, level *slog.LevelVar, f upFlags) (*house, error) {
	h := &house{c: c, lg: lg, level: level, dir: f.dir, parts: newParts(lg), damaged: make(chan blob.Damage, 256)}
	if err := h.settle(f); err != nil {
		return nil, err
	}
	for _, open := range []func(context.Context) error{h.openFolder, h.openBlobs, h.openRecord, h.openEdge, h.startEdge, h.openLedger, h.openManager, h.startManager, h.openAPI} {
		err := open(ctx)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			h.parts.stop() // what it returns is err, or follows from it
			return nil, err
		}
	}
	return h, nil
}

// openFolder makes the data folder and keeps other processes out of it.
func (h *house) openFolder(context.Context) error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return aplomb.NewError(aplomb.CodeNoFolder, fmt.Sprintf("the data folder %s cannot be made", h.dir), reasonOf(err), "name another one: aplomb up --dir DIR").Because(err)
	}
	lock, err := journal.Lock(h.dir, "aplomb up")
	switch {
	case err == nil:
		h.parts.opened("lock", lock.Close)
		return nil
	case isLocked(err) || !h.hasServed():
		return err
	}
	h.trouble(readOnly(err.Error(), "look at "+filepath.Join(h.dir, "lock")+", and start again").Because(err)) // the blobs have their own lock
	return nil
}

// reserveBytes is the disk space that is kept for rollbacks.
const reserveBytes = 4 << 20

func (h *house) openBlobs(context.Context) (err error) {
	if h.reserve, err = journal.OpenReserve(filepath.Join(h.dir, "reserve"), reserveBytes); err != nil {
		h.lg.Warn("no disk space is kept for rollbacks", "err", err)
	}
	cfg := blob.Config{OnDamage: func(d blob.Damage) {
		select {
		case h.damaged <- d:
		default: // the log has it; the timeline gets the first few hundred
		}
	}}
	h.blobs, err = blob.Open(h.lg, filepath.Join(h.dir, "blobs"), cfg)
	if errors.Is(err, aplomb.ErrRefused) {
		return aplomb.NewError(aplomb.CodeLocked, fmt.Sprintf("the data folder %s is in use", h.dir), err.Error(), "aplomb status (it serves already), or use another folder with --dir").Because(err)
	}
	if err != nil {
		return fmt.Errorf("open the blob store: %w", err)
	}
	h.parts.opened("blobs", h.blobs.Close)
	if err := h.blobs.Shut(); err != nil {
		if !h.hasServed() {
			return fmt.Errorf("open the blob store: %w", err)
		}
		h.trouble(readOnly(err.Error(), fmt.Sprintf("make %s a folder that this user can write, and start again", filepath.Join(h.dir, "blobs"))).Because(err))
	}
	return nil
}

// freeReserve gives the kept disk space to whoever needs it to take visitors back.
func (h *house) freeReserve() error {
	if h.reserve == nil {
		return nil
	}
	return h.reserve.Free()
}

func (h *house) openEdge(context.Context) (err error) {
	if h.previewKey, err = previewKey(h.dir); err != nil {
		h.trouble(readOnly(fmt.Sprintf("there are no previews: %v", err), "look at "+filepath.Join(h.dir, previewKeyName)+", and start again").Because(err))
	}
	cfg := edge.Config{
		Listen: h.machine.Listen, ListenTLS: h.machine.ListenTLS,
		StateDir: filepath.Join(h.dir, "state"), Blobs: h.blobs, FreeReserve: h.freeReserve, PreviewKey: h.previewKey,
		Record: h.record,
	}
	h.machine.secure(&cfg, h.dir)
	h.edge, err = edge.Open(h.lg, cfg)
	if err != nil {
		return fmt.Errorf("open the edge: %w", err)
	}
	return nil
}

// startEdge lets visitors in. From here on nothing that fails takes the sites away.
func (h *house) startEdge(context.Context) error {
	h.parts.start("edge", true, h.edge.Run)
	select {
	case <-h.edge.Ready():
		return nil
	case <-h.parts.failed.Done():
		return context.Cause(h.parts.failed)
	}
}

// openLedger opens the journal. Where that fails the server has a ledger that refuses everything: sites are served, and
// rollback moves the edge.
func (h *house) openLedger(context.Context) (err error) {
	if h.journal, err = journal.Open(h.lg, filepath.Join(h.dir, "journal"), journal.Config{}); err != nil {
		h.lg.Error("ledger not opened, the sites are served on", "err", err)
		h.ledger = shutLedger{why: err}
		return nil
	}
	for _, torn := range h.journal.Torn() {
		h.lg.Warn("an unfinished write was cut off", "site", torn.Site, "file", torn.Segment, "bytes", torn.Bytes, "aside", torn.Aside, "completed", torn.Completed)
	}
	h.ledger = h.journal
	h.parts.opened("ledger", h.journal.Close)
	return nil
}

func (h *house) openManager(ctx context.Context) error {
	cfg := release.Config{
		Ledger: h.ledger, Blobs: h.blobs,
		Performers:  map[aplomb.IntentKind]release.Performer{aplomb.IntentRoute: h.edge.Perform, aplomb.IntentRemove: h.edge.Remove},
		Served:      h.edge.Routes,
		Unsaved:     h.edge.Unsaved,
		Missing:     h.missing,
		FreeReserve: h.freeReserve,
		PreviewKey:  h.previewKey,
		Space:       h.space,
		Visit:       h.visit,
		URL:         siteURL(h.machine, h.edge.Addrs(), h.edge.Secured),
		Now:         h.c.now,
		Limits:      aplomb.DefaultLimits(),
	}
	if h.journal != nil {
		cfg.Recover = h.recoverSite
	}
	h.manager = release.New(h.lg, cfg)
	h.parts.opened("manager", func() error { h.manager.Close(); return nil })
	if err := h.manager.Start(ctx); err != nil {
		return fmt.Errorf("start the manager: %w", err)
	}
	return nil
}

// recoverSite recovers a site of the journal. The journal may hold its chain for whole where only the edge knows that it is
// not: then it is told.
func (h *house) recoverSite(ctx context.Context, site aplomb.SiteName, from aplomb.Head, fact aplomb.Fact, writes []ledger.Write) (aside, lost string, head aplomb.Head, err error) {
	if h.journal.Degraded()[site] == nil {
		h.journal.Degrade(site, fmt.Errorf("the edge serves what this chain does not hold: %w", aplomb.ErrDegraded))
	}
	return h.journal.Recover(ctx, site, from, fact, writes)
}

// refillEvery is how often freed disk space is taken again for the next rollback.
const refillEvery = time.Minute

// startManager lets the manager work by itself, and puts what the store finds damaged on the timeline.
func (h *house) startManager(context.Context) error {
	h.parts.start("manager", false, h.manager.Run)
	h.parts.start("damage", false, func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case d := <-h.damaged:
				h.manager.Damaged(ctx, d)
			}
		}
	})
	h.parts.start("reserve", false, h.keepReserve)
	return nil
}

func (h *house) keepReserve(ctx context.Context) error {
	tick := time.NewTicker(refillEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if h.reserve == nil || h.reserve.Held() {
			continue
		}
		if err := h.reserve.Refill(); err != nil && !errors.Is(err, aplomb.ErrNoSpace) {
			h.lg.Warn("no disk space is kept for rollbacks", "err", err)
		}
	}
}

func (h *house) openAPI(context.Context) error {
	h.metrics.show(&siteMetrics{sites: h.manager.Sites, lost: h.lostRecords, space: func() (int64, int64, error) { return spaceOf(h.dir) }})
	h.metrics.registry.MustRegister(certificateMetrics(h.edge.Certificates))
	h.api = api.New(h.lg, h.manager, api.Config{
		Dir: h.dir, Listen: h.machine.API, Version: thisVersion().Version, Metrics: h.metrics.handler(), Level: h.level, Now: h.c.now,
		Backup: h.backups(),
	})
	missing := h.api.OpenSome()
	if len(missing) > 0 && !h.hasServed() || slices.ContainsFunc(missing, isLocked) {
		h.api.Close()
		return missing[0]
	}
	for _, err := range missing {
		h.lg.Error("the sites are served, a door is missing", "err", err)
	}
	h.troubles.watch(h.api.Missing)
	h.parts.start("api", false, h.api.Run)
	return nil
}

func isLocked(err error) bool {
	e, ok := errors.AsType[*aplomb.Error](err)
	return ok && e.Code == aplomb.CodeLocked
}

// readyLine is what scripts wait for.
func (h *house) readyLine() string {
	if len(h.manager.Degraded()) > 0 || h.journal == nil || len(h.edge.Unsaved()) > 0 || len(h.allTroubles()) > 0 {
		return "READY degraded"
	}
	return "READY"
}

// sayUp tells people where everything is, and what is not well.
func (c *call) sayUp(h *house) {
	var sites []string
	for _, a := range h.edge.Addrs() {
		sites = append(sites, a.String())
	}
	c.say(fmt.Sprintf("sites on %s, api on %s, data in %s", strings.Join(sites, ", "), h.api.Endpoint(), h.dir))
	degraded := h.manager.Degraded()
	for _, site := range slices.Sorted(maps.Keys(degraded)) {
		c.say(degradedText(site, degraded[site], slices.ContainsFunc(h.edge.Routes(), func(r aplomb.Route) bool { return r.Site.Name == site && r.Live != "" })))
	}
	if h.journal == nil {
		c.say("the ledger cannot be opened; the log says why. The sites are served and rollback works.")
	}
	for _, d := range h.edge.Damaged() {
		c.say("damaged: " + d)
	}
	c.sayTroubles(h)
}
