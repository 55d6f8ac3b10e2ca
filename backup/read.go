package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"aplomb"
)

// Sink takes what a reader reads. Nothing that it is given is proved before Read has returned without an error. A sink may
// leave bytes unread.
type Sink interface {
	// Begin is given the manifest, before anything else.
	Begin(m Manifest) error
	Segment(site aplomb.SiteName, name string, r io.Reader) error
	File(name string, r io.Reader) error
	// Blob is given bytes that may not be those of the digest: then the closing names it as damaged, or Read fails.
	Blob(b Blob, r io.Reader) error
}

// Read reads a backup to its end, hands everything to sink, and compares every byte with what it must be. It fails with
// ErrForeign, ErrNewer, ErrTruncated or ErrAltered, or with an error of r or sink.
func Read(r io.Reader, sink Sink) (Manifest, Closing, error) {
	in := &reader{r: r, seal: newSeal()}
	m, _, err := in.manifest()
	if err != nil {
		return Manifest{}, Closing{}, err
	}
	if err := sink.Begin(m); err != nil {
		return m, Closing{}, err
	}
	for _, p := range m.members() {
		if err := in.member(p, sink); err != nil {
			return m, Closing{}, in.where(p.name, err)
		}
	}
	c, err := in.closing()
	if err != nil {
		return m, Closing{}, in.where("its end", err)
	}
	return m, c, nil
}

// ReadManifest reads the beginning of a backup, and returns the bytes that it read too.
func ReadManifest(r io.Reader) (Manifest, []byte, error) {
	in := &reader{r: r, seal: newSeal()}
	return in.manifest()
}

// ReadClosing reads the end of a backup, from its closing on, and returns the bytes that it read too. It does not look at
// the sum: that proves nothing without what is before it.
func ReadClosing(r io.Reader, m Manifest) (Closing, []byte, error) {
	in := &reader{r: r, seal: newSeal(), at: m.At}
	text, raw, err := in.closingText()
	if err != nil {
		return Closing{}, nil, in.where("its end", err)
	}
	var c Closing
	if err := json.Unmarshal(text, &c); err != nil {
		return Closing{}, nil, fmt.Errorf("its closing: %w: %w", ErrAltered, err)
	}
	return c, raw, nil
}

type reader struct {
	r    io.Reader
	at   time.Time // what every header carries
	seal seal
	off  int64 // bytes read
	// wrong are the blobs whose bytes are not those of their digest.
	wrong []aplomb.Digest
}

// where adds the place to an error.
func (in *reader) where(what string, err error) error {
	if errors.Is(err, ErrTruncated) || errors.Is(err, ErrAltered) {
		return fmt.Errorf("%s, at byte %d: %w", what, in.off, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (in *reader) full(b []byte) error {
	n, err := io.ReadFull(in.r, b)
	in.off += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}

// manifest reads the first member, and returns its bytes with header and padding.
func (in *reader) manifest() (Manifest, []byte, error) {
	header := make([]byte, blockSize)
	err := in.full(header)
	switch {
	case errors.Is(err, ErrTruncated) && strings.HasPrefix(string(header), manifestName):
		return Manifest{}, nil, in.where("its manifest", err)
	case err != nil && !errors.Is(err, ErrTruncated):
		return Manifest{}, nil, err
	case err != nil, !bytes.Contains(header, []byte("aplomb-backup")) && string(header[257:262]) != "ustar":
		return Manifest{}, nil, ErrForeign
	}
	size, at, err := parseFirst(header)
	if err != nil {
		if !bytes.Contains(header, []byte("plomb")) {
			return Manifest{}, nil, ErrForeign
		}
		return Manifest{}, nil, err
	}
	if size > maxManifest {
		return Manifest{}, nil, fmt.Errorf("its manifest has %d bytes, the limit is %d: %w", size, maxManifest, ErrAltered)
	}
	in.at = at
	text, err := in.text(size)
	if err != nil {
		return Manifest{}, nil, in.where("its manifest", err)
	}
	m, err := parseManifest(text, at)
	if err != nil {
		return Manifest{}, nil, err
	}
	in.seal.add(header, aplomb.Sum(text))
	return m, slices.Concat(header, text, make([]byte, padded(size)-size)), nil
}

func parseManifest(text []byte, at time.Time) (Manifest, error) {
	var format struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &format); err != nil || format.Format < 1 {
		return Manifest{}, fmt.Errorf("its manifest: %w", ErrAltered)
	}
	if format.Format > Format {
		return Manifest{}, fmt.Errorf("its format is %d, this program reads up to %d: %w", format.Format, Format, ErrNewer)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, fmt.Errorf("its manifest: %w: %w", ErrAltered, err)
	}
	if err := m.check(); err != nil {
		return Manifest{}, fmt.Errorf("its manifest: %w", err)
	}
	again, err := encode(m)
	if err != nil || !bytes.Equal(again, text) || !m.At.Equal(at) {
		return Manifest{}, fmt.Errorf("its manifest: %w", ErrAltered)
	}
	return m, nil
}

// text reads a member's content and padding. It takes memory as bytes arrive, never as a header promises.
func (in *reader) text(size int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(in.r, size))
	in.off += n
	if err != nil {
		return nil, err
	}
	if n < size {
		return nil, ErrTruncated
	}
	return b.Bytes(), in.padding(size)
}

func (in *reader) padding(size int64) error { return in.zeros(padded(size) - size) }

func (in *reader) zeros(n int64) error {
	b := make([]byte, n)
	if err := in.full(b); err != nil {
		return err
	}
	if len(bytes.Trim(b, "\x00")) > 0 {
		return ErrAltered
	}
	return nil
}

func (in *reader) header(name string, size int64) ([]byte, error) {
	want, err := headerOf(name, size, in.at)
	if err != nil {
		return nil, err
	}
	got := make([]byte, blockSize)
	if err := in.full(got); err != nil {
		return nil, err
	}
	if !bytes.Equal(got, want) {
		return nil, fmt.Errorf("its header: %w", ErrAltered)
	}
	return want, nil
}

// content reads one member's bytes, hashes them, and notices when there are too few.
type content struct {
	r    io.Reader // bounded by the member's size
	sum  io.Writer
	left int64
	err  error // of the archive
}

func (c *content) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(b[:min(int64(len(b)), c.left)])
	c.sum.Write(b[:n])
	c.left -= int64(n)
	switch {
	case err == io.EOF && c.left > 0:
		c.err = ErrTruncated
	case err != io.EOF:
		c.err = err
	}
	return n, c.err
}

