package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"aplomb"
	"aplomb/blob"
	"aplomb/blob/blobtest"
)

// javaScript returns a script as it is in use: the one that comes with Go.
func javaScript(t testing.TB) []byte {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env GOROOT: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t testing.TB, c blob.Coding, b []byte) []byte {
	t.Helper()
	var r io.Reader = brotli.NewReader(bytes.NewReader(b))
	var err error
	switch c {
	case blob.Zstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderConcurrency(1))
		if err == nil {
			defer d.Close()
		}
		r = d
	case blob.Gzip:
		r, err = gzip.NewReader(bytes.NewReader(b))
	}
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("decode %s: %v", c, err)
	}
	return plain
}

func TestEncodedFormsDecodeToTheSameBytes(t *testing.T) {
	t.Parallel()
	script := javaScript(t)
	contents := map[string][]byte{
		"empty": {}, "one byte": {'x'}, "script": script,
		"long": bytes.Repeat(script, 12<<20/len(script)), // beyond the window
		"dull": make([]byte, 1<<20),
	}
	for c := range blob.NumCodings {
		for name, plain := range contents {
			levels := []int{blob.Quick.Level(c), blob.Best.Level(c)}
			if name == "long" && c == blob.Brotli {
				levels = levels[:1] // brotli's best takes half a minute for it
			}
			for _, level := range levels {
				t.Run(fmt.Sprintf("%s-%d/%s", c, level, name), func(t *testing.T) {
					t.Parallel()
					encoded := blob.Compress(c, level, plain)
					if got := decode(t, c, encoded); !bytes.Equal(got, plain) {
						t.Errorf("%d bytes decode to %d other bytes", len(plain), len(got))
					}
				})
			}
		}
	}
}

func TestEncodingTwiceGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	script := javaScript(t)
	for c := range blob.NumCodings {
		for _, effort := range []blob.Effort{blob.Quick, blob.Best} {
			e := blob.NewEncoder(c, effort.Level(c))
			first := e.Encode(script)
			e.Encode(script[100:5000])
			if again := e.Encode(script); !bytes.Equal(first, again) {
				t.Errorf("%s level %d: a used encoder gives other bytes", c, effort.Level(c))
			}
			if fresh := blob.Compress(c, effort.Level(c), script); !bytes.Equal(first, fresh) {
				t.Errorf("%s level %d: a new encoder gives other bytes", c, effort.Level(c))
			}
		}
	}
}

func TestBestIsNoLargerThanQuick(t *testing.T) {
	t.Parallel()
	script := javaScript(t)
	for c := range blob.NumCodings {
		quick := len(blob.Compress(c, blob.Quick.Level(c), script))
		best := len(blob.Compress(c, blob.Best.Level(c), script))
		if best > quick || quick > len(script)/3 {
			t.Errorf("%s: %d bytes, quick %d, best %d", c, len(script), quick, best)
		}
	}
}

func TestOnlyWhatShrinksIsWorthEncoding(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]bool{
		"text/html; charset=utf-8": true, "text/css": true, "text/javascript": true, "TEXT/PLAIN": true,
		"application/json": true, "application/manifest+json": true, "image/svg+xml": true, "application/wasm": true,
		"image/x-icon": true, "image/vnd.microsoft.icon": true, "font/ttf": true, "font/otf": true,
		"text/html; charset": true,
		"font/woff2":         false, "font/woff": false, "image/png": false, "image/jpeg": false, "image/webp": false, "image/avif": false,
		"video/mp4": false, "application/zip": false, "application/gzip": false, "application/pdf": false,
		"application/octet-stream": false, "": false,
	} {
		if got := blob.Worth(1000, contentType); got != want {
			t.Errorf("Worth(1000, %q) = %v, want %v", contentType, got, want)
		}
	}
	for size, want := range map[int64]bool{0: false, 255: false, 256: true, 32 << 20: true, 32<<20 + 1: false} {
		if got := blob.Worth(size, "text/css"); got != want {
			t.Errorf("Worth(%d) = %v, want %v", size, got, want)
		}
	}
	for encoded, want := range map[int64]bool{950: true, 951: false, 1000: false, 1200: false, 10: true} {
		if got := blob.Better(1000, encoded); got != want {
			t.Errorf("Better(1000, %d) = %v, want %v", encoded, got, want)
		}
	}
	if blob.Better(0, 0) || blob.Better(10, 10) {
		t.Error("a form that saves nothing is called better")
	}
}

