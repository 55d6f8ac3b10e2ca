package main

import (
	"context"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"
)

// parts are the running parts of a server. They are started one after the other and stopped in reverse, each of them
// only when the one before has ended: what takes in work ends before what does it.
type parts struct {
	lg     *slog.Logger
	group  errgroup.Group
	failed context.Context // ends, with its cause, when a part ended that visitors cannot do without
	fail   context.CancelCauseFunc
	stops  []func()
}

func newParts(lg *slog.Logger) *parts {
	p := &parts{lg: lg}
	p.failed, p.fail = context.WithCancelCause(context.Background()) // parts outlive the signal that ends them
	return p
}

// start runs a part until stop. Where a vital part ends by itself the server ends; any other one is missed, and the site is
// served on.
func (p *parts) start(name string, vital bool, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background()) // ended by stop, in its turn
	done := make(chan struct{})
	p.group.Go(func() error {
		defer close(done)
		err := run(ctx)
		if ctx.Err() != nil && err == nil {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("%s ended by itself", name)
		}
		if vital {
			p.fail(err)
			return err
		}
		p.lg.Error("a part is gone, the sites are served on", "part", name, "err", err)
		return nil
	})
	p.stops = append(p.stops, func() { cancel(); <-done })
}

// opened registers what is to be closed in its turn.
func (p *parts) opened(name string, closer func() error) {
	p.stops = append(p.stops, func() {
		if err := closer(); err != nil {
			p.lg.Error("not closed", "part", name, "err", err)
		}
	})
}

// stop ends everything in reverse order and waits for it.
func (p *parts) stop() error {
	for i := len(p.stops) - 1; i >= 0; i-- {
		p.stops[i]()
	}
	p.stops = nil
	err := p.group.Wait()
	p.fail(nil)
	return err
}
