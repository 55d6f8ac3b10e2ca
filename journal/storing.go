package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"aplomb"
	"aplomb/ledger"
)

// store makes a line durable: at the end of the newest segment, or with a new one. When it fails, the write has been
// taken back, or undo is set and nothing else is written before that has succeeded.
func (s *site) store(e ledger.Entry, line []byte) error {
	if s.file == nil {
		return s.found(e, line)
	}
	if err := s.checkUntouched(); err != nil {
		s.refuse(err)
		return s.refusal()
	}
	if s.facts >= s.j.cfg.SegmentFacts || s.size-s.base >= s.j.cfg.SegmentBytes {
		err := s.rotate(e, line)
		if !errors.Is(err, aplomb.ErrNoSpace) {
			return err
		}
		// A snapshot needs more room than a line does: the segment grows on instead.
	}
	return s.extend(line)
}

// checkUntouched finds out when another program has replaced, cut or extended the newest segment since the last write:
// going on would lose facts at the next start.
func (s *site) checkUntouched() error {
	path := s.file.Name()
	named, err := os.Stat(path)
	if err != nil {
		return damageAt(path, 0, fmt.Errorf("the file is gone: %w: %w", err, aplomb.ErrDamaged))
	}
	opened, err := s.file.Stat()
	if err != nil {
		return damageAt(path, 0, err)
	}
	if !os.SameFile(named, opened) {
		return damageAt(path, 0, fmt.Errorf("another program put another file in its place: %w", aplomb.ErrDamaged))
	}
	if opened.Size() != s.size {
		return damageAt(path, min(s.size, opened.Size()),
			fmt.Errorf("another program changed its size from %d to %d: %w", s.size, opened.Size(), aplomb.ErrDamaged))
	}
	return nil
}

// extend writes a line at the end of the newest segment.
func (s *site) extend(line []byte) error {
	err := s.j.disk.write(s.file, line, s.size)
	if err == nil {
		err = s.j.disk.sync(s.file)
	}
	if err == nil {
		s.size += int64(len(line))
		s.facts++
		return nil
	}
	return s.takeBack(fmt.Errorf("append to %s: %w", s.file.Name(), err), s.undoExtend)
}

// takeBack undoes a write that failed with cause. The error it returns has the kind aplomb.ErrNoSpace only if that
// was the cause and nothing of the write is left.
func (s *site) takeBack(cause error, undo func() error) error {
	s.undo = undo
	s.setUncertain(cause)
	if err := s.settle(); err != nil {
		return errors.Join(cause, err)
	}
	return spaceless(cause)
}

// settle takes back the last write if its outcome is unknown.
func (s *site) settle() error {
	if s.undo == nil {
		return nil
	}
	if err := s.undo(); err != nil {
		if errors.Is(err, aplomb.ErrDamaged) {
			s.refuse(err)
		}
		return fmt.Errorf("take back a write whose outcome is not known: %w", err)
	}
	s.undo = nil
	s.setUncertain(nil)
	return nil
}

// block is the largest unit in which a file system might have lost acknowledged bytes together with those behind them.
const block = 64 << 10

// undoExtend makes the newest segment end where its acknowledged bytes end. After a failed sync nothing is known of
// pages that were dirty: they may be marked clean and not be on the disk. So the acknowledged bytes are read and checked
// through a new descriptor, and those that share a block with the failed write are written again.
func (s *site) undoExtend() error {
	path := s.file.Name()
	if err := s.reopen(path); err != nil {
		return err
	}
	head := s.chain.Head()
	st := readStretch(path, s.name, func(e ledger.Entry) bool { return e.Head.N < head.N })
	if st.head != head || st.good != s.size {
		return errors.Join(damageAt(path, st.good, fmt.Errorf("acknowledged facts cannot be read: %w", aplomb.ErrDamaged)), st.fault)
	}
	from := max(0, s.size-1) / block * block
	shared := make([]byte, s.size-from)
	if _, err := s.file.ReadAt(shared, from); err != nil && err != io.EOF {
		return err
	}
	if err := s.j.disk.truncate(s.file, s.size); err != nil {
		return err
	}
	if err := s.j.disk.write(s.file, shared, from); err != nil {
		return err
	}
	return s.j.disk.sync(s.file)
}

