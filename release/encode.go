package release

import (
	"context"

	"aplomb"
)

type encodedMemo struct{}

func (m *Manager) encodeQuick(ctx context.Context, manifest aplomb.Manifest) {}
func (m *Manager) encodeBest(ctx context.Context)                            { <-ctx.Done() }
