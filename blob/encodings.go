package blob

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"aplomb"
)

// encodings is the table of encoded forms and the file that keeps it. The table is split by the first byte of the
// digest, and each part replaced as a whole, so that a reader neither locks nor waits.
//
// The file has one line for each record: a checksum, the blob, and what is known of it:
//
//	1c291ca3 <digest> br:11:<size>:<digest> gzip:9:<size>:<digest>
//
// A later line for the same blob replaces an earlier one. Lines that are torn or damaged are passed over: losing one
// loses only the time to encode again.
type encodings struct {
	parts [folders]atomic.Pointer[map[aplomb.Digest]*Encodings]

	// mu guards the rest, and lets one goroutine at a time replace parts
	mu    sync.Mutex
	lg    *slog.Logger
	path  string
	file  *os.File // open for appending since the first record
	torn  bool     // the file may end within a line
	lines int
}

// codingNames are the names used in the file and, but for Brotli's, in Content-Encoding.
var codingNames = [NumCodings]string{Brotli: "br", Zstd: "zstd", Gzip: "gzip"}

// String returns the coding's name in Content-Encoding: br, zstd or gzip.
func (c Coding) String() string {
	if c < NumCodings {
		return codingNames[c]
	}
	return "coding(" + strconv.Itoa(int(c)) + ")"
}

// Encodings implements Reader.
func (s *Disk) Encodings(d aplomb.Digest) Encodings { return s.encodings.lookup(d) }

// PutEncodings implements Store. For each coding the higher level stays. A form that the store does not hold is an error
// of kind aplomb.ErrNotFound, and then nothing is recorded.
func (s *Disk) PutEncodings(of map[aplomb.Digest]Encodings) error {
	if err := checkForms(of, s.index.has); err != nil {
		return fmt.Errorf("record encoded forms: %w", err)
	}
	if err := s.encodings.put(of); err != nil {
		return fmt.Errorf("record encoded forms: %w", err)
	}
	return nil
}

func checkForms(of map[aplomb.Digest]Encodings, has func(aplomb.Digest) bool) error {
	for _, forms := range of {
		for _, form := range forms {
			if form.Level > 0 && !has(form.Digest) {
				return fmt.Errorf("%w: blob %s", aplomb.ErrNotFound, form.Digest.Short())
			}
		}
	}
	return nil
}

// merge takes over the forms of more that have a higher level, and reports whether there were any.
func (e *Encodings) merge(more Encodings) (changed bool) {
	for c, form := range more {
		if form.Level > e[c].Level {
			e[c] = form
			changed = true
		}
	}
	return changed
}

func (e *encodings) lookup(d aplomb.Digest) Encodings {
	if part := e.parts[d[0]].Load(); part != nil {
		if forms := (*part)[d]; forms != nil {
			return *forms
		}
	}
	return Encodings{}
}

// all returns a snapshot.
func (e *encodings) all() map[aplomb.Digest]Encodings {
	all := map[aplomb.Digest]Encodings{}
	for i := range e.parts {
		if part := e.parts[i].Load(); part != nil {
			for d, forms := range *part {
				all[d] = *forms
			}
		}
	}
	return all
}

func (e *encodings) len() int {
	n := 0
	for i := range e.parts {
		if part := e.parts[i].Load(); part != nil {
			n += len(*part)
		}
	}
	return n
}

// replace publishes new values; those without any form are deleted.
func (e *encodings) replace(values map[aplomb.Digest]Encodings) {
	var byPart [folders][]aplomb.Digest
	for d := range values {
		byPart[d[0]] = append(byPart[d[0]], d)
	}
	for i, ds := range byPart {
		if len(ds) == 0 {
			continue
		}
		next := map[aplomb.Digest]*Encodings{}
		if part := e.parts[i].Load(); part != nil {
			next = maps.Clone(*part)
		}
		for _, d := range ds {
			if forms := values[d]; forms == (Encodings{}) {
				delete(next, d)
			} else {
				next[d] = &forms
			}
		}
		e.parts[i].Store(&next)
	}
}