// rotate begins a new segment with the records of now and the line.
func (s *site) rotate(e ledger.Entry, line []byte) error {
	opening := ledger.Opening{Snapshot: s.chain.Load(), Site: s.name, Oldest: s.oldest}
	path := filepath.Join(s.dir, segmentName(e.Head.N))
	base, err := s.j.writeSegment(path+newEnd, opening, line)
	if err != nil {
		return spaceless(fmt.Errorf("begin segment %s: %w", path, err))
	}
	err = s.j.disk.rename(path+newEnd, path)
	if err == nil {
		err = s.j.disk.syncDir(s.dir)
	}
	if err != nil {
		return s.takeBack(fmt.Errorf("begin segment %s: %w", path, err), func() error {
			return errors.Join(s.j.disk.remove(path+newEnd), s.j.disk.remove(path), s.j.disk.syncDir(s.dir))
		})
	}
	s.begin(path, e, base, int64(len(line)))
	return nil
}

// begin makes a segment that is durable, with one fact, the newest.
func (s *site) begin(path string, e ledger.Entry, base, line int64) {
	if err := s.reopen(path); err != nil {
		// The fact is durable. Where it cannot be followed by others, a new start sorts it out.
		s.refuse(fmt.Errorf("open segment %s: %w", path, err))
	}
	s.size, s.base, s.facts = base+line, base, 1
	s.grow(segment{path: path, first: e.Head.N}, e.Head.N-1)
}

// found makes a new site's folder, with its first segment, beside its name and then in its place: a crash never leaves
// a site without a segment.
func (s *site) found(e ledger.Entry, line []byte) error {
	making, parent := s.dir+newEnd, s.j.dir
	opening := ledger.Opening{Site: s.name, Oldest: 1}
	base, err := s.makeFolder(making, e, opening, line)
	if err != nil {
		s.j.discard(making)
		return spaceless(fmt.Errorf("make a ledger for %s: %w", s.name, err))
	}
	if isThere, err := isDir(s.dir); isThere || err != nil {
		s.j.discard(making)
		s.refuse(errors.Join(fmt.Errorf("%s: a folder of a new site is there already: %w", s.dir, aplomb.ErrDamaged), err))
		return s.refusal()
	}
	err = s.j.disk.rename(making, s.dir)
	if err == nil {
		err = s.j.disk.syncDir(parent)
	}
	if err != nil {
		return s.takeBack(fmt.Errorf("make a ledger for %s: %w", s.name, err), func() error {
			if exists(s.dir) {
				if err := s.j.disk.rename(s.dir, making); err != nil {
					return err
				}
			}
			return errors.Join(s.j.disk.syncDir(parent), s.j.disk.remove(making))
		})
	}
	s.begin(filepath.Join(s.dir, segmentName(e.Head.N)), e, base, int64(len(line)))
	return nil
}

func (s *site) makeFolder(folder string, e ledger.Entry, opening ledger.Opening, line []byte) (base int64, err error) {
	if exists(folder) {
		if err := s.j.disk.remove(folder); err != nil {
			return 0, err
		}
	}
	if err := s.j.disk.mkdir(folder); err != nil {
		return 0, err
	}
	base, err = s.j.writeSegment(filepath.Join(folder, segmentName(e.Head.N)), opening, line)
	if err != nil {
		return 0, err
	}
	return base, s.j.disk.syncDir(folder)
}

// writeSegment makes a file that holds a snapshot and one line, synced; where it cannot, it leaves no file. It returns
// where the line begins.
func (j *Journal) writeSegment(path string, opening ledger.Opening, line []byte) (base int64, err error) {
	first, err := ledger.ComposeOpening(opening)
	if err != nil {
		return 0, err
	}
	if err := j.writeFile(path, bytes.Join([][]byte{first, line}, nil)); err != nil {
		j.discard(path)
		return 0, err
	}
	return int64(len(first)), nil
}

// writeFile makes a file that holds b, synced. The name becomes durable with its folder.
func (j *Journal) writeFile(path string, b []byte) error {
	if exists(path) {
		if err := j.disk.remove(path); err != nil {
			return err
		}
	}
	f, err := j.disk.create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := j.disk.write(f, b, 0); err != nil {
		return err
	}
	return j.disk.sync(f)
}
