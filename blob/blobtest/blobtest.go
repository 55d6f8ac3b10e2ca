// Package blobtest holds what every blob store promises, as tests. It knows nothing of how a store keeps its bytes.
package blobtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"aplomb"
	"aplomb/blob"
)

// Subject is a store under test.
type Subject struct {
	Store blob.Store
	// Damage changes the stored bytes of a blob behind the store's back; nil from change deletes them.
	Damage func(d aplomb.Digest, change func([]byte) []byte)
}

// Open opens an empty store that ends with the test.
type Open func(t *testing.T, onDamage func(blob.Damage)) Subject

// Run checks that the stores open returns keep the contract of blob.Store.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		promise string
		check   func(*testing.T, Open)
	}{
		{"what is committed is read back", readBack},
		{"what is not committed is not there", uncommitted},
		{"only the exact bytes are taken", exactBytes},
		{"a batch goes on after wrong bytes", goesOn},
		{"a blob held already is checked and not kept twice", heldAlready},
		{"missing names what is not held whole, once", missing},
		{"a damaged blob is never served and is named once", damaged},
		{"a blob damaged after it was served is found by scrub", scrubbed},
		{"putting a damaged blob again heals it", healed},
		{"a damaged form is no form any more", damagedForm},
		{"a higher level replaces a lower one", levels},
		{"forms whose blobs are not there are refused", strangeForms},
		{"collect deletes what nobody keeps", collect},
		{"collect spares what is young or was found present", grace},
		{"forms live as long as their blob", formsKept},
		{"collect does nothing while a batch is open", lease},
		{"a batch and collect at once lose nothing", collectRace},
		{"two batches with the same blob are both right", twoBatches},
		{"an ended context ends long work", contexts},
	} {
		t.Run(strings.ReplaceAll(c.promise, " ", "-"), func(t *testing.T) {
			t.Parallel()
			c.check(t, open)
		})
	}
}

// Ref returns the ref of b.
func Ref(b []byte) blob.Ref { return blob.Ref{Digest: aplomb.Sum(b), Size: int64(len(b))} }

