package release

import (
	"fmt"
	"log/slog"
	"testing"

	"aplomb/blob"
)

// BenchmarkDeployOneOfTenThousand is a deploy of 10,000 files of which one changed, without the client and the edge.
func BenchmarkDeployOneOfTenThousand(b *testing.B) {
	disk, err := blob.Open(slog.New(slog.DiscardHandler), b.TempDir(), blob.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer disk.Close()
	h := newHouse(b, disk)
	content := map[string]string{}
	for i := range 10_000 {
		content[fmt.Sprintf("/assets/%d/part%d.js", i%100, i)] = fmt.Sprintf("export const part%d = %d; // a line of script, and some more of it to be worth it", i, i)
	}
	n := 0
	for b.Loop() {
		n++
		content["/index.html"] = fmt.Sprintf("<!doctype html><title>%d</title>", n)
		if _, err := h.deployFiles(content); err != nil {
			b.Fatal(err)
		}
	}
}
