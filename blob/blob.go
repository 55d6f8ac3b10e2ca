// Package blob keeps bytes named by their sha-256: put, verify, open, collect. It never serves a byte that is not what
// its name says, and knows nothing of releases.
package blob

import (
	"context"
	"io"
	"time"

	"aplomb"
)

// Coding is a content coding under which a blob's bytes can be kept a second time.
type Coding uint8

// The codings, in the order in which the edge prefers them.
const (
	Brotli Coding = iota
	Zstd
	Gzip
	NumCodings
)

// Encoded names the blob that holds another blob's bytes under a coding.
type Encoded struct {
	Digest aplomb.Digest
	Size   int64
	Level  int // the encoder's level, so that a better one can replace it; 0 means there is none
}

// Encodings are the encoded forms of one blob, by Coding.
type Encodings [NumCodings]Encoded

// File is an open blob. Files of a disk store are *os.File, so that net/http can use sendfile.
type File interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
}

// Ref names a blob and its size.
type Ref struct {
	Digest aplomb.Digest
	Size   int64
}

// Damage is a blob that is not what its name says.
type Damage struct {
	Digest aplomb.Digest
	File   string // where it was set aside, or the file that could not be read
	Why    string
}

// Reader is the part of a store that an edge needs. Safe for concurrent use.
type Reader interface {
	// Open returns a blob and its size, read from the start. The first open of each blob after a start hashes it,
	// unless it was put, and thereby hashed, since. A blob that is absent gives an error of kind aplomb.ErrNotFound, a
	// damaged one of kind aplomb.ErrDamaged (it is set aside, named once to OnDamage, and never served; putting it
	// again heals it). A file that was deleted behind the store's back counts as damaged.
	Open(d aplomb.Digest) (File, int64, error)

	// Encodings returns what encoded forms there are of d; the zero value when there are none. It costs a map look-up.
	Encodings(d aplomb.Digest) Encodings
}

// Store is a blob store. Safe for concurrent use; one process at a time opens a store.
type Store interface {
	Reader

	// Missing returns the refs of want that the store does not hold whole: absent, of another size, or damaged. It looks at
	// each file's presence and size, not at its bytes. Refs that name the same blob are returned once. What it reports
	// as present stays so as long as a batch is open that was open before.
	Missing(want []Ref) []Ref

	// Begin opens a batch, which is also a lease: until it is closed, Collect deletes nothing. It waits while Collect
	// deletes a few blobs.
	Begin(ctx context.Context) (Batch, error)

	// PutEncodings records encoded forms, whose blobs were put and committed before; otherwise it records nothing and
	// returns an error of kind aplomb.ErrNotFound. For each coding the higher level stays. Losing them loses nothing but
	// time.
	PutEncodings(of map[aplomb.Digest]Encodings) error

	// Collect deletes the blobs for which keep is false and that were put, or found present by Missing or Put, before
	// olderThan. Encoded forms of a blob that stays, stay; those of a blob that is gone are blobs like others. It does
	// nothing, and says so with Skipped, while a batch is open; a batch that begins while it runs ends it.
	Collect(ctx context.Context, keep func(aplomb.Digest) bool, olderThan time.Time) (Collected, error)

	// Scrub hashes every blob, slowly, and returns those found damaged, which are set aside.
	Scrub(ctx context.Context) ([]Damage, error)

	Close() error
}

// Batch is a set of blobs being put. Not safe for concurrent use.
type Batch interface {
	// Put reads r to its end, which must come after exactly ref.Size bytes, checks their digest and keeps them aside.
	// Putting a blob that the store holds already reads and checks the bytes and keeps nothing. An error of kind
	// aplomb.ErrInvalid means the bytes are not what ref says, and the batch can go on; one of kind aplomb.ErrNoSpace
	// that the disk is full, which may come as late as from a later Put or from Commit.
	Put(ref Ref, r io.Reader) error

	// Commit makes all that was put durable and visible: when it returns nil they survive a power failure (fsync of
	// each up to 64 files, one syncfs beyond, then the folders). More can be put and committed afterwards. After an
	// error nothing is promised and the batch can only be closed.
	Commit() error

	// Close ends the lease and drops what was not committed. It may be called twice.
	Close() error
}

// Collected says what Collect did.
type Collected struct {
	Blobs   int
	Bytes   int64
	Skipped bool // a batch was open, or began
}
