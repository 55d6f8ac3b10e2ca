package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLockNamesWhoHasItAlsoWhereThatProcessCouldNotSign promises that a process before, whose name still stands in the file of
// a folder that cannot be written, is not taken for the one that has the lock.
func TestLockNamesWhoHasItAlsoWhereThatProcessCouldNotSign(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := Lock(dir, "aplomb up")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, stale := range []string{`{"pid":1,"since":"2020-01-01T00:00:00Z","who":"of old"}`, ""} {
		if err := os.WriteFile(filepath.Join(dir, "lock"), []byte(stale), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Lock(dir, "aplomb up")
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", os.Getpid())) || strings.Contains(err.Error(), "of old") {
			t.Errorf("with %q in the file, Lock = %v, want process %d named", stale, err, os.Getpid())
		}
	}
}
