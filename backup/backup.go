// Package backup is the file that a backup is: its format, one writer and one reader. It knows no store, places nothing on a
// disk and believes nothing: what a reader hands on has the name, the size and the sha-256 that the file itself promised.
//
// A backup is a tar archive without compression, so that tar and sha256sum open it where Aplomb is not at hand:
//
//	aplomb-backup.json             the manifest, first: it names every member behind it, in order, with its size
//	journal/SITE/SEGMENT.jsonl     the sites' chains of facts
//	machine.toml, …                files of the machine, where they were asked for
//	blobs/ab/SHA-256               the stored bytes, each under its digest
//	aplomb-backup-end.json         the closing, last: what was found damaged, and a sum over everything before it
//
// The manifest fixes every byte of what is not content. A reader compares all of it, so that there is no place where a
// second member, a link or a climbing path could stand.
package backup

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"aplomb"
)

// Format is the newest format of backups this program reads, and the one it writes.
const Format = 1

// Why a backup is refused.
var (
	ErrForeign   = errors.New("this is not a backup of Aplomb")
	ErrNewer     = errors.New("a newer Aplomb made this backup")
	ErrTruncated = errors.New("the backup is truncated")
	ErrAltered   = errors.New("the backup is not what was written")
)

// Manifest says what a backup holds.
type Manifest struct {
	Format  int       `json:"format"`
	Program string    `json:"program"` // the version that made it
	At      time.Time `json:"at"`      // whole seconds, UTC
	Sites   []Site    `json:"sites"`   // by name
	LeftOut []LeftOut `json:"left_out,omitempty"`
	Files   []File    `json:"files,omitempty"` // by name
	Blobs   []Blob    `json:"blobs"`           // by digest
}

// Site is a site at the position where its chain was cut.
type Site struct {
	Name     aplomb.SiteName  `json:"site"`
	Head     aplomb.Head      `json:"head"`
	Live     aplomb.ReleaseID `json:"live,omitempty"`
	Releases int              `json:"releases"` // whose bytes are kept
	Segments []File           `json:"segments"` // of its chain, oldest first
}

// LeftOut is a site that could not be backed up.
type LeftOut struct {
	Site aplomb.SiteName `json:"site"`
	Why  string          `json:"why"`
}

// File is a member that has a name.
type File struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Blob is a member that is named by its bytes.
type Blob struct {
	Digest aplomb.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// Damage is a blob whose bytes are not in the backup, because they were damaged or gone where it was made.
type Damage struct {
	Digest   aplomb.Digest `json:"digest"`
	Why      string        `json:"why"`
	Releases []string      `json:"releases"` // that are not whole without it: "shop r3"
}

// Closing is the last member.
type Closing struct {
	Damaged []Damage `json:"damaged,omitempty"` // by digest
	// SHA is the sum over the members before, each by its header and the sha-256 of its content, and over Damaged.
	SHA aplomb.Digest `json:"sha256"`
}

// The names of members that are files of the machine.
const (
	MachineFile = "machine.toml"
	TokensFile  = "tokens.json"
)

const (
	manifestName = "aplomb-backup.json"
	closingName  = "aplomb-backup-end.json"

	// maxManifest and maxClosing bound what a reader holds in memory. A manifest has about 100 bytes a blob.
	maxManifest = 512 << 20
	maxClosing  = 64 << 20
	// maxSize is the largest member that a plain tar header can tell.
	maxSize = 1<<33 - 1
)

// Size returns how long a backup with this manifest is before its closing.
func (m Manifest) Size() (int64, error) {
	text, err := encode(m)
	if err != nil {
		return 0, err
	}
	n := blockSize + padded(int64(len(text)))
	for _, p := range m.members() {
		n += blockSize + padded(p.size)
	}
	return n, nil
}

// Bytes is what the members behind the manifest hold.
func (m Manifest) Bytes() int64 {
	var n int64
	for _, p := range m.members() {
		n += p.size
	}
	return n
}

// Releases is how many releases the backup holds.
func (m Manifest) Releases() int {
	n := 0
	for _, s := range m.Sites {
		n += s.Releases
	}
	return n
}

// member is one archive member behind the manifest.
type member struct {
	name string
	size int64
	site aplomb.SiteName // of a segment
	file string          // a segment's name in its site's folder, or a file of the machine
	blob Blob            // of a blob
}

// members lists, in their order, the members behind the manifest.
func (m Manifest) members() []member {
	var all []member
	for _, s := range m.Sites {
		for _, seg := range s.Segments {
			all = append(all, member{name: "journal/" + string(s.Name) + "/" + seg.Name, size: seg.Size, site: s.Name, file: seg.Name})
		}
	}
	for _, f := range m.Files {
		all = append(all, member{name: f.Name, size: f.Size, file: f.Name})
	}
	for _, b := range m.Blobs {
		hex := b.Digest.String()
		all = append(all, member{name: "blobs/" + hex[:2] + "/" + hex, size: b.Size, blob: b})
	}
	return all
}

// check refuses a manifest that could not have been written by this package: names, order, and sums of sizes.
func (m Manifest) check() error {
	var total int64
	add := func(what string, size int64) error {
		if size < 0 || size > maxSize || total > 1<<60 {
			return fmt.Errorf("%s has a size of %d bytes: %w", what, size, ErrAltered)
		}
		total += size
		return nil
	}
	for i, s := range m.Sites {
		if _, err := aplomb.ParseSiteName(string(s.Name)); err != nil || i > 0 && m.Sites[i-1].Name >= s.Name {
			return fmt.Errorf("the name of site %.80q: %w", s.Name, ErrAltered)
		}
		if len(s.Segments) == 0 {
			return fmt.Errorf("site %s has no chain: %w", s.Name, ErrAltered)
		}
		for k, seg := range s.Segments {
			if !isSegment(seg.Name) || k > 0 && s.Segments[k-1].Name >= seg.Name {
				return fmt.Errorf("the segment %.80q of site %s: %w", seg.Name, s.Name, ErrAltered)
			}
			if err := add("a segment", seg.Size); err != nil {
				return err
			}
		}
	}
	for i, f := range m.Files {
		if !slices.Contains([]string{MachineFile, TokensFile}, f.Name) || i > 0 && m.Files[i-1].Name >= f.Name {
			return fmt.Errorf("the file %.80q: %w", f.Name, ErrAltered)
		}
		if err := add("a file", f.Size); err != nil {
			return err
		}
	}
	for i, b := range m.Blobs {
		if b.Digest.IsZero() || i > 0 && compare(m.Blobs[i-1].Digest, b.Digest) >= 0 {
			return fmt.Errorf("blob %s is out of order: %w", b.Digest.Short(), ErrAltered)
		}
		if err := add("a blob", b.Size); err != nil {
			return err
		}
	}
	if m.At.Unix() < 0 || m.At.Unix() > maxSize {
		return fmt.Errorf("the time %s: %w", m.At, ErrAltered)
	}
	return nil
}

// isSegment tells a segment's file name: twenty digits and the ending.
func isSegment(name string) bool {
	digits, ok := strings.CutSuffix(name, ".jsonl")
	return ok && len(digits) == 20 && strings.Trim(digits, "0123456789") == ""
}

func compare(a, b aplomb.Digest) int { return slices.Compare(a[:], b[:]) }
