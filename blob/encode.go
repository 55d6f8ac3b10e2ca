package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"aplomb"
)

// Source is a blob that may be worth encoding.
type Source struct {
	Ref
	Type string // its Content-Type
}

// flushBytes is how much of encoded forms is held in memory before they are put. The lease lasts only as long as the putting.
const flushBytes = 8 << 20

// made is what encoding one source gave.
type made struct {
	source   aplomb.Digest
	forms    Encodings
	contents [NumCodings][]byte
}

// Encode makes the forms of sources that are worth it and lack them at the effort's level, keeps those that are smaller and
// records them. Quick uses all processors, Best one. A source that is absent or damaged is passed over. What was
// recorded before an error stays. Best works at the lowest priority: whoever serves comes first.
func Encode(ctx context.Context, s Store, sources []Source, effort Effort) error {
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	results, end := encodeAll(work, s, sources, effort)
	var pending []made
	var failed error
	size := 0
	for m := range results {
		pending = append(pending, m)
		for _, c := range m.contents {
			size += len(c)
		}
		if size < flushBytes || failed != nil {
			continue
		}
		if failed = keepForms(ctx, s, pending); failed != nil {
			cancel()
		}
		pending, size = nil, 0
	}
	if err := end(); failed == nil {
		failed = err
	}
	if failed == nil {
		failed = keepForms(ctx, s, pending)
	}
	if failed != nil {
		return fmt.Errorf("encode: %w", failed)
	}
	return nil
}

// encodeAll starts the workers. end returns their error once results is closed.
func encodeAll(ctx context.Context, s Store, sources []Source, effort Effort) (_ <-chan made, end func() error) {
	workers := 1
	if effort == Quick {
		workers = runtime.GOMAXPROCS(0)
	}
	g, ctx := errgroup.WithContext(ctx)
	results := make(chan made)
	var next, running atomic.Int64
	running.Store(int64(workers))
	for range workers {
		g.Go(func() error {
			defer func() {
				if running.Add(-1) == 0 {
					close(results)
				}
			}()
			if effort == Best {
				// The thread is not unlocked: it ends with this goroutine, and its low priority with it.
				runtime.LockOSThread()
				if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19); err != nil {
					return fmt.Errorf("lower the priority: %w", err)
				}
			}
			return encodeSome(ctx, s, sources, &next, effort, results)
		})
	}
	return results, g.Wait
}

// encodeSome takes sources by next until there are no more.
func encodeSome(ctx context.Context, s Store, sources []Source, next *atomic.Int64, effort Effort, results chan<- made) error {
	var encoders [NumCodings]*Encoder
	for {
		i := int(next.Add(1)) - 1
		if i >= len(sources) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := encodeOne(s, sources[i], effort, &encoders)
		if err != nil {
			return err
		}
		if m.forms == (Encodings{}) {
			continue
		}
		select {
		case results <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func encodeOne(s Store, source Source, effort Effort, encoders *[NumCodings]*Encoder) (made, error) {
	m := made{source: source.Digest}
	if !Worth(source.Size, source.Type) {
		return m, nil
	}
	have := s.Encodings(source.Digest)
	var plain []byte
	for c := range NumCodings {
		level := effort.Level(c)
		if have[c].Level >= level {
			continue
		}
		if plain == nil {
			var err error
			if plain, err = readAll(s, source.Digest); errors.Is(err, aplomb.ErrNotFound) || errors.Is(err, aplomb.ErrDamaged) {
				return m, nil
			} else if err != nil {
				return m, err
			}
		}
		if encoders[c] == nil {
			encoders[c] = NewEncoder(c, level)
		}
		content := encoders[c].Encode(plain)
		if n := int64(len(content)); Better(int64(len(plain)), n) {
			m.forms[c] = Encoded{Digest: aplomb.Sum(content), Size: n, Level: level}
			m.contents[c] = content
		}
	}
	return m, nil
}

func readAll(s Store, d aplomb.Digest) ([]byte, error) {
	f, size, err := s.Open(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("read blob %s: %w", d.Short(), err)
	}
	return b, nil
}

// keepForms puts encoded forms and records them under the same lease, so that Collect never sees one without the other.
func keepForms(ctx context.Context, s Store, pending []made) error {
	if len(pending) == 0 {
		return nil
	}
	b, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	of := make(map[aplomb.Digest]Encodings, len(pending))
	for _, m := range pending {
		of[m.source] = m.forms
		for c, form := range m.forms {
			if form.Level == 0 {
				continue
			}
			if err := b.Put(Ref{Digest: form.Digest, Size: form.Size}, bytes.NewReader(m.contents[c])); err != nil {
				return err
			}
		}
	}
	if err := b.Commit(); err != nil {
		return err
	}
	return s.PutEncodings(of)
}
