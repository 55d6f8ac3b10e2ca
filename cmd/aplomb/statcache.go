package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aplomb"
)

// stamp is what tells one state of a file from another without reading it.
type stamp struct {
	size, mtime, ctime int64
	inode              uint64
}

// settled is how long a file must have lain unchanged before it is read for its digest to be trusted later. A file system's
// clock moves in steps of some milliseconds: within one step a second change leaves no trace in the stamp.
const settled = 100 * time.Millisecond

// trusted reports whether a digest made of bytes read from at on still holds while the stamp stays the same.
func (s stamp) trusted(at time.Time) bool {
	return at.UnixNano()-max(s.mtime, s.ctime) >= int64(settled)
}

// known is a file whose digest was computed before. Lists of known files are sorted by path.
type known struct {
	path   string
	stamp  stamp
	digest aplomb.Digest
}

// statCacheMagic begins the file. The version is part of it: another format is no cache.
const statCacheMagic = "aplomb stat 1\n"

// statCachePath returns where the digests of a folder are kept.
func statCachePath(cacheDir, folder string) string {
	sum := sha256.Sum256([]byte(folder))
	return filepath.Join(cacheDir, "aplomb", "stat", hex.EncodeToString(sum[:16]))
}

// loadStatCache reads what was kept. A cache that is absent, damaged or of another format is empty: it costs time and
// nothing else.
func loadStatCache(file string) []known {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	list, err := parseStatCache(string(b))
	if err != nil {
		return nil
	}
	return list
}

// parseStatCache reads the format. Its paths share the memory of s.
func parseStatCache(s string) ([]known, error) {
	body, ok := strings.CutPrefix(s, statCacheMagic)
	if !ok || len(body) < 4 {
		return nil, errors.New("stat cache: not of this format")
	}
	sum := binary.LittleEndian.Uint32([]byte(body[len(body)-4:]))
	body = body[:len(body)-4]
	if crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, errors.New("stat cache: the checksum is wrong")
	}
	list := make([]known, 0, len(body)/80)
	for len(body) > 0 {
		k, rest, err := parseKnown(body)
		if err != nil {
			return nil, err
		}
		if n := len(list); n > 0 && list[n-1].path >= k.path {
			return nil, errors.New("stat cache: the paths are not in order")
		}
		list, body = append(list, k), rest
	}
	return list, nil
}

// knownFixed is the size of an entry's part of fixed size.
const knownFixed = 4 + 4*8 + len(aplomb.Digest{})

func parseKnown(s string) (known, string, error) {
	if len(s) < knownFixed {
		return known{}, "", errors.New("stat cache: an entry is cut off")
	}
	word := func(i int) uint64 {
		return uint64(leUint32(s[4+8*i:])) | uint64(leUint32(s[8+8*i:]))<<32
	}
	k := known{stamp: stamp{size: int64(word(0)), mtime: int64(word(1)), ctime: int64(word(2)), inode: word(3)}}
	copy(k.digest[:], s[4+4*8:])
	n := int(leUint32(s))
	if n > len(s)-knownFixed {
		return known{}, "", errors.New("stat cache: a path is cut off")
	}
	k.path = s[knownFixed : knownFixed+n]
	return k, s[knownFixed+n:], nil
}

func leUint32(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// appendStatCache writes the format; list is sorted by path.
func appendStatCache(b []byte, list []known) []byte {
	start := len(b) + len(statCacheMagic)
	b = append(b, statCacheMagic...)
	for _, k := range list {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(k.path)))
		for _, word := range [4]uint64{uint64(k.stamp.size), uint64(k.stamp.mtime), uint64(k.stamp.ctime), k.stamp.inode} {
			b = binary.LittleEndian.AppendUint64(b, word)
		}
		b = append(b, k.digest[:]...)
		b = append(b, k.path...)
	}
	sum := crc32.Checksum(b[start:], crc32.MakeTable(crc32.Castagnoli))
	return binary.LittleEndian.AppendUint32(b, sum)
}

// saveStatCache replaces the file as a whole. It is not synced: a torn file has a wrong checksum and is no cache.
func saveStatCache(file string, list []known) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("keep digests: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".stat-*")
	if err != nil {
		return fmt.Errorf("keep digests: %w", err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(appendStatCache(nil, list)); err != nil {
		tmp.Close()
		return fmt.Errorf("keep digests: %w", err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("keep digests: %w", err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("keep digests: %w", err)
	}
	return nil
}
