package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
)

func TestPartsStopInReverseEachWhenTheOneBeforeHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParts(slog.New(slog.DiscardHandler))
		var order []string // one goroutine at a time: stop waits for each
		p.opened("store", func() error { order = append(order, "store"); return nil })
		for _, name := range []string{"edge", "manager", "api"} {
			p.start(name, name == "edge", func(ctx context.Context) error {
				<-ctx.Done()
				order = append(order, name)
				return nil
			})
		}
		synctest.Wait()
		if err := p.stop(); err != nil {
			t.Errorf("stop = %v", err)
		}
		if want := []string{"api", "manager", "edge", "store"}; !slices.Equal(order, want) {
			t.Errorf("stopped in order %v, want %v", order, want)
		}
	})
}

func TestAControlPartThatFailsTakesNothingElseAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParts(slog.New(slog.DiscardHandler))
		p.start("edge", true, func(ctx context.Context) error { <-ctx.Done(); return nil })
		p.start("api", false, func(context.Context) error { return errors.New("gone") })
		synctest.Wait()
		if p.failed.Err() != nil {
			t.Errorf("the server ends: %v", context.Cause(p.failed))
		}
		if err := p.stop(); err != nil {
			t.Errorf("stop = %v", err)
		}
	})
}

func TestAnEdgeThatFailsEndsTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParts(slog.New(slog.DiscardHandler))
		gone := errors.New("gone")
		p.start("edge", true, func(context.Context) error { return gone })
		synctest.Wait()
		if !errors.Is(context.Cause(p.failed), gone) {
			t.Errorf("cause = %v", context.Cause(p.failed))
		}
		if err := p.stop(); !errors.Is(err, gone) {
			t.Errorf("stop = %v", err)
		}
	})
}
