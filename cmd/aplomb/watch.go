package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"aplomb"
	"aplomb/release"
)

const (
	// watchEvery is how often the server is asked.
	watchEvery = time.Second
	// twiceWithin is how soon r must be pressed again, or be held, to mean it.
	twiceWithin = 2 * time.Second
)

// watched is what status --watch shows: the last answer, how old it is, and what the keys have done.
type watched struct {
	sites   []release.SiteStatus
	asked   time.Time // when sites was answered
	problem string    // why the last question was not answered
	help    bool
	armed   time.Time // when r was pressed first
	message []string  // of the last act
}

// watchAct is what a key asks for.
type watchAct int

const (
	watchNothing watchAct = iota
	watchQuit
	watchRollback
)

// key takes a key in. r asks for a rollback only when it comes twice, so that no slip of a finger moves the visitors.
func (w *watched) key(k byte, now time.Time) watchAct {
	const ctrlC, ctrlD = 3, 4
	armed := w.armed
	w.armed = time.Time{}
	switch k {
	case 'q', ctrlC, ctrlD:
		return watchQuit
	case '?':
		w.help = !w.help
	case 'r':
		if !armed.IsZero() && now.Sub(armed) <= twiceWithin {
			return watchRollback
		}
		w.armed = now
	}
	return watchNothing
}

// frame draws what is known. It is a pure function of the state and the time.
func (w *watched) frame(now time.Time, s screen) []string {
	var lines []string
	if w.problem != "" {
		since := ""
		if !w.asked.IsZero() {
			since = " What follows was known " + agoText(now.Sub(w.asked)) + "."
		}
		lines = append(lines, s.paint(colourBad, "✗")+" "+w.problem+"."+since)
	}
	for _, st := range w.sites {
		lines = append(lines, statusLines(st, now)...)
	}
	if len(w.sites) == 0 && w.problem == "" {
		lines = append(lines, "There is no site yet.")
	}
	lines = append(lines, w.message...)
	switch {
	case !w.armed.IsZero() && now.Sub(w.armed) <= twiceWithin:
		lines = append(lines, s.paint(colourBold, w.rollbackOffer()))
	case w.help:
		lines = append(lines, "q quits · r twice, or held, goes back to the release before · ? closes this")
	default:
		lines = append(lines, s.paint(colourFaint, now.Local().Format("15:04:05")+"  q quit  r r rollback  ? help"))
	}
	for i := range lines {
		if !strings.Contains(lines[i], "\x1b") {
			lines[i] = clip(lines[i], s.width-1)
		}
	}
	return lines
}

func (w *watched) rollbackOffer() string {
	if len(w.sites) != 1 {
		return "There are several sites: name one with --site to roll back from here."
	}
	if w.sites[0].Back == "" {
		return "There is no release to go back to."
	}
	return fmt.Sprintf("r again: %s goes back to %s. Undo is one command.", w.sites[0].Site, w.sites[0].Back)
}

// take takes an answer in.
func (w *watched) take(sites []release.SiteStatus, err error, now time.Time) {
	if err != nil {
		w.problem = asError(err).What
		return
	}
	w.sites, w.asked, w.problem = sites, now, ""
}

func (c *call) watch(ctx context.Context) error {
	sites, err := c.statuses(ctx)
	if err != nil {
		return err
	}
	if c.flags.json || !c.screen.live || !term.IsTerminal(int(c.stdin.Fd())) {
		return c.watchLines(ctx, sites)
	}
	before, err := term.MakeRaw(int(c.stdin.Fd()))
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	defer term.Restore(int(c.stdin.Fd()), before)
	w := &watched{sites: sites, asked: c.now()}
	drawn := 0
	for next := c.now().Add(watchEvery); ctx.Err() == nil; {
		frame := w.frame(c.now(), c.screen)
		io.WriteString(c.stderr, strings.ReplaceAll(overwrite(drawn, frame), "\n", "\r\n"))
		drawn = len(frame)
		key, ok, err := c.keyWithin(100 * time.Millisecond)
		if err != nil {
			return err
		}
		if ok {
			switch w.key(key, c.now()) {
			case watchQuit:
				return nil
			case watchRollback:
				c.watchRollback(ctx, w)
				next = c.now()
			}
		}
		if !c.now().Before(next) {
			sites, err := c.statuses(ctx)
			w.take(sites, err, c.now())
			next = c.now().Add(watchEvery)
		}
	}
	return nil
}

// keyWithin waits for a key, but not longer than d.
func (c *call) keyWithin(d time.Duration) (byte, bool, error) {
	fds := []unix.PollFd{{Fd: int32(c.stdin.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(d.Milliseconds()))
	if errors.Is(err, unix.EINTR) || err == nil && n == 0 {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("wait for a key: %w", err)
	}
	var b [1]byte
	if _, err := c.stdin.Read(b[:]); err != nil {
		return 0, false, fmt.Errorf("read a key: %w", err)
	}
	return b[0], true, nil
}

func (c *call) watchRollback(ctx context.Context, w *watched) {
	if len(w.sites) != 1 || w.sites[0].Back == "" {
		w.message = []string{w.rollbackOffer()}
		return
	}
	began := c.now()
	b, err := c.server.client.Rollback(ctx, "rolled back from status --watch", w.sites[0].Site)
	if err != nil {
		e := asError(err)
		w.message = []string{"Not rolled back: " + e.What + ": " + e.Why, e.Production}
		return
	}
	w.message = append(backText(b, c.now().Sub(began), c.onServer()), c.advise("Undo: aplomb undo", b.Site))
}

// watchLines prints the status again whenever it has changed: for logs, and for programs.
func (c *call) watchLines(ctx context.Context, sites []release.SiteStatus) error {
	var last []string
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		var lines []string
		for _, st := range sites {
			lines = append(lines, statusLines(st, c.now())...)
		}
		if !slices.Equal(lines, last) {
			last = lines
			for _, st := range sites {
				if c.flags.json {
					writeJSON(c.stdout, st)
				}
			}
			if !c.flags.json {
				c.tell(lines...)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var err error
		if sites, err = c.statuses(ctx); err != nil && !errors.Is(err, aplomb.ErrDown) && ctx.Err() == nil {
			return err
		}
	}
}
