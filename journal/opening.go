package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"aplomb"
	"aplomb/ledger"
)

// open reads what the site's folder holds: every seam between segments, and the newest segment as a whole. What does
// not fit together is kept as it is, and the site is degraded.
func (s *site) open() {
	segs, err := s.findSegments()
	if err != nil {
		s.refuse(fmt.Errorf("open the ledger of %s: %w", s.name, err))
		return
	}
	if len(segs) == 0 {
		s.refuse(fmt.Errorf("%s: a site's folder without a segment: %w", s.dir, aplomb.ErrDamaged))
		return
	}
	s.segments = segs
	if err := s.checkSeams(segs); err != nil {
		s.refuse(err)
	}
	newest, st, entries := s.newestStretch(segs)
	if newest < 0 {
		return // not one segment can be read: the seams have said so
	}
	s.chain = ledger.NewChain(st.opening.Snapshot, s.j.cfg.Recent)
	for _, e := range entries {
		s.chain.Publish(e)
	}
	s.size, s.base, s.facts, s.oldest = st.good, st.base, st.facts, st.opening.Oldest
	s.j.lg.Debug("ledger opened", "site", s.name, "n", st.head.N, "segments", len(segs))
	if s.refusal() == nil {
		s.openEnd(segs[newest], st)
	}
}

// findSegments lists the segments, after removing what was never finished.
func (s *site) findSegments() ([]segment, error) {
	found, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var segs []segment
	for _, f := range found {
		path := filepath.Join(s.dir, f.Name())
		if strings.HasSuffix(f.Name(), segmentEnd+newEnd) {
			s.j.discard(path)
			continue
		}
		if first, ok := parseSegmentName(f.Name()); ok {
			segs = append(segs, segment{path: path, first: first}) // ReadDir sorts by name, which is by first
		}
	}
	return segs, nil
}

// checkSeams reads the first and the last line of every segment and checks that each begins where the one before
// ends, and that none is missing at the beginning. It sets each one's last.
func (s *site) checkSeams(segs []segment) error {
	var errs []error
	var before aplomb.Head // the last fact of the segment before; known if seen
	seen, oldest := true, int64(1)
	for i := range segs {
		seg := &segs[i]
		o, err := readOpening(seg.path)
		if err == nil && o.Head.N != seg.first-1 {
			err = damageAt(seg.path, 0, fmt.Errorf("it begins with fact %d: %w", o.Head.N+1, aplomb.ErrDamaged))
		}
		if err == nil && seen && (i > 0 || seg.first == 1) {
			if err = o.Follows(s.name, before); err != nil {
				err = damageAt(seg.path, 0, err)
			}
		}
		if err != nil {
			errs = append(errs, err)
		} else {
			oldest = o.Oldest
		}
		if i == len(segs)-1 {
			break
		}
		e, err := readLast(seg.path)
		if err != nil {
			errs = append(errs, err)
		}
		before, seg.last, seen = e.Head, e.Head.N, err == nil
		if !seen {
			seg.last = segs[i+1].first - 1
		}
	}
	if segs[0].first != oldest {
		errs = append(errs, fmt.Errorf("%s: facts %d to %d are missing: %w", s.dir, oldest, segs[0].first-1, aplomb.ErrDamaged))
	}
	return errors.Join(errs...)
}

// newestStretch reads the newest segment whose snapshot is whole: its index, or -1, what was read, and its entries.
func (s *site) newestStretch(segs []segment) (int, stretch, []ledger.Entry) {
	for i := len(segs) - 1; i >= 0; i-- {
		var entries []ledger.Entry
		st := readStretch(segs[i].path, s.name, func(e ledger.Entry) bool {
			entries = append(entries, e)
			return true
		})
		if st.base > 0 && st.opening.Site == s.name {
			return i, st, entries
		}
		s.refuse(st.fault)
	}
	return -1, stretch{}, nil
}

// openEnd makes the newest segment ready to be written to: it settles what stands behind the last good line.
func (s *site) openEnd(seg segment, st stretch) {
	if errors.Is(st.fault, ledger.ErrNewer) {
		s.refuse(st.fault)
		return
	}
	if st.facts == 0 {
		s.refuse(errors.Join(damageAt(seg.path, st.good, fmt.Errorf("a segment without a fact: %w", aplomb.ErrDamaged)), st.fault))
		return
	}
	f, err := os.OpenFile(seg.path, os.O_RDWR, 0)
	if err != nil {
		s.refuse(fmt.Errorf("open the ledger of %s: %w", s.name, err))
		return
	}
	s.file = f
	if st.fault != nil {
		if err := s.mendEnd(seg, st); err != nil {
			s.refuse(err)
		}
	}
}

// tidy finishes a recovery that a crash interrupted between its two renames, and removes what was never finished.
func (j *Journal) tidy() error {
	found, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, f := range found {
		path := filepath.Join(j.dir, f.Name())
		if name, ok := strings.CutSuffix(f.Name(), recoveringEnd); ok {
			if site := filepath.Join(j.dir, name); !exists(site) {
				if err := j.disk.rename(path, site); err != nil {
					return fmt.Errorf("finish a recovery: %w", err)
				}
				if err := j.disk.syncDir(j.dir); err != nil {
					return fmt.Errorf("finish a recovery: %w", err)
				}
				j.lg.Info("ledger recovery finished", "site", name)
				continue
			}
		} else if !strings.HasSuffix(f.Name(), newEnd) {
			continue
		}
		j.discard(path)
	}
	return nil
}

// discard removes what was never finished. That it cannot is no harm: nothing reads it.
func (j *Journal) discard(path string) {
	if err := j.disk.remove(path); err != nil {
		j.lg.Warn("unfinished file not removed", "path", path, "err", err)
	}
}