// Put commits blobs in one batch.
func Put(t testing.TB, s blob.Store, contents ...[]byte) {
	t.Helper()
	b := begin(t, s)
	defer b.Close()
	for _, c := range contents {
		if err := b.Put(Ref(c), bytes.NewReader(c)); err != nil {
			t.Fatalf("Put = %v", err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatalf("Commit = %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatalf("Close of a batch = %v", err)
	}
}

// Same checks that a blob is served as want.
func Same(t testing.TB, s blob.Reader, want []byte) {
	t.Helper()
	f, size, err := s.Open(aplomb.Sum(want))
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, want) || size != int64(len(want)) {
		t.Fatalf("blob of %d bytes reads as %d bytes, size %d, %v", len(want), len(got), size, err)
	}
}

func begin(t testing.TB, s blob.Store) blob.Batch {
	t.Helper()
	b, err := s.Begin(t.Context())
	if err != nil {
		t.Fatalf("Begin = %v", err)
	}
	return b
}

// content returns n bytes that differ by seed.
func content(seed, n int) []byte {
	b := make([]byte, 0, n+32)
	for len(b) < n {
		b = fmt.Appendf(b, "%d %d;", seed, len(b))
	}
	return b[:n]
}

func opened(t *testing.T, open Open) Subject {
	t.Helper()
	return open(t, func(d blob.Damage) { t.Errorf("damage told of a whole store: %+v", d) })
}

func wantKind(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s = %v, want kind %q", what, err, kind)
	}
}

// sizes are those around which stores change how they write.
var sizes = []int{0, 1, 511, 30_000, 256<<10 - 1, 256 << 10, 256<<10 + 1, 3 << 20}

func readBack(t *testing.T, open Open) {
	s := opened(t, open).Store
	var contents [][]byte
	for i, n := range sizes {
		contents = append(contents, content(i, n))
	}
	Put(t, s, contents...)
	for _, c := range contents {
		Same(t, s, c)
	}
	f, _, err := s.Open(aplomb.Sum(contents[3]))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := iotest.TestReader(f, contents[3]); err != nil {
		t.Errorf("an open blob does not read, seek and read at as it should: %v", err)
	}
}

func uncommitted(t *testing.T, open Open) {
	s := opened(t, open).Store
	c := content(1, 1000)
	b := begin(t, s)
	if err := b.Put(Ref(c), bytes.NewReader(c)); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Open(aplomb.Sum(c))
	wantKind(t, "Open before Commit", err, aplomb.ErrNotFound)
	if got := s.Missing([]blob.Ref{Ref(c)}); len(got) != 1 {
		t.Errorf("Missing before Commit = %v, want the blob", got)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	_, _, err = s.Open(aplomb.Sum(c))
	wantKind(t, "Open after Close", err, aplomb.ErrNotFound)
	if b.Put(Ref(c), bytes.NewReader(c)) == nil || b.Commit() == nil {
		t.Error("a closed batch takes blobs")
	}
}

func exactBytes(t *testing.T, open Open) {
	s := opened(t, open).Store
	b := begin(t, s)
	defer b.Close()
	broken := errors.New("broken")
	for _, n := range sizes {
		c := content(2, n)
		put := func(ref blob.Ref, r io.Reader) error { return b.Put(ref, r) }
		if n > 0 {
			wantKind(t, "Put of one byte too few", put(Ref(c), bytes.NewReader(c[:n-1])), aplomb.ErrInvalid)
			wantKind(t, "Put of nothing", put(Ref(c), bytes.NewReader(nil)), aplomb.ErrInvalid)
			other := bytes.Clone(c)
			other[n-1]++
			wantKind(t, "Put of other bytes", put(Ref(c), bytes.NewReader(other)), aplomb.ErrInvalid)
		}
		more := append(bytes.Clone(c), 'x')
		wantKind(t, "Put of one byte too many", put(Ref(c), bytes.NewReader(more)), aplomb.ErrInvalid)
		wrong := blob.Ref{Digest: aplomb.Sum(c), Size: int64(n) + 1}
		wantKind(t, "Put with a wrong size", put(wrong, bytes.NewReader(c)), aplomb.ErrInvalid)
		err := put(Ref(more), io.MultiReader(bytes.NewReader(c), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || errors.Is(err, aplomb.ErrInvalid) {
			t.Errorf("Put from a reader that breaks = %v, want its error", err)
		}
	}
	wantKind(t, "Put with a negative size", b.Put(blob.Ref{Size: -1}, bytes.NewReader(nil)), aplomb.ErrInvalid)
	if err := b.Commit(); err != nil {
		t.Fatalf("Commit = %v", err)
	}
	for _, n := range sizes {
		_, _, err := s.Open(aplomb.Sum(content(2, n)))
		wantKind(t, "Open of what was refused", err, aplomb.ErrNotFound)
	}
}

func goesOn(t *testing.T, open Open) {
	s := opened(t, open).Store
	b := begin(t, s)
	defer b.Close()
	large, small, last := content(1, 300<<10), content(1, 300), content(2, 300)
	for _, c := range [][]byte{large, small} {
		wantKind(t, "Put", b.Put(Ref(c), bytes.NewReader(c[1:])), aplomb.ErrInvalid)
		if err := b.Put(Ref(c), iotest.HalfReader(bytes.NewReader(c))); err != nil {
			t.Fatalf("Put after a refused one = %v", err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(Ref(last), iotest.DataErrReader(bytes.NewReader(last))); err != nil {
		t.Fatalf("Put after Commit = %v", err)
	}
	if err := b.Commit(); err != nil {
		t.Fatalf("second Commit = %v", err)
	}
	for _, c := range [][]byte{large, small, last} {
		Same(t, s, c)
	}
}

func heldAlready(t *testing.T, open Open) {
	s := opened(t, open).Store
	for _, n := range []int{300, 300 << 10} {
		c := content(n, n)
		Put(t, s, c, c)
		Put(t, s, c)
		b := begin(t, s)
		defer b.Close()
		wantKind(t, "Put of wrong bytes for a held blob", b.Put(Ref(c), bytes.NewReader(c[1:])), aplomb.ErrInvalid)
		Same(t, s, c)
	}
}

func missing(t *testing.T, open Open) {
	told := 0
	x := open(t, func(blob.Damage) { told++ })
	s := x.Store
	held, absent, gone, short := content(1, 100), content(2, 100), content(3, 100), content(4, 100)
	Put(t, s, held, gone, short)
	x.Damage(aplomb.Sum(gone), func([]byte) []byte { return nil })
	x.Damage(aplomb.Sum(short), func(b []byte) []byte { return b[:50] })
	got := s.Missing([]blob.Ref{Ref(held), Ref(absent), Ref(gone), Ref(absent), Ref(short), Ref(held)})
	if want := []blob.Ref{Ref(absent), Ref(gone), Ref(short)}; !slices.Equal(got, want) {
		t.Errorf("Missing = %v, want %v", got, want)
	}
	lie := blob.Ref{Digest: aplomb.Sum(held), Size: 99}
	if got := s.Missing([]blob.Ref{Ref(held), lie, lie}); !slices.Equal(got, []blob.Ref{lie}) {
		t.Errorf("Missing = %v, want the ref with the wrong size", got)
	}
	if got := s.Missing(nil); len(got) != 0 {
		t.Errorf("Missing of nothing = %v", got)
	}
	if told != 1 {
		t.Errorf("damage told %d times, want once: the deleted one", told)
	}
	Put(t, s, gone, short)
	Same(t, s, gone)
	Same(t, s, short)
}

// damages are the ways in which stored bytes go wrong.
var damages = map[string]func([]byte) []byte{
	"bit flipped": func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
	"cut short":   func(b []byte) []byte { return b[:len(b)-1] },
	"longer":      func(b []byte) []byte { return append(b, 0) },
	"emptied":     func([]byte) []byte { return []byte{} },
	"zeroed":      func(b []byte) []byte { clear(b); return b },
	"deleted":     func([]byte) []byte { return nil },
}

func damaged(t *testing.T, open Open) {
	for how, change := range damages {
		t.Run(strings.ReplaceAll(how, " ", "-"), func(t *testing.T) {
			var told atomic.Int64
			c, other := content(1, 100_000), content(2, 100)
			x := open(t, func(d blob.Damage) {
				told.Add(1)
				if d.Digest != aplomb.Sum(c) || d.File == "" || d.Why == "" {
					t.Errorf("damage told = %+v, want digest, file and reason", d)
				}
			})
			Put(t, x.Store, c, other)
			x.Damage(aplomb.Sum(c), change)
			var readers sync.WaitGroup
			for range 8 {
				readers.Go(func() {
					_, _, err := x.Store.Open(aplomb.Sum(c))
					wantKind(t, "Open of a damaged blob", err, aplomb.ErrDamaged)
				})
			}
			readers.Wait()
			if got := x.Store.Missing([]blob.Ref{Ref(c)}); len(got) != 1 {
				t.Errorf("Missing = %v, want the damaged blob", got)
			}
			if told.Load() != 1 {
				t.Errorf("damage told %d times, want once", told.Load())
			}
			Same(t, x.Store, other)
		})
	}
}

func scrubbed(t *testing.T, open Open) {
	told := 0
	x := open(t, func(blob.Damage) { told++ })
	c, other := content(1, 50_000), content(2, 50_000)
	Put(t, x.Store, c, other)
	Same(t, x.Store, c)
	if got, err := x.Store.Scrub(t.Context()); len(got) != 0 || err != nil {
		t.Fatalf("Scrub of a whole store = %v, %v", got, err)
	}
	x.Damage(aplomb.Sum(c), damages["bit flipped"])
	got, err := x.Store.Scrub(t.Context())
	if err != nil || len(got) != 1 || got[0].Digest != aplomb.Sum(c) {
		t.Fatalf("Scrub = %v, %v, want the damaged blob", got, err)
	}
	if got, err := x.Store.Scrub(t.Context()); len(got) != 0 || err != nil || told != 1 {
		t.Errorf("Scrub again = %v, %v and told %d times, want nothing new", got, err, told)
	}
	_, _, err = x.Store.Open(aplomb.Sum(c))
	wantKind(t, "Open", err, aplomb.ErrDamaged)
	Same(t, x.Store, other)
}

func healed(t *testing.T, open Open) {
	var told []blob.Damage
	x := open(t, func(d blob.Damage) { told = append(told, d) })
	c := content(1, 1000)
	for round := range 2 {
		Put(t, x.Store, c)
		Same(t, x.Store, c)
		if got := x.Store.Missing([]blob.Ref{Ref(c)}); len(got) != 0 {
			t.Errorf("Missing after healing = %v", got)
		}
		x.Damage(aplomb.Sum(c), damages["cut short"])
		_, _, err := x.Store.Open(aplomb.Sum(c))
		wantKind(t, "Open", err, aplomb.ErrDamaged)
		if len(told) != round+1 {
			t.Fatalf("told %d damages in round %d", len(told), round)
		}
	}
}

// form puts content as an encoded form and returns its record.
func form(t *testing.T, s blob.Store, level int, content []byte) blob.Encoded {
	t.Helper()
	Put(t, s, content)
	return blob.Encoded{Digest: aplomb.Sum(content), Size: int64(len(content)), Level: level}
}

func record(t *testing.T, s blob.Store, of aplomb.Digest, e blob.Encodings) {
	t.Helper()
	if err := s.PutEncodings(map[aplomb.Digest]blob.Encodings{of: e}); err != nil {
		t.Fatalf("PutEncodings = %v", err)
	}
}

func damagedForm(t *testing.T, open Open) {
	x := open(t, func(blob.Damage) {})
	c := content(1, 1000)
	Put(t, x.Store, c)
	br, gz := form(t, x.Store, 5, content(2, 200)), form(t, x.Store, 6, content(3, 300))
	record(t, x.Store, aplomb.Sum(c), blob.Encodings{blob.Brotli: br, blob.Gzip: gz})
	x.Damage(br.Digest, damages["zeroed"])
	_, _, err := x.Store.Open(br.Digest)
	wantKind(t, "Open", err, aplomb.ErrDamaged)
	if got, want := x.Store.Encodings(aplomb.Sum(c)), (blob.Encodings{blob.Gzip: gz}); got != want {
		t.Errorf("Encodings = %v, want gzip alone", got)
	}
}

func levels(t *testing.T, open Open) {
	s := opened(t, open).Store
	c := content(1, 1000)
	Put(t, s, c)
	if got := s.Encodings(aplomb.Sum(c)); got != (blob.Encodings{}) {
		t.Errorf("Encodings of a blob without = %v", got)
	}
	low, high, gz := form(t, s, 5, content(2, 200)), form(t, s, 11, content(3, 190)), form(t, s, 6, content(4, 300))
	record(t, s, aplomb.Sum(c), blob.Encodings{blob.Brotli: low, blob.Gzip: gz})
	record(t, s, aplomb.Sum(c), blob.Encodings{blob.Brotli: high})
	record(t, s, aplomb.Sum(c), blob.Encodings{blob.Brotli: low})
	if got, want := s.Encodings(aplomb.Sum(c)), (blob.Encodings{blob.Brotli: high, blob.Gzip: gz}); got != want {
		t.Errorf("Encodings = %v, want %v", got, want)
	}
}

func strangeForms(t *testing.T, open Open) {
	s := opened(t, open).Store
	c := content(1, 1000)
	Put(t, s, c)
	strange := blob.Encodings{blob.Zstd: {Digest: aplomb.Digest{7}, Size: 7, Level: 3}}
	err := s.PutEncodings(map[aplomb.Digest]blob.Encodings{aplomb.Sum(c): strange})
	wantKind(t, "PutEncodings of a form that was not put", err, aplomb.ErrNotFound)
	if got := s.Encodings(aplomb.Sum(c)); got != (blob.Encodings{}) {
		t.Errorf("Encodings = %v, want none", got)
	}
}
