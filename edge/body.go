package edge

import (
	"sync"
	"sync/atomic"

	"aplomb"
)

const (
	// smallBody is the size up to which bodies are kept in memory; larger ones are sent from their files by the kernel.
	smallBody = 64 << 10
	// tlsBody is the same for connections that are encrypted here: what has to be read to be sent is cheaper to keep.
	tlsBody = 512 << 10
	// bodiesLimit bounds the bytes kept.
	bodiesLimit = 16 << 20

	// bodyCost is what keeping a body costs beside its bytes, so that many tiny ones are bounded too.
	bodyCost = 192

	bodyShards = 16
)

// bodies keeps small blobs in memory, up to a number of bytes. Blobs never change, so nothing is ever invalidated. Safe
// for concurrent use.
type bodies struct {
	shards [bodyShards]bodyShard
}

// bodyShard keeps the blobs that share four bits of their digest. When it is full, the hand goes round and drops what
// was not asked for since it last came by.
type bodyShard struct {
	mu    sync.RWMutex // guards the rest
	of    map[aplomb.Digest]*body
	ring  []*body
	hand  int
	bytes int
	limit int
}

type body struct {
	digest aplomb.Digest
	bytes  []byte
	asked  atomic.Bool
}

func newBodies(limit int) *bodies {
	b := &bodies{}
	for i := range b.shards {
		b.shards[i].of = make(map[aplomb.Digest]*body)
		b.shards[i].limit = limit / bodyShards
	}
	return b
}

func (b *bodies) shard(d *aplomb.Digest) *bodyShard { return &b.shards[d[0]%bodyShards] }

func (b *bodies) lookup(d *aplomb.Digest) ([]byte, bool) {
	s := b.shard(d)
	s.mu.RLock()
	kept := s.of[*d]
	s.mu.RUnlock()
	if kept == nil {
		return nil, false
	}
	if !kept.asked.Load() {
		kept.asked.Store(true)
	}
	return kept.bytes, true
}

// keep adds a blob's bytes, which nobody changes from then on.
func (b *bodies) keep(d *aplomb.Digest, bytes []byte) {
	s := b.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.of[*d]; ok || bodyCost+len(bytes) > s.limit {
		return
	}
	for s.bytes+bodyCost+len(bytes) > s.limit {
		s.dropOne()
	}
	kept := &body{digest: *d, bytes: bytes}
	s.of[*d] = kept
	s.ring = append(s.ring, kept)
	s.bytes += bodyCost + len(bytes)
}

func (s *bodyShard) dropOne() {
	for {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		kept := s.ring[s.hand]
		if kept.asked.Swap(false) {
			s.hand++
			continue
		}
		last := len(s.ring) - 1
		s.ring[s.hand] = s.ring[last]
		s.ring[last] = nil
		s.ring = s.ring[:last]
		delete(s.of, kept.digest)
		s.bytes -= bodyCost + len(kept.bytes)
		return
	}
}
