package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"

	"aplomb"
	"aplomb/ledger"
)

// site is one site's chain: its files, and what of it is in memory.
type site struct {
	j     *Journal
	name  aplomb.SiteName
	dir   string
	chain *ledger.Chain

	// writing is held, as a semaphore of one, by whoever changes files; the fields below it belong to its holder.
	writing chan struct{}
	file    *os.File // the newest segment; nil while there is none
	size    int64    // its acknowledged bytes: all of them, unless undo is set
	base    int64    // where its first fact begins
	facts   int
	oldest  int64        // the first n that is kept
	undo    func() error // takes back a write whose outcome is unknown; nothing is written before it succeeded

	// files is held for reading while segments are read, and alone while a recovery swaps folders, so that a reader
	// never takes the moment between two renames for damage.
	files sync.RWMutex

	// mu guards the rest, for lines only.
	mu        sync.Mutex
	segments  []segment // replaced as a whole
	refused   error     // why nothing is written until a recovery; nil when sound
	uncertain error     // why undo is set
}

func (j *Journal) newSite(name aplomb.SiteName) *site {
	return &site{
		j: j, name: name, dir: filepath.Join(j.dir, string(name)),
		chain: ledger.NewChain(ledger.Snapshot{}, j.cfg.Recent), writing: make(chan struct{}, 1), oldest: 1,
	}
}

// acquire waits to become the one who changes files.
func (s *site) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *site) release() { <-s.writing }

func (s *site) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// known reports whether the site has a chain, or had one.
func (s *site) known() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chain.Head() != aplomb.Head{} || s.refused != nil || s.uncertain != nil
}

// refuse stops all writing to the site. The first reason stays.
func (s *site) refuse(reason error) {
	s.mu.Lock()
	first := s.refused == nil
	if first {
		s.refused = reason
	}
	s.mu.Unlock()
	if first {
		s.j.lg.Error("ledger degraded", "site", s.name, "reason", reason)
	}
}

func (s *site) isUncertain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uncertain != nil
}

func (s *site) setUncertain(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uncertain = err
}

// refusal says why nothing is written to the site; nil when it is sound.
func (s *site) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := fmt.Sprintf("the ledger of site %s refuses to write", s.name)
	switch {
	case errors.Is(s.refused, ledger.ErrNewer):
		return aplomb.NewError(aplomb.CodeDegraded, what, s.refused.Error(),
			"start the newer Aplomb that wrote it").Because(s.refused)
	case s.refused != nil:
		return aplomb.NewError(aplomb.CodeDegraded, what, s.refused.Error(),
			fmt.Sprintf("aplomb recover --site %s", s.name)).Because(s.refused)
	case s.uncertain != nil:
		return aplomb.NewError(aplomb.CodeDegraded, what,
			fmt.Sprintf("whether the last fact is on the disk is not known: %v", s.uncertain),
			"free or mend the disk; the next write tries again").Because(s.uncertain)
	}
	return nil
}

// list returns the site's segments, oldest first.
func (s *site) list() []segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segments
}

// grow adds a segment that has just become the newest; the one before it ends at fact last.
func (s *site) grow(seg segment, last int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	segs := slices.Clone(s.segments)
	if len(segs) > 0 {
		segs[len(segs)-1].last = last
	}
	s.segments = append(segs, seg)
}

// older reads, from the files, the entries with N > after of one segment; none when there are none.
func (s *site) older(after int64) ([]ledger.Entry, error) {
	s.files.RLock()
	defer s.files.RUnlock()
	head := s.chain.Head().N // before the list, so that the list reaches at least as far
	segs := s.list()
	i := sort.Search(len(segs), func(i int) bool { return segs[i].first > after+1 }) - 1
	for _, seg := range segs[max(i, 0):] {
		entries, err := s.read(seg, after, head)
		if err != nil {
			if errors.Is(err, aplomb.ErrDamaged) || errors.Is(err, ledger.ErrNewer) {
				s.refuse(err)
			}
			return nil, err
		}
		if len(entries) > 0 {
			return entries, nil
		}
	}
	return nil, nil
}

// read returns a segment's entries with N > after. It never reads beyond what is acknowledged up to head, and a segment
// that ends before that is damaged.
func (s *site) read(seg segment, after, head int64) ([]ledger.Entry, error) {
	last := seg.last
	if last == 0 {
		last = head
	}
	var entries []ledger.Entry
	st := readStretch(seg.path, s.name, func(e ledger.Entry) bool {
		if e.Head.N > after {
			entries = append(entries, e)
		}
		return e.Head.N < last
	})
	switch {
	case st.fault != nil && st.head.N < last:
		return nil, st.fault
	case st.head.N < last:
		return nil, damageAt(seg.path, st.good, fmt.Errorf("facts %d to %d are missing: %w", st.head.N+1, last, aplomb.ErrDamaged))
	}
	return entries, nil
}
