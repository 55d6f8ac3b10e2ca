package journal

import (
	"bytes"
	"slices"
	"testing"

	"aplomb"
	"aplomb/ledger"
)

func FuzzJudgeEnd(f *testing.F) {
	before, _, err := ledger.Compose("shop", aplomb.Head{}, noteOf(1), writesOf(1))
	if err != nil {
		f.Fatal(err)
	}
	_, line, err := ledger.Compose("shop", before.Head, noteOf(2), writesOf(2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(line[:len(line)-1])
	f.Add(line[:len(line)/2])
	f.Add(slices.Concat(line[:len(line)-1], []byte("x"), line))
	f.Add(slices.Concat([]byte(`{"n":"}`), []byte("x"), line))
	f.Add(slices.Concat([]byte("x"), line))
	f.Add([]byte("a\nb\n"))
	f.Add(make([]byte, 10))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, e, n := judgeEnd("shop", before.Head, b)
		text := bytes.TrimRight(b, "\x00")
		switch kind {
		case endZeros:
			if len(text) > 0 {
				t.Errorf("zeros: %q", b)
			}
		case endTorn:
			if i := bytes.IndexByte(text, '\n'); len(text) == 0 || i >= 0 && i < len(text)-1 || bytes.Contains(b, line) {
				t.Errorf("torn: %q", b)
			}
		case endComplete:
			if got, err := ledger.ParseEntry(append(bytes.Clone(b[:n]), '\n')); err != nil || got.Head != e.Head || len(text)-n > 1 {
				t.Errorf("complete: %q: %v", b, err)
			}
		}
	})
}
