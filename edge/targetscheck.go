package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	checkEvery = 2 * time.Second
	checkTime  = 2 * time.Second
	// So many checks in a row take a target out of the turn, and bring it back.
	checksDown, checksUp = 3, 2

	// warmTime is how long the app of a release may take until it answers its checks, before visitors go there.
	warmTime = 10 * time.Second
	// warmTimeUrgent is the same where visitors are taken away from a release.
	warmTimeUrgent = 2 * time.Second
	warmAgain      = 200 * time.Millisecond
)

// checker asks targets how they are.
type checker struct {
	every, limit     time.Duration
	warm, warmUrgent time.Duration
}

// check asks each live target once, all at the same time.
func (ts *targets) check(ctx context.Context) {
	ts.mu.Lock()
	live := make([]*target, 0, len(ts.live))
	for t := range ts.live {
		live = append(live, t)
	}
	ts.mu.Unlock()
	var asked sync.WaitGroup
	for _, t := range live {
		asked.Go(func() {
			err := ts.checks.ask(ctx, t)
			if ctx.Err() == nil {
				ts.judge(t, err)
			}
		})
	}
	asked.Wait()
}

// judge takes a target out of the turn, or back, after several checks in a row said so.
func (ts *targets) judge(t *target, err error) {
	down := t.down.Load()
	if (err != nil) == down {
		t.checked = 0
		return
	}
	t.checked++
	switch {
	case !down && t.checked >= checksDown:
		t.down.Store(true)
		t.checked = 0
		ts.lg.Warn("app target down", "site", t.key.site, "target", t.key.addr, "err", err)
	case down && t.checked >= checksUp:
		t.down.Store(false)
		t.checked = 0
		ts.lg.Info("app target up", "site", t.key.site, "target", t.key.addr)
	}
}

// ask asks a target for its health path once, on a connection of its own.
func (k checker) ask(ctx context.Context, t *target) error {
	if err := k.askOnce(ctx, t); err != nil {
		return fmt.Errorf("the app at %s: %w", t.key.addr, err)
	}
	return nil
}

func (k checker) askOnce(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, k.limit)
	defer cancel()
	dialer := net.Dialer{}
	made, err := dialer.DialContext(ctx, t.network, t.dst)
	if err != nil {
		return err
	}
	defer made.Close()
	stop := context.AfterFunc(ctx, func() { _ = made.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	ask := "GET " + t.key.health + " HTTP/1.1\r\nHost: " + *t.host.Load() + "\r\nUser-Agent: Aplomb-Health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := made.Write([]byte(ask)); err != nil {
		return err
	}
	c := &appConn{net: made, buf: new([answerHeadMost]byte)}
	var h answerHead
	for h.status < 200 {
		if err := c.readHead(http.MethodGet, &h); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("no answer within %v", k.limit)
			}
			return err
		}
	}
	if h.status >= 400 {
		return fmt.Errorf("GET %s answers %d", t.key.health, h.status)
	}
	return nil
}

// warm waits until every route has a target that answers its check.
func (ts *targets) warm(ctx context.Context, apps []*appRoute, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	failed := make([]error, len(apps))
	var routes sync.WaitGroup
	for i, app := range apps {
		routes.Go(func() { failed[i] = ts.warmRoute(ctx, app) })
	}
	routes.Wait()
	return errors.Join(failed...)
}

// warmRoute asks the targets of one route until one of them is well.
func (ts *targets) warmRoute(ctx context.Context, app *appRoute) error {
	again := time.NewTicker(warmAgain)
	defer again.Stop()
	last := make([]error, len(app.to))
	for {
		errs := make([]error, len(app.to))
		var asked sync.WaitGroup
		for i, t := range app.to {
			asked.Go(func() { errs[i] = ts.checks.ask(ctx, t) })
		}
		asked.Wait()
		if most, _ := ctx.Deadline(); last[0] == nil || time.Now().Before(most) {
			last = errs // what was cut off at the end says less than what was before it
		}
		if slices.Contains(errs, nil) {
			for i, t := range app.to {
				t.down.Store(errs[i] != nil)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(last...)
		case <-again.C:
		}
	}
}
