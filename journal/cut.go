package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"aplomb"
	"aplomb/ledger"
)

// Cut is a site's chain as it stood at one moment: its records and head, and its files, open and each with the bytes that
// were acknowledged then. Whatever happens to the chain afterwards, a cut stays what it is. Its owner closes it.
type Cut struct {
	ledger.Snapshot
	Segments []CutSegment
}

// CutSegment is one file of a cut.
type CutSegment struct {
	Name string // in the site's folder
	Size int64
	file *os.File
}

// Reader reads the segment's bytes from the first to the last that belongs to the cut.
func (s CutSegment) Reader() io.Reader { return io.NewSectionReader(s.file, 0, s.Size) }

// Cut returns a site's chain as it stands now. A site that is not written to has none: what its files prove is not known.
func (j *Journal) Cut(ctx context.Context, name aplomb.SiteName) (_ *Cut, err error) {
	s, err := j.lookup(name)
	if err != nil {
		return nil, err
	}
	if err := s.acquire(ctx); err != nil {
		return nil, fmt.Errorf("cut %s: %w", name, err)
	}
	defer s.release()
	if j.isClosed() {
		return nil, ledger.ErrClosed
	}
	s.settle()
	if err := s.refusal(); err != nil {
		return nil, err
	}
	c := &Cut{Snapshot: s.chain.Load()}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	segs := s.list()
	for i, seg := range segs {
		f, err := openSegment(seg.path)
		if err != nil {
			return nil, fmt.Errorf("cut %s: %w", name, err)
		}
		c.Segments = append(c.Segments, CutSegment{Name: filepath.Base(seg.path), Size: s.size, file: f})
		if i == len(segs)-1 {
			break
		}
		if c.Segments[i].Size, err = sizeOf(seg.path); err != nil {
			return nil, fmt.Errorf("cut %s: %w", name, err)
		}
	}
	return c, nil
}

// Close gives the cut's files back.
func (c *Cut) Close() error {
	var errs []error
	for _, s := range c.Segments {
		errs = append(errs, s.file.Close())
	}
	c.Segments = nil
	return errors.Join(errs...)
}