func (in *reader) member(p member, sink Sink) error {
	header, err := in.header(p.name, p.size)
	if err != nil {
		return err
	}
	h := sha256.New()
	c := &content{r: in.r, sum: h, left: p.size}
	switch {
	case !p.blob.Digest.IsZero():
		err = sink.Blob(p.blob, c)
	case p.site != "":
		err = sink.Segment(p.site, p.file, c)
	default:
		err = sink.File(p.file, c)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, c) // what the sink left, so that it is hashed
	}
	in.off += p.size - c.left
	if c.err != nil {
		return c.err // whatever the sink made of it
	}
	if err != nil {
		return err
	}
	digest := aplomb.Digest(h.Sum(nil))
	if !p.blob.Digest.IsZero() {
		if digest != p.blob.Digest {
			in.wrong = append(in.wrong, p.blob.Digest)
		}
		digest = aplomb.Digest{}
	}
	in.seal.add(header, digest)
	return in.padding(p.size)
}

// closingText reads the closing's text, and the empty blocks behind which nothing may stand.
func (in *reader) closingText() (text, raw []byte, err error) {
	header := make([]byte, blockSize)
	if err := in.full(header); err != nil {
		return nil, nil, err
	}
	size, err := octal(header[124:136])
	if err != nil {
		return nil, nil, err
	}
	want, err := headerOf(closingName, size, in.at)
	if err != nil || !bytes.Equal(header, want) || size > maxClosing {
		return nil, nil, fmt.Errorf("its last header: %w", ErrAltered)
	}
	if text, err = in.text(size); err != nil {
		return nil, nil, err
	}
	if err := in.zeros(2 * blockSize); err != nil {
		return nil, nil, err
	}
	if n, err := io.ReadFull(in.r, make([]byte, 1)); n > 0 || err != io.EOF {
		if n == 0 {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("bytes behind its end: %w", ErrAltered)
	}
	return text, slices.Concat(header, text, make([]byte, padded(size)-size+2*blockSize)), nil
}

// closing compares the closing with what was read: the blobs it names as damaged, and the sum.
func (in *reader) closing() (Closing, error) {
	text, _, err := in.closingText()
	if err != nil {
		return Closing{}, err
	}
	var c Closing
	if err := json.Unmarshal(text, &c); err != nil {
		return Closing{}, fmt.Errorf("its closing: %w: %w", ErrAltered, err)
	}
	for _, d := range in.wrong {
		if !slices.ContainsFunc(c.Damaged, func(known Damage) bool { return known.Digest == d }) {
			return Closing{}, fmt.Errorf("blobs/%s/%s does not have the bytes that its name says: %w", d.String()[:2], d, ErrAltered)
		}
	}
	want, err := in.seal.close(c.Damaged)
	if err != nil {
		return Closing{}, err
	}
	if again, err := encode(want); err != nil || !bytes.Equal(again, text) {
		return Closing{}, fmt.Errorf("the sum over everything: %w", ErrAltered)
	}
	return c, nil
}
