package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"

	"aplomb"
)

// Config tunes a disk store. The zero value is right for one machine.
type Config struct {
	// OnDamage is told of each damaged blob once, on the goroutine that found it; it may use the
	// store. Nil means that only the log says it.
	OnDamage func(Damage)
	// ScrubBytesPerSecond is how fast Scrub reads. 0 means 50 MB/s.
	ScrubBytesPerSecond int64
}

const (
	defaultScrubRate = 50_000_000

	folders = 256 // one for each first byte of a digest

	tmpFolder     = "tmp"
	damagedFolder = "damaged"
	encodingsFile = "encodings"
)

// ErrShut says that a store cannot be written, only read.
var ErrShut = errors.New("the blob store cannot be written")

// Disk is a store in a folder:
//
//	ab/abcd…   a blob under its digest; whole, because it gets that name only once its bytes are durable
//	tmp/N/     what batch N has put and not committed; whatever is there at a start is left from a crash
//	damaged/   blobs that were set aside, under their digests
//	encodings  which blobs hold which other blobs' encoded forms; a cache
type Disk struct {
	lg   *slog.Logger
	dir  string
	cfg  Config
	sys  system
	lock *os.File // the folder, held with flock as long as the store is open

	index     index
	encodings encodings
	checks    singleflight.Group // one hashing of a blob at a time
	buffers   sync.Pool          // of *[]byte with bufferSize bytes

	// lease is held for reading by every open batch, and for writing by Collect while it deletes.
	lease sync.RWMutex
	// place is held for reading while a batch renames its files into place, and for writing while a damaged file is
	// moved away, so that the new file is never taken for the damaged one.
	place sync.RWMutex
	// collect lets one Collect run at a time.
	collect sync.Mutex

	// made says which folders are there for good: a new one is as soon as the sync of dir has made it durable.
	made [folders]atomic.Bool

	// shut says why nothing can be put or collected: the folder cannot be written. What is there is served.
	shut error

	batches atomic.Int64 // names the batches' folders
	closed  atomic.Bool
}

var _ Store = (*Disk)(nil)

// Open opens the store in dir, which it creates if need be. It lists what is there, removes what a crash left in tmp/,
// and reads no blob. An error of kind aplomb.ErrRefused means that another process has the store open.
func Open(lg *slog.Logger, dir string, cfg Config) (*Disk, error) {
	return open(lg, dir, cfg, linux())
}

func open(lg *slog.Logger, dir string, cfg Config, sys system) (*Disk, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	if cfg.ScrubBytesPerSecond <= 0 {
		cfg.ScrubBytesPerSecond = defaultScrubRate
	}
	s := &Disk{lg: lg, dir: dir, cfg: cfg, sys: sys}
	s.index.entries = map[aplomb.Digest]entry{}
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	if err := s.load(); err != nil {
		if s.lock != nil {
			s.lock.Close()
		}
		return nil, fmt.Errorf("open blobs in %s: %w", dir, err)
	}
	return s, nil
}

func (s *Disk) load() error {
	if err := s.lockFolder(); err != nil {
		return err
	}
	err := s.prepare()
	existing, unseen := s.findFolders()
	unlisted := s.index.load(existing, filepath.Join(s.dir, damagedFolder))
	if err = errors.Join(err, unseen, unlisted); err != nil {
		s.shut = fmt.Errorf("%w: %w", ErrShut, err)
		s.lg.Error("no files can be stored, those that are there are served", "dir", s.dir, "err", err)
	}
	return s.encodings.load(s.lg, filepath.Join(s.dir, encodingsFile), &s.index)
}

func (s *Disk) lockFolder() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return diskError("create folder", err)
	}
	f, err := os.Open(s.dir)
	if err != nil {
		return diskError("open folder", err)
	}
	s.lock = f
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%w: another process has it open", aplomb.ErrRefused)
		}
		return fmt.Errorf("lock folder: %w", err)
	}
	return nil
}

// prepare makes the folder one that blobs can be put into.
func (s *Disk) prepare() error {
	created, err := s.makeFolders()
	if err != nil {
		return err
	}
	if created {
		if err := s.syncFolder(s.dir); err != nil {
			return err
		}
	}
	return s.clearTmp()
}

// Shut says why the store cannot be written, nil where it can.
func (s *Disk) Shut() error { return s.shut }

func (s *Disk) makeFolders() (created bool, err error) {
	for _, name := range []string{tmpFolder, damagedFolder} {
		switch err := os.Mkdir(filepath.Join(s.dir, name), 0o700); {
		case err == nil:
			created = true
		case !errors.Is(err, fs.ErrExist):
			return created, diskError("create folder", err)
		}
	}
	return created, nil
}

func (s *Disk) findFolders() (existing []string, unseen error) {
	for i := range folders {
		switch _, err := os.Lstat(s.folder(i)); {
		case err == nil:
			s.made[i].Store(true)
			existing = append(existing, s.folder(i))
		case !errors.Is(err, fs.ErrNotExist):
			unseen = errors.Join(unseen, diskError("look for folder", err))
		}
	}
	return existing, unseen
}

// clearTmp removes what a crash left. Where there is something, the crash may have come between the renaming of a
// batch's files and the sync of their folders: what is listed next must be durable first, because Missing will say
// that it is there.
func (s *Disk) clearTmp() error {
	tmp := filepath.Join(s.dir, tmpFolder)
	left, err := os.ReadDir(tmp)
	if err != nil {
		return diskError("list tmp", err)
	}
	if len(left) == 0 {
		return nil
	}
	if err := s.sys.syncfs(int(s.lock.Fd())); err != nil {
		return diskError("sync after a crash", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(tmp, e.Name())); err != nil {
			return diskError("remove left-over", err)
		}
	}
	s.lg.Info("uncommitted blobs removed", "batches", len(left))
	return nil
}

// Close releases the folder for other processes. Batches must be closed before.
func (s *Disk) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	err := s.encodings.close()
	// Closing alone would leave the lock to a child that is being started at this moment, until it has exec'd.
	err = errors.Join(err, unix.Flock(int(s.lock.Fd()), unix.LOCK_UN))
	return errors.Join(err, s.lock.Close())
}

// folder returns the folder of the blobs whose first byte is i.
func (s *Disk) folder(i int) string { return filepath.Join(s.dir, fmt.Sprintf("%02x", i)) }

// path returns where a blob is. It is built by hand because 10,000 are built for each upload.
func (s *Disk) path(d aplomb.Digest) string {
	b := make([]byte, 0, len(s.dir)+4+2*len(d))
	b = append(b, s.dir...)
	b = append(b, '/')
	b = appendHex(b, d[:1])
	b = append(b, '/')
	b = appendHex(b, d[:])
	return string(b)
}

func (s *Disk) damagedPath(d aplomb.Digest) string {
	return filepath.Join(s.dir, damagedFolder, d.String())
}

// tell names damage; the zero value is none.
func (s *Disk) tell(d Damage) {
	if d == (Damage{}) {
		return
	}
	s.lg.Error("blob damaged", "blob", d.Digest.String(), "file", d.File, "why", d.Why)
	if s.cfg.OnDamage != nil {
		s.cfg.OnDamage(d)
	}
}
