package blob

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"aplomb"
)

// appendRecord appends a line of the encodings file.
func appendRecord(b []byte, d aplomb.Digest, forms Encodings) []byte {
	body := []byte(d.String())
	for c, form := range forms {
		if form.Level > 0 {
			body = fmt.Appendf(body, " %s:%d:%d:%s", Coding(c), form.Level, form.Size, form.Digest)
		}
	}
	b = fmt.Appendf(b, "%08x ", crc32.ChecksumIEEE(body))
	b = append(b, body...)
	return append(b, '\n')
}

// parseRecord reads a line without its newline.
func parseRecord(line string) (aplomb.Digest, Encodings, error) {
	var forms Encodings
	sum, body, _ := strings.Cut(line, " ")
	want, err := strconv.ParseUint(sum, 16, 32)
	if err != nil || uint32(want) != crc32.ChecksumIEEE([]byte(body)) {
		return aplomb.Digest{}, forms, errors.New("wrong checksum")
	}
	name, rest, _ := strings.Cut(body, " ")
	d, err := aplomb.ParseDigest(name)
	if err != nil {
		return d, forms, err
	}
	for field := range strings.FieldsSeq(rest) {
		coding, form, err := parseForm(field)
		if err != nil {
			return d, forms, err
		}
		if coding < NumCodings { // a coding of a newer program is passed over
			forms[coding] = form
		}
	}
	return d, forms, nil
}

func parseForm(field string) (Coding, Encoded, error) {
	parts := strings.Split(field, ":")
	if len(parts) != 4 {
		return 0, Encoded{}, fmt.Errorf("form %.80q: want four parts", field)
	}
	level, err := strconv.Atoi(parts[1])
	if err != nil || level < 1 {
		return 0, Encoded{}, fmt.Errorf("form %.80q: bad level", field)
	}
	size, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || size < 0 {
		return 0, Encoded{}, fmt.Errorf("form %.80q: bad size", field)
	}
	d, err := aplomb.ParseDigest(parts[3])
	if err != nil {
		return 0, Encoded{}, err
	}
	coding := slices.Index(codingNames[:], parts[0])
	if coding < 0 {
		return NumCodings, Encoded{}, nil
	}
	return Coding(coding), Encoded{Digest: d, Size: size, Level: level}, nil
}
