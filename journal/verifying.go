package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"aplomb"
	"aplomb/ledger"
)

// Verify walks a site's chain from its first segment to its head of now: every line against its sum and the line
// before, every snapshot against the records that the facts before it add up to. It returns how many facts are good,
// and the head after the last of them. What it finds wrong degrades the site.
func (j *Journal) Verify(ctx context.Context, name aplomb.SiteName) (entries int64, head aplomb.Head, err error) {
	s, err := j.lookup(name)
	if err != nil {
		return 0, aplomb.Head{}, err
	}
	s.files.RLock()
	defer s.files.RUnlock()
	w := walk{ctx: ctx, site: name, upto: s.chain.Head(), records: map[string]json.RawMessage{}}
	segs := s.list()
	for i, seg := range segs {
		if err := w.segment(seg, i == 0); err != nil {
			if ctx.Err() != nil {
				return w.entries, w.head, ctx.Err()
			}
			s.refuse(err)
			return w.entries, w.head, s.refusal()
		}
	}
	switch {
	case w.head.N < w.upto.N:
		s.refuse(fmt.Errorf("%s: facts %d to %d are missing: %w", s.dir, w.head.N+1, w.upto.N, aplomb.ErrDamaged))
	case w.head != w.upto && w.upto.N > 0:
		s.refuse(fmt.Errorf("%s: fact %d is not the one that was acknowledged: %w", s.dir, w.head.N, aplomb.ErrDamaged))
	}
	return w.entries, w.head, s.refusal()
}

// walk is the state of a walk along a chain.
type walk struct {
	ctx     context.Context
	site    aplomb.SiteName
	upto    aplomb.Head // the last fact to look at; later ones may be being written
	entries int64
	head    aplomb.Head
	records map[string]json.RawMessage
}

func (w *walk) segment(seg segment, first bool) error {
	if w.arrived() {
		return nil // made since the walk began
	}
	o, err := readOpening(seg.path)
	if err != nil {
		return err
	}
	if err := w.opening(seg, o, first); err != nil {
		return damageAt(seg.path, 0, err)
	}
	st := readStretch(seg.path, w.site, func(e ledger.Entry) bool {
		ledger.Apply(w.records, e.Writes)
		w.entries++
		w.head = e.Head
		return !w.arrived() && w.ctx.Err() == nil
	})
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	if w.arrived() {
		return nil
	}
	return st.fault
}

// arrived reports whether the walk is at the fact at which it ends. A chain without any readable fact has none.
func (w *walk) arrived() bool { return w.upto.N > 0 && w.head.N >= w.upto.N }

// opening checks a snapshot against the chain before it.
func (w *walk) opening(seg segment, o ledger.Opening, first bool) error {
	if o.Head.N != seg.first-1 {
		return fmt.Errorf("it begins with fact %d: %w", o.Head.N+1, aplomb.ErrDamaged)
	}
	if first && seg.first > 1 && o.After == nil {
		w.head, w.records = o.Head, o.Records // a recovery left older facts out: it can only be believed
		return nil
	}
	if err := o.Follows(w.site, w.head); err != nil {
		return err
	}
	if o.After != nil {
		w.head, w.records = o.Head, o.Records // a recovery is a new beginning
		return nil
	}
	w.head = o.Head
	if len(o.Records) != len(w.records) {
		return fmt.Errorf("the snapshot at fact %d has %d records, the facts before it add up to %d: %w",
			o.Head.N, len(o.Records), len(w.records), aplomb.ErrDamaged)
	}
	for k, v := range w.records {
		if !bytes.Equal(o.Records[k], v) {
			return fmt.Errorf("the snapshot at fact %d: record %q is not what the facts before it say: %w",
				o.Head.N, k, aplomb.ErrDamaged)
		}
	}
	return nil
}
