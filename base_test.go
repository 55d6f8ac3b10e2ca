package aplomb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHashedFilesBelowABasePathAreKnown: testdata/based.txt holds releases, each file with whether it is hashed.
func TestHashedFilesBelowABasePathAreKnown(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "based.txt"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "\n= ")[1:]
	if len(blocks) < 12 {
		t.Fatalf("%d releases, want 12", len(blocks))
	}
	for _, block := range blocks {
		title, lines, _ := strings.Cut(block, "\n")
		framework, _, _ := strings.Cut(title, " ")
		want := map[string]bool{}
		var paths []string
		for line := range strings.Lines(lines) {
			if fields := strings.Fields(line); len(fields) == 2 {
				want[fields[1]] = fields[0] == "yes"
				paths = append(paths, fields[1])
			}
		}
		m, _ := mustSeal(t, filesAt(paths...), Settings{Framework: strings.TrimPrefix(framework, "none")}, "", "")
		for _, f := range m.Files {
			if f.Hashed != want[f.Path] {
				t.Errorf("%s: %s is hashed = %v, want %v", title, f.Path, f.Hashed, want[f.Path])
			}
		}
	}
}
