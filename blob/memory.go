package blob

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"aplomb"
)

// Memory is a store without a disk, for tests of other parts. It keeps what the contract says, durability apart.
type Memory struct {
	// OnDamage is told of each damaged blob once. It is set before the store is used.
	OnDamage func(Damage)

	// mu guards the rest
	mu     sync.RWMutex
	blobs  map[aplomb.Digest]memoryBlob
	forms  map[aplomb.Digest]Encodings
	leases int
}

type memoryBlob struct {
	bytes   []byte
	seen    time.Time
	hashed  bool
	damaged bool
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{blobs: map[aplomb.Digest]memoryBlob{}, forms: map[aplomb.Digest]Encodings{}}
}

// Damage changes a stored blob, as a failing disk would: its bytes are replaced by what change returns, nil for none.
// The next Open hashes it again.
func (m *Memory) Damage(d aplomb.Digest, change func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.blobs[d]; ok {
		b.bytes, b.hashed = change(bytes.Clone(b.bytes)), false
		m.blobs[d] = b
	}
}

type memoryFile struct{ *bytes.Reader }

// Close implements File.
func (memoryFile) Close() error { return nil }

// Open implements Reader.
func (m *Memory) Open(d aplomb.Digest) (File, int64, error) {
	if _, err := m.examine(d, false); err != nil {
		return nil, 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	b, ok := m.blobs[d]
	if !ok {
		return nil, 0, fmt.Errorf("blob %s: %w", d.Short(), aplomb.ErrNotFound)
	}
	return memoryFile{bytes.NewReader(b.bytes)}, int64(len(b.bytes)), nil
}

// examine hashes a blob that was not hashed before, or any with anew.
func (m *Memory) examine(d aplomb.Digest, anew bool) (Damage, error) {
	m.mu.Lock()
	b, ok := m.blobs[d]
	damage := Damage{Digest: d, File: "memory"}
	switch {
	case !ok:
		m.mu.Unlock()
		return Damage{}, fmt.Errorf("blob %s: %w", d.Short(), aplomb.ErrNotFound)
	case b.damaged:
		m.mu.Unlock()
		return Damage{}, fmt.Errorf("blob %s: %w", d.Short(), aplomb.ErrDamaged)
	case b.hashed && !anew:
		m.mu.Unlock()
		return Damage{}, nil
	case b.bytes == nil:
		damage.Why = "its file is gone"
	default:
		if sum := aplomb.Sum(b.bytes); sum != d {
			damage.Why = mismatch(sum, int64(len(b.bytes)))
		}
	}
	b.hashed, b.damaged = true, damage.Why != ""
	m.blobs[d] = b
	if b.damaged {
		m.dropForm(d)
	}
	m.mu.Unlock()
	if !b.damaged {
		return Damage{}, nil
	}
	if m.OnDamage != nil {
		m.OnDamage(damage)
	}
	return damage, fmt.Errorf("blob %s: %w: %s", d.Short(), aplomb.ErrDamaged, damage.Why)
}

func (m *Memory) dropForm(form aplomb.Digest) {
	for source, forms := range m.forms {
		for c := range forms {
			if forms[c].Digest == form {
				forms[c] = Encoded{}
			}
		}
		m.forms[source] = forms
	}
}

// Encodings implements Reader.
func (m *Memory) Encodings(d aplomb.Digest) Encodings {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.forms[d]
}

// Missing implements Store.
func (m *Memory) Missing(want []Ref) []Ref {
	var missing []Ref
	told := map[aplomb.Digest]bool{}
	for ref := range distinct(want) {
		if !m.holds(ref) && !told[ref.Digest] {
			told[ref.Digest] = true
			missing = append(missing, ref)
		}
	}
	return missing
}

func (m *Memory) holds(ref Ref) bool {
	m.mu.Lock()
	b, ok := m.blobs[ref.Digest]
	holds := ok && !b.damaged && b.bytes != nil && int64(len(b.bytes)) == ref.Size
	if holds {
		b.seen = time.Now()
		m.blobs[ref.Digest] = b
	}
	m.mu.Unlock()
	if ok && b.bytes == nil {
		_, _ = m.examine(ref.Digest, false) // names it
	}
	return holds
}

// Begin implements Store.
func (m *Memory) Begin(ctx context.Context) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("begin batch: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leases++
	return &memoryBatch{m: m, put: map[aplomb.Digest][]byte{}}, nil
}

// PutEncodings implements Store.
func (m *Memory) PutEncodings(of map[aplomb.Digest]Encodings) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	has := func(d aplomb.Digest) bool {
		b, ok := m.blobs[d]
		return ok && !b.damaged
	}
	if err := checkForms(of, has); err != nil {
		return fmt.Errorf("record encoded forms: %w", err)
	}
	for d, more := range of {
		forms := m.forms[d]
		forms.merge(more)
		m.forms[d] = forms
	}
	return nil
}