func TestEncodeRecordsFormsThatAreServed(t *testing.T) {
	t.Parallel()
	s := openDisk(t, t.TempDir(), blob.Config{})
	script := javaScript(t)
	noise := []byte(strings.Repeat("\x00", 300))
	photo := script[:5000]
	blobtest.Put(t, s, script, noise, photo)
	sources := []blob.Source{
		{Ref: blobtest.Ref(script), Type: "text/javascript"},
		{Ref: blobtest.Ref(photo), Type: "image/jpeg"},
		{Ref: blob.Ref{Digest: aplomb.Digest{1}, Size: 1000}, Type: "text/css"}, // absent
	}
	var before blob.Encodings
	for _, effort := range []blob.Effort{blob.Quick, blob.Best, blob.Quick} {
		if err := blob.Encode(t.Context(), s, sources, effort); err != nil {
			t.Fatalf("Encode = %v", err)
		}
		forms := s.Encodings(aplomb.Sum(script))
		for c, form := range forms {
			if want := effort.Level(blob.Coding(c)); form.Level < want {
				t.Fatalf("%s has level %d, want %d", blob.Coding(c), form.Level, want)
			}
			f, size, err := s.Open(form.Digest)
			if err != nil || size != form.Size {
				t.Fatalf("Open of a form = %d bytes, %v; want %d", size, err, form.Size)
			}
			b, err := io.ReadAll(f)
			f.Close()
			if err != nil || !bytes.Equal(decode(t, blob.Coding(c), b), script) {
				t.Errorf("the %s form does not decode to its blob: %v", blob.Coding(c), err)
			}
			if form.Size > before[c].Size && before[c].Size > 0 {
				t.Errorf("%s grew from %d to %d", blob.Coding(c), before[c].Size, form.Size)
			}
		}
		before = forms
	}
	if got := s.Encodings(aplomb.Sum(photo)); got != (blob.Encodings{}) {
		t.Errorf("a jpeg was encoded: %v", got)
	}
}

// noBatch is a store that takes nothing any more.
type noBatch struct {
	blob.Store
	err error
}

func (n noBatch) Begin(context.Context) (blob.Batch, error) { return nil, n.err }

func TestEncodeEndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	s := blob.NewMemory()
	var sources []blob.Source
	for i := range 50 {
		c := text(i, 10_000)
		blobtest.Put(t, s, c)
		sources = append(sources, blob.Source{Ref: blobtest.Ref(c), Type: "text/css"})
	}
	full := noBatch{s, aplomb.ErrNoSpace}
	if err := blob.Encode(t.Context(), full, sources, blob.Quick); !errors.Is(err, aplomb.ErrNoSpace) {
		t.Errorf("Encode = %v, want the store's error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := blob.Encode(ctx, s, sources, blob.Best); !errors.Is(err, context.Canceled) {
		t.Errorf("Encode = %v, want its context's end", err)
	}
}

func TestEncodeKeepsOnlyWhatIsSmaller(t *testing.T) {
	t.Parallel()
	s := blob.NewMemory()
	noise := blob.Compress(blob.Brotli, 11, javaScript(t))
	blobtest.Put(t, s, noise)
	if err := blob.Encode(t.Context(), s, []blob.Source{{Ref: blobtest.Ref(noise), Type: "text/plain"}}, blob.Best); err != nil {
		t.Fatal(err)
	}
	if got := s.Encodings(aplomb.Sum(noise)); got != (blob.Encodings{}) {
		t.Errorf("forms that are no smaller were recorded: %v", got)
	}
}
