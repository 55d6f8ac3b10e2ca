package release

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"aplomb"
	"aplomb/blob"
)

// A stream of blobs is, for each blob, its digest (32 bytes), its size (8 bytes, big endian) and its bytes; a zero
// digest with size zero ends it, so that a cut stream is never taken for a whole one.
const frameBytes = len(aplomb.Digest{}) + 8

// WriteBlob appends one blob to a stream; r must hold exactly ref.Size bytes.
func WriteBlob(w io.Writer, ref blob.Ref, r io.Reader) error {
	var head [frameBytes]byte
	copy(head[:], ref.Digest[:])
	binary.BigEndian.PutUint64(head[len(ref.Digest):], uint64(ref.Size))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(r, ref.Size))
	if err != nil {
		return err
	}
	if n != ref.Size {
		return fmt.Errorf("blob %s has %d bytes, not %d: %w", ref.Digest.Short(), n, ref.Size, io.ErrUnexpectedEOF)
	}
	return nil
}

// EndStream ends a stream.
func EndStream(w io.Writer) error {
	_, err := w.Write(make([]byte, frameBytes))
	return err
}

// readStream reads a stream and calls put for each blob with a reader of exactly its bytes; put must read them all. An
// error that stems from the stream's form is of kind aplomb.ErrInvalid.
func readStream(r io.Reader, put func(blob.Ref, io.Reader) error) error {
	br := bufio.NewReaderSize(r, 256<<10)
	for {
		var head [frameBytes]byte
		if _, err := io.ReadFull(br, head[:]); err != nil {
			return fmt.Errorf("the stream ends early (%w): %w", err, aplomb.ErrInvalid)
		}
		var ref blob.Ref
		copy(ref.Digest[:], head[:])
		size := binary.BigEndian.Uint64(head[len(ref.Digest):])
		if ref.Digest.IsZero() && size == 0 {
			return nil
		}
		if size > 1<<62 {
			return fmt.Errorf("blob %s says it has %d bytes: %w", ref.Digest.Short(), size, aplomb.ErrInvalid)
		}
		ref.Size = int64(size)
		if err := put(ref, io.LimitReader(br, ref.Size)); err != nil {
			return err
		}
	}
}
