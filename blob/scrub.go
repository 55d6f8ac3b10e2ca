package blob

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"aplomb"
)

// Scrub implements Store. What is in the page cache is dropped first, so that the disk is read.
func (s *Disk) Scrub(ctx context.Context) ([]Damage, error) {
	var found []Damage
	p := &pace{rate: s.cfg.ScrubBytesPerSecond, start: time.Now()}
	for _, d := range s.index.digests() {
		if !s.index.has(d) {
			continue
		}
		s.dropCached(d)
		damage, err := s.examine(ctx, d, p)
		s.tell(damage)
		if damage != (Damage{}) {
			found = append(found, damage)
		}
		switch {
		case ctx.Err() != nil:
			return found, fmt.Errorf("scrub: %w", context.Cause(ctx))
		case err == nil, errors.Is(err, aplomb.ErrDamaged), errors.Is(err, aplomb.ErrNotFound), errors.Is(err, errReplaced):
		default:
			return found, fmt.Errorf("scrub: %w", err)
		}
	}
	return found, nil
}

func (s *Disk) dropCached(d aplomb.Digest) {
	fd, _, err := openFile(s.path(d))
	if err != nil {
		return // examine meets the same error and names it
	}
	defer unix.Close(fd)
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) // a hint: without it the cached bytes are hashed
}

// pace keeps reading to a number of bytes per second. A nil pace does not wait.
type pace struct {
	rate  int64
	start time.Time
	bytes int64
}

// slack is how far reading may run ahead, so that small blobs do not cost a timer each.
const slack = 20 * time.Millisecond

// wait returns when n more bytes have had their time, or with ctx's error.
func (p *pace) wait(ctx context.Context, n int) error {
	if p == nil {
		return nil
	}
	p.bytes += int64(n)
	due := time.Duration(float64(p.bytes) / float64(p.rate) * float64(time.Second))
	ahead := due - time.Since(p.start)
	if ahead < slack {
		return ctx.Err()
	}
	t := time.NewTimer(ahead)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
