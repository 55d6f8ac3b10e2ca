package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"

	"aplomb"
)

// blockSize is what everything in a tar archive is a multiple of.
const blockSize = 512

// padded returns the room that n bytes take in the archive.
func padded(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// headerOf returns the one header that a member may have.
func headerOf(name string, size int64, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: at, Format: tar.FormatUSTAR,
	})
	if err != nil {
		return nil, fmt.Errorf("header of %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// parseFirst reads the first header of an archive: the manifest's size and the time that all members carry.
func parseFirst(block []byte) (size int64, at time.Time, err error) {
	size, err = octal(block[124:136])
	if err != nil {
		return 0, at, err
	}
	seconds, err := octal(block[136:148])
	if err != nil {
		return 0, at, err
	}
	at = time.Unix(seconds, 0).UTC()
	want, err := headerOf(manifestName, size, at)
	if err != nil || !bytes.Equal(want, block) {
		return 0, at, fmt.Errorf("its first header: %w", ErrAltered)
	}
	return size, at, nil
}

func octal(field []byte) (int64, error) {
	n, err := strconv.ParseInt(strings.Trim(string(field), " \x00"), 8, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("its first header: %w", ErrAltered)
	}
	return n, nil
}

// encode writes a manifest or a closing as it stands in the archive.
func encode(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append(b, '\n'), nil
}

// seal is the sum over an archive: over each member's header and the sha-256 of its content, so that no byte has to be
// hashed twice. A blob counts with the zero digest: the manifest, which is in the sum, says what its bytes must be.
type seal struct{ sum hash.Hash }

func newSeal() seal { return seal{sha256.New()} }

func (s seal) add(header []byte, content aplomb.Digest) {
	s.sum.Write(header)
	s.sum.Write(content[:])
}

// close returns the closing that names damage.
func (s seal) close(damaged []Damage) (Closing, error) {
	text, err := encode(Closing{Damaged: damaged})
	if err != nil {
		return Closing{}, err
	}
	s.sum.Write(text)
	return Closing{Damaged: damaged, SHA: aplomb.Digest(s.sum.Sum(nil))}, nil
}
