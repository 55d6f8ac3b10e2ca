package edge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"syscall"
	"time"

	"aplomb"
	"aplomb/blob"
)

const (
	// sendTime and sendRate bound how long a client may take for an answer: a fixed time, and more for large ones.
	sendTime = 60 * time.Second
	sendRate = 16 << 10 // bytes a second

	// namedLimit bounds how many damaged blobs are remembered as named.
	namedLimit = 1000
)

// sender puts the bytes of blobs into answers. One is shared by all tables of an edge.
type sender struct {
	lg     *slog.Logger
	blobs  blob.Reader
	bodies *bodies
	signal func(Signal)
	copies sync.Pool // *[]byte, for connections that cannot take a file as it is

	mu    sync.Mutex // guards the rest
	named map[aplomb.Digest]bool
}

func newSender(lg *slog.Logger, blobs blob.Reader, signal func(Signal)) *sender {
	o := &sender{lg: lg, blobs: blobs, bodies: newBodies(bodiesLimit), signal: signal, named: map[aplomb.Digest]bool{}}
	o.copies.New = func() any { b := make([]byte, 256<<10); return &b }
	return o
}

// opened is a file in the form in which it is sent.
type opened struct {
	bytes  []byte
	file   blob.File // where bytes is nil
	size   int64
	coding blob.Coding
	tag    []string
	length []string
}

func (b *opened) close() {
	if b.file != nil {
		// It was only read.
		_ = b.file.Close()
	}
}

// open opens the form of a file that the client wants most. A form that is damaged gives way to the next.
func (o *sender) open(r *http.Request, e *entry, want accepted) (opened, bool) {
	most := int64(smallBody)
	if r.TLS != nil {
		most = tlsBody
	}
	forms := e.codings(o.blobs)
	for forms != nil {
		c, ok := want.choose(forms)
		if !ok {
			break
		}
		form := &forms.forms[c]
		b := opened{size: form.size, coding: c, tag: form.values[0:1:1], length: form.values[1:2:2]}
		if o.fetch(&form.digest, &b, most) {
			return b, true
		}
		want = want.without(c)
	}
	b := opened{size: e.size, coding: identity, tag: e.values[tagValue : tagValue+1 : tagValue+1], length: e.values[lengthValue : lengthValue+1 : lengthValue+1]}
	return b, o.fetch(&e.digest, &b, most)
}

// fetch gets a blob's bytes, from memory where it has at most so many.
func (o *sender) fetch(d *aplomb.Digest, b *opened, most int64) bool {
	if b.size <= most {
		if bytes, ok := o.bodies.lookup(d); ok {
			b.bytes = bytes
			return true
		}
	}
	if err := o.load(d, b, most); err != nil {
		o.nameOnce(*d, err)
		return false
	}
	return true
}

func (o *sender) load(d *aplomb.Digest, b *opened, most int64) error {
	f, size, err := o.blobs.Open(*d)
	if err != nil {
		return err
	}
	if size != b.size {
		f.Close()
		return fmt.Errorf("%w: has %d bytes, want %d", aplomb.ErrDamaged, size, b.size)
	}
	if size > most {
		b.file = f
		return nil
	}
	defer f.Close()
	bytes := make([]byte, size)
	if _, err := io.ReadFull(f, bytes); err != nil {
		return err
	}
	o.bodies.keep(d, bytes)
	b.bytes = bytes
	return nil
}

// nameOnce logs a blob that cannot be served, the first time.
func (o *sender) nameOnce(d aplomb.Digest, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.named[d] {
		return
	}
	if len(o.named) >= namedLimit {
		clear(o.named)
	}
	o.named[d] = true
	o.lg.Error("blob not served", "digest", d.String(), "err", err)
}

// write sends length bytes from start. When the store fails in the middle the connection is cut: the client must not
// take a part for the whole.
func (o *sender) write(w http.ResponseWriter, r *http.Request, host aplomb.Host, b opened, start, length int64) {
	if b.file == nil {
		if _, err := w.Write(b.bytes[start : start+length]); err != nil {
			o.report(w, r, host, statusHungUp, CauseClient)
		}
		return
	}
	o.allowTime(w, length)
	n, err := o.copyFile(w, b.file, start, length)
	var failed *fs.PathError
	switch {
	case err == nil && n == length:
	case err == nil, errors.As(err, &failed), errors.Is(err, syscall.EIO), errors.Is(err, io.ErrUnexpectedEOF):
		o.lg.Error("blob not served to the end", "sent", n, "want", length, "err", err)
		o.report(w, r, host, http.StatusInternalServerError, CauseEdge)
		panic(http.ErrAbortHandler)
	default:
		o.report(w, r, host, statusHungUp, CauseClient)
	}
}

func (o *sender) copyFile(w http.ResponseWriter, f blob.File, start, length int64) (int64, error) {
	if start > 0 {
		if _, err := f.Seek(start, io.SeekStart); err != nil {
			return 0, &fs.PathError{Op: "seek", Path: "blob", Err: err}
		}
	}
	part := io.LimitedReader{R: f, N: length}
	if rec, ok := w.(*recorder); ok { // it counts, and leaves the short way from file to connection open
		n, err := o.copyPart(rec.ResponseWriter, &part)
		rec.record.Bytes += n
		return n, err
	}
	return o.copyPart(w, &part)
}

func (o *sender) copyPart(w http.ResponseWriter, part *io.LimitedReader) (int64, error) {
	if to, ok := w.(io.ReaderFrom); ok {
		return to.ReadFrom(part)
	}
	buf := o.copies.Get().(*[]byte)
	defer o.copies.Put(buf)
	return io.CopyBuffer(w, part, *buf)
}

// allowTime gives a large answer more time than the server gives by itself.
func (o *sender) allowTime(w http.ResponseWriter, length int64) {
	// Recorders and rehearsals have no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTime + time.Duration(length/sendRate)*time.Second))
}

// tagValue returns the tag of a form of e as a header value.
func (o *sender) tagValue(e *entry, tag string) []string {
	if tag == e.tag() {
		return e.values[tagValue : tagValue+1 : tagValue+1]
	}
	if forms := e.coded.Load(); forms != nil {
		for c := range forms.forms {
			if v := forms.forms[c].values[:]; v[0] == tag {
				return v[0:1:1]
			}
		}
	}
	return []string{tag}
}
