package main

import (
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"aplomb"
)

func someKnown() []known {
	return []known{
		{"/a.js", stamp{3, 1_700_000_000_000_000_001, 1_700_000_000_000_000_002, 1 << 63}, aplomb.Sum([]byte("a"))},
		{"/b/ü.css", stamp{1 << 40, -1, 0, 7}, aplomb.Sum([]byte("b"))},
		{"/index.html", stamp{}, aplomb.Sum([]byte("c"))},
	}
}

func TestWhatIsKeptIsReadBack(t *testing.T) {
	t.Parallel()
	file := statCachePath(t.TempDir(), "/srv/shop/dist")
	if err := saveStatCache(file, someKnown()); err != nil {
		t.Fatal(err)
	}
	if got := loadStatCache(file); !reflect.DeepEqual(got, someKnown()) {
		t.Errorf("loadStatCache = %+v, want %+v", got, someKnown())
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".stat-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestADamagedCacheIsNoCache(t *testing.T) {
	t.Parallel()
	whole := appendStatCache(nil, someKnown())
	for i := range whole {
		flipped := append([]byte(nil), whole...)
		flipped[i] ^= 0x10
		if got, err := parseStatCache(string(flipped)); err == nil {
			t.Fatalf("byte %d flipped: %d entries were believed", i, len(got))
		}
		if got, err := parseStatCache(string(whole[:i])); err == nil {
			t.Fatalf("cut at byte %d: %d entries were believed", i, len(got))
		}
	}
	if got := loadStatCache(filepath.Join(t.TempDir(), "absent")); got != nil {
		t.Errorf("an absent cache has %d entries", len(got))
	}
}

func TestTwoFoldersNeverShareTheirDigests(t *testing.T) {
	t.Parallel()
	if a, b := statCachePath("/c", "/srv/a"), statCachePath("/c", "/srv/b"); a == b {
		t.Errorf("both in %s", a)
	}
}

func TestAStampIsTrustedOnlyWhenItHadSettled(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	ns := func(d time.Duration) int64 { return at.Add(-d).UnixNano() }
	cases := []struct {
		mtime, ctime time.Duration // before the reading
		want         bool
	}{
		{time.Second, time.Second, true},
		{100 * time.Millisecond, 100 * time.Millisecond, true},
		{time.Second, 99 * time.Millisecond, false},
		{99 * time.Millisecond, time.Second, false},
		{-time.Hour, time.Second, false},
	}
	for _, c := range cases {
		if got := (stamp{mtime: ns(c.mtime), ctime: ns(c.ctime)}).trusted(at); got != c.want {
			t.Errorf("changed %v and %v before: trusted = %v, want %v", c.mtime, c.ctime, got, c.want)
		}
	}
}

func FuzzStatCache(f *testing.F) {
	f.Add(appendStatCache(nil, someKnown()))
	f.Add(appendStatCache(nil, nil))
	f.Add([]byte(statCacheMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseStatCache(string(b))
		if err != nil {
			return
		}
		if again := appendStatCache(nil, list); string(again) != string(b) {
			t.Errorf("parsed and written again it is another file: %q, %q", again, b)
		}
	})
}

func readFolder(b *testing.B, dir string, before []known) digested {
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	list, err := walk(root)
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	d, err := digestFiles(b.Context(), root, list, before, func() time.Time { return time.Now().Add(time.Second) }, &n)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

func BenchmarkReadUnchanged10000(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		sub := filepath.Join(dir, "assets", string(rune('a'+i%26)))
		if i < 26 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(sub, "chunk-"+numberText(i)+".js"), []byte(numberText(i)), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	cache := filepath.Join(b.TempDir(), "stat")
	first := readFolder(b, dir, nil)
	if err := saveStatCache(cache, first.known); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if d := readFolder(b, dir, loadStatCache(cache)); d.read != 0 {
			b.Fatalf("%d files read", d.read)
		}
	}
}
