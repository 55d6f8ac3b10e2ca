package release

import (
	"context"

	"aplomb"
)

// encodeQuick makes the quick encodings of what visitors will ask for first, within a budget.
func (m *Manager) encodeQuick(ctx context.Context, manifest aplomb.Manifest) {}

// encodeBest makes the slow encodings of releases that went live.
func (m *Manager) encodeBest(ctx context.Context) { <-ctx.Done() }
