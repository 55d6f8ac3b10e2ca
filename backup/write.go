package backup

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"aplomb"
)

// Source gives a writer what its manifest announces.
type Source interface {
	// Segment returns exactly the announced bytes of a site's segment.
	Segment(site aplomb.SiteName, name string) (io.Reader, error)
	// File returns exactly the announced bytes of a file of the machine.
	File(name string) (io.Reader, error)
	// Blob writes a blob's bytes, at most b.Size of them, and checks them against the digest while it does. An error of
	// kind aplomb.ErrNotFound or aplomb.ErrDamaged means that they are not those of the digest.
	Blob(w io.Writer, b Blob) error
	// Damage says of a blob that Blob found damaged why that is, and what is not whole without it.
	Damage(b Blob, err error) Damage
}

// bufferSize gathers small members: a write each would cost more than their bytes.
const bufferSize = 512 << 10

// Write writes a backup. A damaged blob does not end it: the closing names it, together with those that were known to be
// damaged before. The closing is returned; any error means that w holds no backup.
func Write(w io.Writer, m Manifest, src Source, known []Damage) (Closing, error) {
	if err := m.check(); err != nil {
		return Closing{}, err
	}
	out := &writer{w: bufio.NewWriterSize(w, bufferSize), m: m, src: src, seal: newSeal(), damaged: slices.Clone(known)}
	text, err := encode(m)
	if err != nil {
		return Closing{}, err
	}
	if len(text) > maxManifest {
		return Closing{}, fmt.Errorf("the list of what to back up has %d bytes, the limit is %d: %w", len(text), maxManifest, aplomb.ErrInvalid)
	}
	if err := out.text(manifestName, text); err != nil {
		return Closing{}, err
	}
	for _, p := range m.members() {
		if err := out.member(p); err != nil {
			return Closing{}, fmt.Errorf("write %s: %w", p.name, err)
		}
	}
	return out.close()
}

type writer struct {
	w       *bufio.Writer
	m       Manifest
	src     Source
	seal    seal
	damaged []Damage
}

func (o *writer) member(p member) error {
	header, err := o.header(p.name, p.size)
	if err != nil {
		return err
	}
	if !p.blob.Digest.IsZero() {
		return o.blob(header, p)
	}
	var r io.Reader
	if p.site != "" {
		r, err = o.src.Segment(p.site, p.file)
	} else {
		r, err = o.src.File(p.file)
	}
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(o.w, h), io.LimitReader(r, p.size))
	if err != nil {
		return err
	}
	if n != p.size {
		return fmt.Errorf("%d bytes instead of %d: %w", n, p.size, aplomb.ErrDamaged)
	}
	o.seal.add(header, aplomb.Digest(h.Sum(nil)))
	return o.pad(p.size)
}

// blob writes one blob. One that is damaged still takes the room that the manifest announced.
func (o *writer) blob(header []byte, p member) error {
	counted := &counter{w: o.w}
	err := o.src.Blob(counted, p.blob)
	switch {
	case errors.Is(err, aplomb.ErrDamaged), errors.Is(err, aplomb.ErrNotFound):
		o.damaged = append(o.damaged, o.src.Damage(p.blob, err))
	case err != nil:
		return err
	case counted.n != p.size:
		return fmt.Errorf("%d bytes instead of %d: %w", counted.n, p.size, aplomb.ErrInternal)
	}
	if counted.n > p.size {
		return fmt.Errorf("%d bytes instead of %d: %w", counted.n, p.size, aplomb.ErrInternal)
	}
	if err := o.zeros(p.size - counted.n); err != nil {
		return err
	}
	o.seal.add(header, aplomb.Digest{})
	return o.pad(p.size)
}

// text writes a member that is at hand.
func (o *writer) text(name string, text []byte) error {
	header, err := o.header(name, int64(len(text)))
	if err != nil {
		return err
	}
	o.seal.add(header, aplomb.Sum(text))
	if _, err := o.w.Write(text); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return o.pad(int64(len(text)))
}

func (o *writer) header(name string, size int64) ([]byte, error) {
	header, err := headerOf(name, size, o.m.At)
	if err != nil {
		return nil, err
	}
	_, err = o.w.Write(header)
	return header, err
}

func (o *writer) pad(size int64) error { return o.zeros(padded(size) - size) }

func (o *writer) zeros(n int64) error {
	var block [blockSize]byte
	for n > 0 {
		k, err := o.w.Write(block[:min(n, blockSize)])
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

// close writes the closing, and the two empty blocks with which an archive ends.
func (o *writer) close() (Closing, error) {
	slices.SortFunc(o.damaged, func(a, b Damage) int { return compare(a.Digest, b.Digest) })
	c, err := o.seal.close(o.damaged)
	if err != nil {
		return Closing{}, err
	}
	text, err := encode(c)
	if err != nil {
		return Closing{}, err
	}
	if err := o.text(closingName, text); err != nil {
		return Closing{}, err
	}
	if err := o.zeros(2 * blockSize); err != nil {
		return Closing{}, err
	}
	return c, o.w.Flush()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
