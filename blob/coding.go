package blob

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Effort is how much time encoding may take.
type Effort uint8

// The efforts: Quick while somebody waits, Best afterwards.
const (
	Quick Effort = iota
	Best
)

// Level returns the level of c that an effort uses.
func (e Effort) Level(c Coding) int {
	return [NumCodings][2]int{Brotli: {5, 11}, Zstd: {3, 19}, Gzip: {6, 9}}[c][min(e, Best)]
}

const (
	// MinEncode and MaxEncode bound the sizes that are worth encoding: below, nothing is gained; above, it takes too
	// much memory.
	MinEncode = 256
	MaxEncode = 32 << 20

	// zstdWindow is the largest window that browsers take for this content coding (RFC 9659).
	zstdWindow = 8 << 20
)

// Encoder encodes under one coding and level, and can be used again: the tables of an encoder are larger than most of
// what it encodes. Not safe for concurrent use.
type Encoder struct {
	out bytes.Buffer
	// stream is nil for zstd, which encodes whole
	stream interface {
		io.WriteCloser
		Reset(io.Writer)
	}
	zstd *zstd.Encoder
}

// NewEncoder returns an encoder. Levels are those of the brotli, zstd and gzip commands; zstd's are mapped to the nearest of
// four.
func NewEncoder(c Coding, level int) *Encoder {
	var e Encoder
	var err error
	switch c {
	case Brotli:
		e.stream = brotli.NewWriterLevel(nil, level)
	case Gzip:
		e.stream, err = gzip.NewWriterLevel(nil, level)
	case Zstd:
		e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
			zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	default:
		err = fmt.Errorf("no such coding")
	}
	if err != nil {
		panic(fmt.Sprintf("blob: encoder for %s level %d: %v", c, level, err))
	}
	return &e
}

// Encode returns src encoded: the same bytes for the same src, always.
func (e *Encoder) Encode(src []byte) []byte {
	if e.zstd != nil {
		return e.zstd.EncodeAll(src, make([]byte, 0, len(src)/3))
	}
	e.out.Reset()
	e.stream.Reset(&e.out)
	_, err := e.stream.Write(src)
	if cerr := e.stream.Close(); err != nil || cerr != nil {
		panic(fmt.Sprintf("blob: encode in memory: %v, %v", err, cerr))
	}
	return bytes.Clone(e.out.Bytes())
}

// Compress returns src encoded. Who encodes many keeps an Encoder.
func Compress(c Coding, level int, src []byte) []byte { return NewEncoder(c, level).Encode(src) }

// Worth reports whether a file of that size and Content-Type is worth encoding: text in all its forms, and binary
// formats that are not compressed in themselves.
func Worth(size int64, contentType string) bool {
	if size < MinEncode || size > MaxEncode {
		return false
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		t, _, _ = strings.Cut(contentType, ";")
		t = strings.ToLower(strings.TrimSpace(t))
	}
	if strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") {
		return true
	}
	switch t {
	case "application/javascript", "application/x-javascript", "application/ecmascript",
		"application/json", "application/x-ndjson", "application/xml", "application/wasm",
		"application/yaml", "application/toml", "application/sql", "application/graphql", "application/rtf",
		"application/vnd.ms-fontobject", "application/x-font-ttf", "application/x-font-otf",
		"font/ttf", "font/otf", "font/sfnt", "font/collection",
		"image/x-icon", "image/vnd.microsoft.icon", "image/bmp", "model/gltf-binary", "model/obj", "model/stl":
		return true
	}
	return false
}

// Better reports whether an encoded form is smaller by at least a twentieth: less is not worth the space and the
// client's time.
func Better(plain, encoded int64) bool { return encoded <= plain-plain/20 && encoded < plain }
