package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// TestMain puts everything the tests leave on disk under one folder that other users may pass through, so that what
// keeps them out is the program's own doing, and removes it at the end.
func TestMain(m *testing.M) {
	root, err := os.MkdirTemp("", "aplomb-e2e-")
	if err == nil {
		err = os.Chmod(root, 0o755)
	}
	if err == nil {
		err = os.Setenv("TMPDIR", root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := chromium.close(); err != nil {
		fmt.Fprintln(os.Stderr, "close Chromium:", err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := os.RemoveAll(root); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// binary builds the program once and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	file := filepath.Join(os.TempDir(), "aplomb")
	if out, err := exec.Command("go", "build", "-o", file, "aplomb/cmd/aplomb").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build aplomb/cmd/aplomb: %w\n%s", err, out)
	}
	return file, nil
})

// full says that the long form of the tests is wanted: APLOMB_FULL=1.
func full() bool { return os.Getenv("APLOMB_FULL") == "1" }