// Collect implements Store.
func (m *Memory) Collect(ctx context.Context, keep func(aplomb.Digest) bool, olderThan time.Time) (Collected, error) {
	if err := ctx.Err(); err != nil {
		return Collected{}, fmt.Errorf("collect blobs: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leases > 0 {
		return Collected{Skipped: true}, nil
	}
	going := map[aplomb.Digest]int64{}
	for d, b := range m.blobs {
		if !keep(d) && b.seen.Before(olderThan) {
			going[d] = int64(len(b.bytes))
		}
	}
	spareForms(m.forms, func(d aplomb.Digest) bool { _, ok := m.blobs[d]; return ok }, going)
	var done Collected
	for d, size := range going {
		if !m.blobs[d].damaged {
			done.Blobs++
			done.Bytes += size
		}
		delete(m.blobs, d)
		delete(m.forms, d)
	}
	return done, nil
}

// Scrub implements Store.
func (m *Memory) Scrub(ctx context.Context) ([]Damage, error) {
	m.mu.RLock()
	all := slices.Collect(maps.Keys(m.blobs))
	m.mu.RUnlock()
	var found []Damage
	for _, d := range all {
		if err := ctx.Err(); err != nil {
			return found, fmt.Errorf("scrub: %w", err)
		}
		if damage, _ := m.examine(d, true); damage != (Damage{}) {
			found = append(found, damage)
		}
	}
	return found, nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }

type memoryBatch struct {
	m      *Memory
	put    map[aplomb.Digest][]byte
	closed bool
}

// Put implements Batch.
func (b *memoryBatch) Put(ref Ref, r io.Reader) error {
	if b.closed {
		return fmt.Errorf("put blob %s: %w", ref.Digest.Short(), os.ErrClosed)
	}
	p, err := io.ReadAll(io.LimitReader(r, ref.Size+1))
	if err == nil {
		err = io.EOF // as whoever reads into a buffer gets it
	}
	switch {
	case !atEnd(err) || int64(len(p)) != ref.Size:
		err = readError(ref, int64(len(p)), err)
	case aplomb.Sum(p) != ref.Digest:
		err = fmt.Errorf("%w: the bytes have the sha-256 %s", aplomb.ErrInvalid, aplomb.Sum(p))
	default:
		err = nil
	}
	if err != nil {
		return fmt.Errorf("put blob %s: %w", ref.Digest.Short(), err)
	}
	if !b.m.holds(ref) {
		b.put[ref.Digest] = p
	}
	return nil
}

// Commit implements Batch.
func (b *memoryBatch) Commit() error {
	if b.closed {
		return fmt.Errorf("commit blobs: %w", os.ErrClosed)
	}
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	for d, p := range b.put {
		b.m.blobs[d] = memoryBlob{bytes: p, seen: time.Now(), hashed: true}
	}
	clear(b.put)
	return nil
}

// Close implements Batch.
func (b *memoryBatch) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.m.leases--
	return nil
}
