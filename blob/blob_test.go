package blob_test

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aplomb"
	"aplomb/blob"
	"aplomb/blob/blobtest"
)

func TestMain(m *testing.M) {
	if act := os.Getenv(childAct); act != "" {
		os.Exit(runChild(act))
	}
	goleak.VerifyTestMain(m)
}

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T, onDamage func(blob.Damage)) blobtest.Subject {
		m := blob.NewMemory()
		m.OnDamage = onDamage
		return blobtest.Subject{Store: m, Damage: m.Damage}
	})
}

func TestDiskKeepsTheContract(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T, onDamage func(blob.Damage)) blobtest.Subject {
		dir := t.TempDir()
		s := openDisk(t, dir, blob.Config{OnDamage: onDamage, ScrubBytesPerSecond: 1 << 40})
		return blobtest.Subject{Store: s, Damage: func(d aplomb.Digest, change func([]byte) []byte) {
			damageFile(t, blobPath(dir, d), change)
		}}
	})
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openDisk(t testing.TB, dir string, cfg blob.Config) *blob.Disk {
	t.Helper()
	s, err := blob.Open(quiet(), dir, cfg)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return s
}

func blobPath(dir string, d aplomb.Digest) string {
	return dir + "/" + d.String()[:2] + "/" + d.String()
}

func damageFile(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b = change(b); b == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, b, 0o600)
		// The clock of a file system may be too coarse to tell this write from the one before.
		err = errors.Join(err, os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)))
	}
	if err != nil {
		t.Fatal(err)
	}
}
