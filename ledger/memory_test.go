package ledger_test

import (
	"testing"

	"go.uber.org/goleak"

	"aplomb/ledger"
	"aplomb/ledger/ledgertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryKeepsThePromises(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(*testing.T) ledger.Ledger { return ledger.NewMemory() })
}
