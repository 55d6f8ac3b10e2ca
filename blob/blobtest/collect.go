package blobtest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"aplomb"
	"aplomb/blob"
)

var later = time.Hour

func keepOnly(contents ...[]byte) func(aplomb.Digest) bool {
	kept := map[aplomb.Digest]bool{}
	for _, c := range contents {
		kept[aplomb.Sum(c)] = true
	}
	return func(d aplomb.Digest) bool { return kept[d] }
}

func mustCollect(t *testing.T, s blob.Store, keep func(aplomb.Digest) bool, olderThan time.Time) blob.Collected {
	t.Helper()
	got, err := s.Collect(t.Context(), keep, olderThan)
	if err != nil {
		t.Fatalf("Collect = %v", err)
	}
	return got
}

func collect(t *testing.T, open Open) {
	s := opened(t, open).Store
	kept, gone, large := content(1, 1000), content(2, 2000), content(3, 300_000)
	Put(t, s, kept, gone, large)
	got := mustCollect(t, s, keepOnly(kept), time.Now().Add(later))
	if want := (blob.Collected{Blobs: 2, Bytes: 302_000}); got != want {
		t.Errorf("Collect = %+v, want %+v", got, want)
	}
	Same(t, s, kept)
	for _, c := range [][]byte{gone, large} {
		_, _, err := s.Open(aplomb.Sum(c))
		wantKind(t, "Open of a collected blob", err, aplomb.ErrNotFound)
	}
	if got := s.Missing([]blob.Ref{Ref(gone), Ref(kept)}); len(got) != 1 {
		t.Errorf("Missing = %v, want the collected blob", got)
	}
	if got := mustCollect(t, s, keepOnly(kept), time.Now().Add(later)); got != (blob.Collected{}) {
		t.Errorf("Collect again = %+v, want nothing to do", got)
	}
	Put(t, s, gone)
	Same(t, s, gone)
}

func grace(t *testing.T, open Open) {
	s := opened(t, open).Store
	c := content(1, 1000)
	Put(t, s, c)
	if got := mustCollect(t, s, keepOnly(), time.Now().Add(-later)); got != (blob.Collected{}) {
		t.Errorf("Collect = %+v, want a young blob spared", got)
	}
	Same(t, s, c)
}

func formsKept(t *testing.T, open Open) {
	s := opened(t, open).Store
	kept, gone := content(1, 1000), content(2, 1000)
	Put(t, s, kept, gone)
	of := func(seed int) blob.Encodings {
		return blob.Encodings{blob.Brotli: form(t, s, 5, content(seed, 100)), blob.Gzip: form(t, s, 6, content(seed+1, 100))}
	}
	record(t, s, aplomb.Sum(kept), of(10))
	record(t, s, aplomb.Sum(gone), of(20))
	better := form(t, s, 11, content(30, 90))
	record(t, s, aplomb.Sum(kept), blob.Encodings{blob.Brotli: better})
	got := mustCollect(t, s, keepOnly(kept), time.Now().Add(later))
	if want := (blob.Collected{Blobs: 4, Bytes: 1300}); got != want {
		t.Errorf("Collect = %+v, want %+v: the blob, its two forms, and the form that a better one replaced", got, want)
	}
	Same(t, s, content(30, 90))
	Same(t, s, content(11, 100))
	if got := s.Encodings(aplomb.Sum(gone)); got != (blob.Encodings{}) {
		t.Errorf("Encodings of a collected blob = %v", got)
	}
	if got := s.Encodings(aplomb.Sum(kept)); got[blob.Brotli] != better || got[blob.Gzip].Level != 6 {
		t.Errorf("Encodings of a kept blob = %v", got)
	}
}

func lease(t *testing.T, open Open) {
	s := opened(t, open).Store
	c := content(1, 1000)
	Put(t, s, c)
	first, second := begin(t, s), begin(t, s)
	for _, b := range []blob.Batch{first, second} {
		if got := mustCollect(t, s, keepOnly(), time.Now().Add(later)); got != (blob.Collected{Skipped: true}) {
			t.Errorf("Collect with an open batch = %+v, want it skipped", got)
		}
		b.Close()
	}
	Same(t, s, c)
	if got := mustCollect(t, s, keepOnly(), time.Now().Add(later)); got.Blobs != 1 || got.Skipped {
		t.Errorf("Collect after the batches = %+v, want one blob", got)
	}
}

// collectRace has uploads begin while Collect deletes what they want. Each asks what is missing under its lease, puts
// that, and must then find all of it.
func collectRace(t *testing.T, open Open) {
	s := opened(t, open).Store
	var contents [][]byte
	var refs []blob.Ref
	for i := range 150 {
		c := content(i, 100+i)
		contents, refs = append(contents, c), append(refs, Ref(c))
	}
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				mustCollect(t, s, keepOnly(), time.Now().Add(later))
			}
		}
	})
	defer collector.Wait()
	defer close(stop)
	for range 15 {
		upload(t, s, contents, refs)
	}
}

func upload(t *testing.T, s blob.Store, contents [][]byte, refs []blob.Ref) {
	t.Helper()
	b := begin(t, s)
	defer b.Close()
	lacks := map[blob.Ref]bool{}
	for _, ref := range s.Missing(refs) {
		lacks[ref] = true
	}
	for i, c := range contents {
		if !lacks[refs[i]] {
			continue
		}
		if err := b.Put(refs[i], bytes.NewReader(c)); err != nil {
			t.Fatalf("Put = %v", err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatalf("Commit = %v", err)
	}
	for _, c := range contents {
		Same(t, s, c)
	}
}

func twoBatches(t *testing.T, open Open) {
	s := opened(t, open).Store
	var contents [][]byte
	for i := range 100 {
		contents = append(contents, content(i, 1000))
	}
	var uploads sync.WaitGroup
	for range 4 {
		uploads.Go(func() {
			Put(t, s, contents...)
			for _, c := range contents {
				Same(t, s, c)
			}
		})
	}
	uploads.Wait()
	if got := mustCollect(t, s, keepOnly(), time.Now().Add(later)); got.Blobs != len(contents) {
		t.Errorf("Collect = %+v, want each blob once", got)
	}
}

func contexts(t *testing.T, open Open) {
	s := opened(t, open).Store
	Put(t, s, content(1, 1000))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Begin(ctx)
	_, cerr := s.Collect(ctx, keepOnly(), time.Now())
	_, serr := s.Scrub(ctx)
	for what, err := range map[string]error{"Begin": err, "Collect": cerr, "Scrub": serr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s after the context ended = %v", what, err)
		}
	}
	Same(t, s, content(1, 1000))
}