func (e *encodings) put(of map[aplomb.Digest]Encodings) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := map[aplomb.Digest]Encodings{}
	for d, more := range of {
		forms := e.lookup(d)
		if forms.merge(more) {
			changed[d] = forms
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := e.append(changed); err != nil {
		return err
	}
	e.replace(changed)
	e.compactIfStale()
	return nil
}

// drop forgets the forms of blobs that are deleted. In the file they become dead lines.
func (e *encodings) drop(of []aplomb.Digest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	gone := map[aplomb.Digest]Encodings{}
	for _, d := range of {
		if e.lookup(d) != (Encodings{}) {
			gone[d] = Encodings{}
		}
	}
	e.replace(gone)
}

// dropForm forgets a form whose blob is damaged, so that the blob it encodes is served in another.
func (e *encodings) dropForm(form aplomb.Digest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := map[aplomb.Digest]Encodings{}
	for d, forms := range e.all() {
		for c := range forms {
			if forms[c].Digest == form && forms[c].Level > 0 {
				forms[c] = Encoded{}
				changed[d] = forms
			}
		}
	}
	e.replace(changed)
}

// load reads the file; records of blobs that are not there are left out.
func (e *encodings) load(lg *slog.Logger, path string, x *index) error {
	e.lg, e.path = lg, path
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		// It is a cache: without it the store is whole.
		lg.Warn("encoded forms lost", "file", path, "err", err)
		text = nil
	}
	e.torn = len(text) > 0 && text[len(text)-1] != '\n'
	found := map[aplomb.Digest]Encodings{}
	bad := 0
	for line := range bytes.Lines(text) {
		e.lines++
		d, forms, err := parseRecord(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			bad++
			continue
		}
		found[d] = forms
	}
	if bad > 0 {
		lg.Warn("damaged lines passed over", "file", path, "lines", bad)
	}
	for d, forms := range found {
		for c, form := range forms {
			if form.Level > 0 && !x.has(form.Digest) {
				forms[c] = Encoded{}
			}
		}
		found[d] = forms
		if !x.known(d) {
			delete(found, d)
		}
	}
	e.replace(found)
	e.compactIfStale()
	return nil
}

// append writes records in one write.
func (e *encodings) append(records map[aplomb.Digest]Encodings) error {
	if e.file == nil {
		f, err := os.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return diskError("open", err)
		}
		e.file = f
	}
	var b []byte
	if e.torn {
		b = append(b, '\n') // ends the torn line
		e.lines++
	}
	for d, forms := range records {
		b = appendRecord(b, d, forms)
	}
	if _, err := e.file.Write(b); err != nil {
		e.torn = true
		return diskError("append", err)
	}
	e.torn = false
	e.lines += len(records)
	return nil
}

// compactIfStale writes the file anew when more of its lines are dead than alive. If it cannot, the old one stays.
func (e *encodings) compactIfStale() {
	live := e.len()
	if e.lines-live <= max(live, 1000) {
		return
	}
	if err := e.compact(live); err != nil {
		e.lg.Warn("encoded forms not compacted", "file", e.path, "err", err)
	}
}

func (e *encodings) compact(live int) error {
	var b []byte
	for d, forms := range e.all() {
		b = appendRecord(b, d, forms)
	}
	f, err := os.OpenFile(e.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync() // a rename without it may leave an empty file after a power failure
	}
	if err == nil {
		err = os.Rename(f.Name(), e.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if e.file != nil {
		e.file.Close()
	}
	e.file, e.lines, e.torn = f, live, false
	return nil
}

func (e *encodings) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.file == nil {
		return nil
	}
	err := e.file.Close()
	e.file = nil
	if err != nil {
		return fmt.Errorf("close encoded forms: %w", err)
	}
	return nil
}
