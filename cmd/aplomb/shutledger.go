package main

import (
	"context"
	"fmt"
	"iter"

	"aplomb"
	"aplomb/ledger"
)

// shutLedger stands in for a ledger that could not be opened: it holds nothing and takes nothing, and says why. The edge
// serves on, and a rollback moves the edge alone.
type shutLedger struct{ why error }

func (l shutLedger) refusal() error {
	return fmt.Errorf("the ledger could not be opened: %w: %w", aplomb.ErrDegraded, l.why)
}

// Sites implements ledger.Ledger.
func (l shutLedger) Sites(context.Context) ([]aplomb.SiteName, error) { return nil, nil }

// Load implements ledger.Ledger.
func (l shutLedger) Load(context.Context, aplomb.SiteName) (ledger.Snapshot, error) {
	return ledger.Snapshot{}, l.refusal()
}

// Append implements ledger.Ledger.
func (l shutLedger) Append(context.Context, aplomb.SiteName, aplomb.Head, aplomb.Fact, []ledger.Write) (aplomb.Head, error) {
	return aplomb.Head{}, l.refusal()
}

// Entries implements ledger.Ledger.
func (l shutLedger) Entries(context.Context, aplomb.SiteName, int64) iter.Seq2[ledger.Entry, error] {
	return func(yield func(ledger.Entry, error) bool) { yield(ledger.Entry{}, l.refusal()) }
}

// Follow implements ledger.Ledger.
func (l shutLedger) Follow(ctx context.Context, site aplomb.SiteName, after int64) iter.Seq2[ledger.Entry, error] {
	return l.Entries(ctx, site, after)
}

// SetAside implements ledger.Ledger.
func (l shutLedger) SetAside(context.Context, aplomb.SiteName) (string, error) {
	return "", l.refusal()
}

// Close implements ledger.Ledger.
func (l shutLedger) Close() error { return nil }
