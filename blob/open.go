package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"aplomb"
)

// errReplaced says that the file looked at is no longer the blob's: look again.
var errReplaced = errors.New("replaced meanwhile")

// Open implements Reader. Beyond what the contract asks, a blob whose file has changed since it was hashed (another
// inode, size or time) is hashed again.
func (s *Disk) Open(d aplomb.Digest) (File, int64, error) {
	for range 8 {
		e, ok := s.index.lookup(d)
		switch {
		case !ok:
			return nil, 0, fmt.Errorf("blob %s: %w", d.Short(), aplomb.ErrNotFound)
		case e.damaged:
			return nil, 0, fmt.Errorf("blob %s: %w", d.Short(), aplomb.ErrDamaged)
		}
		if e.hashed != (stamp{}) {
			fd, st, err := openFile(s.path(d))
			if err == nil && st == e.hashed {
				return os.NewFile(uintptr(fd), d.Short()), st.size, nil
			}
			if err == nil {
				unix.Close(fd)
			}
		}
		if err := s.check(d); err != nil && !errors.Is(err, errReplaced) {
			return nil, 0, err
		}
	}
	return nil, 0, fmt.Errorf("blob %s: changes all the time", d.Short())
}

// check hashes a blob, once for all who ask at the same time. Its error is what Open answers.
func (s *Disk) check(d aplomb.Digest) error {
	var damage Damage // set for whoever does the hashing
	_, err, _ := s.checks.Do(string(d[:]), func() (_ any, err error) {
		damage, err = s.examine(context.Background(), d, nil)
		return nil, err
	})
	s.tell(damage) // outside, so that whoever is told may use the store
	return err
}

// examine hashes a blob's file, no faster than p allows, and either trusts it or sets it aside.
func (s *Disk) examine(ctx context.Context, d aplomb.Digest, p *pace) (Damage, error) {
	fd, st, err := openFile(s.path(d))
	if err != nil {
		if !isDamage(err) {
			return Damage{}, fmt.Errorf("open blob %s: %w", d.Short(), err)
		}
		return s.setAside(d, 0, openFailure(err))
	}
	defer unix.Close(fd)
	sum, err := s.hashFile(ctx, fd, p)
	if err != nil {
		if !isDamage(err) {
			return Damage{}, fmt.Errorf("read blob %s: %w", d.Short(), err)
		}
		return s.setAside(d, st.ino, "it cannot be read: "+err.Error())
	}
	if sum != d {
		return s.setAside(d, st.ino, mismatch(sum, st.size))
	}
	s.index.trust(d, st)
	return Damage{}, nil
}

func openFailure(err error) string {
	if errors.Is(err, unix.ENOENT) {
		return "its file is gone"
	}
	return "its file cannot be opened: " + err.Error()
}

func mismatch(sum aplomb.Digest, size int64) string {
	if size == 0 {
		return "its file is empty"
	}
	return fmt.Sprintf("its %d bytes have the sha-256 %s", size, sum)
}

func (s *Disk) hashFile(ctx context.Context, fd int, p *pace) (aplomb.Digest, error) {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	h := sha256.New()
	for {
		n, err := s.sys.read(fd, *buf)
		if err != nil {
			return aplomb.Digest{}, err
		}
		if n == 0 {
			return aplomb.Digest(h.Sum(nil)), nil
		}
		h.Write((*buf)[:n])
		if err := p.wait(ctx, n); err != nil {
			return aplomb.Digest{}, err
		}
	}
}

// openFile opens a regular file for reading. Anything else under a blob's name is an error of kind unix.EINVAL.
func openFile(path string) (fd int, _ stamp, err error) {
	fd, err = again(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	})
	if err != nil {
		return -1, stamp{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, stamp{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return -1, stamp{}, unix.EINVAL
	}
	return fd, stampOf(&st), nil
}

// isDamage tells errors that speak of the blob from those that speak of the process or the machine (too many open
// files, no memory, no permission), after which the blob may be as good as before.
func isDamage(err error) bool {
	return slices.ContainsFunc([]error{
		unix.ENOENT, unix.EIO, unix.EBADMSG, unix.EUCLEAN, unix.ELOOP, unix.EINVAL, unix.ENXIO, unix.EISDIR,
	}, func(e error) bool { return errors.Is(err, e) })
}

// setAside moves a damaged file out of the way and returns the damage to the first who finds it, to be told. ino is the
// inode that was found damaged, 0 when there was no file. Its error is what Open answers from then on, or errReplaced
// when a good file took the place meanwhile.
func (s *Disk) setAside(d aplomb.Digest, ino uint64, why string) (Damage, error) {
	damage, news, err := s.moveAside(d, ino, why)
	if !news {
		return Damage{}, err
	}
	s.encodings.dropForm(d)
	return damage, err
}

func (s *Disk) moveAside(d aplomb.Digest, ino uint64, why string) (_ Damage, news bool, _ error) {
	s.place.Lock()
	defer s.place.Unlock()
	path := s.path(d)
	if replaced(path, ino) {
		return Damage{}, false, errReplaced
	}
	news, known := s.index.condemn(d)
	if !known {
		return Damage{}, false, fmt.Errorf("blob %s: %w", d.Short(), aplomb.ErrNotFound)
	}
	failure := fmt.Errorf("blob %s: %w: %s", d.Short(), aplomb.ErrDamaged, why)
	if !news {
		return Damage{}, false, failure
	}
	damage := Damage{Digest: d, File: path, Why: why}
	switch err := s.sys.rename(path, s.damagedPath(d)); {
	case err == nil:
		damage.File = s.damagedPath(d)
	case !errors.Is(err, unix.ENOENT):
		s.lg.Warn("damaged blob not moved", "file", path, "err", err)
	}
	return damage, true, failure
}

// replaced reports whether another file than the one found damaged is there now, or one at all where there was none.
func replaced(path string, ino uint64) bool {
	fd, st, err := openFile(path)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return st.ino != ino
}

// Missing implements Store.
func (s *Disk) Missing(want []Ref) []Ref {
	var missing []Ref
	told := map[aplomb.Digest]struct{}{}
	found := make([]aplomb.Digest, 0, len(want))
	for ref := range distinct(want) {
		if s.holds(ref) {
			found = append(found, ref.Digest)
			continue
		}
		if _, ok := told[ref.Digest]; !ok {
			told[ref.Digest] = struct{}{}
			missing = append(missing, ref)
		}
	}
	s.index.see(found, time.Now())
	return missing
}

// distinct yields each digest once, and once more for each further size that is claimed for it.
func distinct(want []Ref) iter.Seq[Ref] {
	return func(yield func(Ref) bool) {
		first := make(map[aplomb.Digest]int64, len(want))
		var odd map[Ref]bool
		for _, ref := range want {
			size, ok := first[ref.Digest]
			switch {
			case !ok:
				first[ref.Digest] = ref.Size
			case size == ref.Size || odd[ref]:
				continue
			default:
				if odd == nil {
					odd = map[Ref]bool{}
				}
				odd[ref] = true
			}
			if !yield(ref) {
				return
			}
		}
	}
}

// holds looks at presence and size. A blob whose file is gone is named.
func (s *Disk) holds(ref Ref) bool {
	if !s.index.has(ref.Digest) {
		return false
	}
	var st unix.Stat_t
	switch err := unix.Lstat(s.path(ref.Digest), &st); {
	case err == nil:
		return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == ref.Size
	case isDamage(err):
		damage, _ := s.setAside(ref.Digest, 0, openFailure(err))
		s.tell(damage)
	}
	return false
}
