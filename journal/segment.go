package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"aplomb"
	"aplomb/ledger"
)

const (
	segmentEnd = ".jsonl"
	// newEnd marks what is being made. It was never acknowledged: found at open, it is removed.
	newEnd = ".new"
)

// segment is one file of a site's chain: a snapshot line, and the facts from first on. It is made whole, with its first
// fact in it, so that a segment without a fact, or with a bad first fact, is damage and never a torn write.
type segment struct {
	path  string
	first int64
	last  int64 // n of its last fact; 0 for the newest, which still grows
}

func segmentName(first int64) string { return fmt.Sprintf("%020d%s", first, segmentEnd) }

func parseSegmentName(name string) (first int64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentEnd)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	first, err := strconv.ParseInt(digits, 10, 64)
	return first, err == nil && first > 0
}

// damageAt names the place of a damage.
func damageAt(path string, offset int64, err error) error {
	return fmt.Errorf("%s, byte %d: %w", path, offset, err)
}

// stretch is what reading a segment from its beginning found.
type stretch struct {
	opening ledger.Opening
	base    int64       // offset of the first fact
	head    aplomb.Head // after the last good line
	good    int64       // offset behind the last good line
	facts   int
	fault   error // why the line at good is not good; nil at a clean end
}

// readStretch reads a segment of site until the first line that is not what it must be, and hands each entry to seen;
// it stops early where seen returns false.
func readStretch(path string, site aplomb.SiteName, seen func(ledger.Entry) bool) stretch {
	f, err := openSegment(path)
	if err != nil {
		return stretch{fault: err}
	}
	defer f.Close()
	s := stretch{}
	lines := lineReader{r: bufio.NewReaderSize(f, 64<<10)}
	line, err := lines.next(maxOpening)
	if err == nil || err == io.EOF {
		s.opening, err = ledger.ParseOpening(line)
	}
	if err != nil {
		s.fault = damageAt(path, 0, err)
		return s
	}
	s.head, s.base, s.good = s.opening.Head, int64(len(line)), int64(len(line))
	for {
		line, err := lines.next(ledger.MaxLine)
		if err == io.EOF && len(line) == 0 {
			return s
		}
		var e ledger.Entry
		if err == nil || err == io.EOF {
			if e, err = ledger.ParseEntry(line); err == nil {
				err = e.Follows(site, s.head)
			}
		}
		if err != nil {
			s.fault = damageAt(path, s.good, err)
			return s
		}
		s.head, s.good, s.facts = e.Head, s.good+int64(len(line)), s.facts+1
		if !seen(e) {
			return s
		}
	}
}

// openSegment opens a segment for reading. That it is gone is damage; that it cannot be opened just now is not.
func openSegment(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damageAt(path, 0, fmt.Errorf("the file is gone: %w", aplomb.ErrDamaged))
	}
	if err != nil {
		return nil, fmt.Errorf("read a segment: %w", err)
	}
	return f, nil
}

// readOpening reads a segment's snapshot line alone.
func readOpening(path string) (ledger.Opening, error) {
	f, err := openSegment(path)
	if err != nil {
		return ledger.Opening{}, err
	}
	defer f.Close()
	lines := lineReader{r: bufio.NewReader(f)}
	line, err := lines.next(maxOpening)
	if err != nil && err != io.EOF {
		return ledger.Opening{}, damageAt(path, 0, err)
	}
	o, err := ledger.ParseOpening(line)
	if err != nil {
		return ledger.Opening{}, damageAt(path, 0, err)
	}
	return o, nil
}

// readLast reads a segment's last line alone, from the end.
func readLast(path string) (ledger.Entry, error) {
	f, err := openSegment(path)
	if err != nil {
		return ledger.Entry{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ledger.Entry{}, damageAt(path, 0, err)
	}
	for n := int64(16 << 10); ; n *= 4 {
		n = min(n, info.Size())
		b := make([]byte, n)
		if _, err := f.ReadAt(b, info.Size()-n); err != nil && err != io.EOF {
			return ledger.Entry{}, damageAt(path, info.Size()-n, fmt.Errorf("%w: %w", err, aplomb.ErrDamaged))
		}
		i := bytes.LastIndexByte(bytes.TrimSuffix(b, []byte("\n")), '\n')
		if i < 0 && n < info.Size() && n <= 2*ledger.MaxLine {
			continue
		}
		line := b[i+1:]
		e, err := ledger.ParseEntry(line)
		if err != nil {
			return ledger.Entry{}, damageAt(path, info.Size()-int64(len(line)), err)
		}
		return e, nil
	}
}

// maxOpening bounds what is read of a damaged file in search of a snapshot's end.
const maxOpening = 1 << 30

// lineReader reads whole lines of any length up to a limit.
type lineReader struct {
	r   *bufio.Reader
	buf []byte
}

// next returns the next line with its newline; the last one may lack it and comes with io.EOF. It is valid until the
// next call.
func (l *lineReader) next(limit int) ([]byte, error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.buf = append(l.buf, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(l.buf) <= limit:
		case errors.Is(err, bufio.ErrBufferFull):
			return l.buf, fmt.Errorf("a line has more than %d bytes: %w", limit, aplomb.ErrDamaged)
		case err == nil || err == io.EOF:
			return l.buf, err
		default:
			return l.buf, fmt.Errorf("%w: %w", err, aplomb.ErrDamaged)
		}
	}
}
