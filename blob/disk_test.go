package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/blob/blobtest"
)

// text returns n bytes that differ by seed.
func text(seed, n int) []byte {
	return bytes.Repeat([]byte(aplomb.Sum([]byte{byte(seed), byte(seed >> 8)}).String()), n/64+1)[:n]
}

// reopen opens a store in dir for one use.
func reopen(t testing.TB, dir string, cfg blob.Config, use func(*blob.Disk)) {
	t.Helper()
	s, err := blob.Open(quiet(), dir, cfg)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	use(s)
	if err := s.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
}

// checkFolder is the oracle over a store's folder: every file under a blob's name is that blob, and nothing else lies about.
// It returns how many blobs there are.
func checkFolder(t testing.TB, dir string) int {
	t.Helper()
	blobs := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		first, _, _ := strings.Cut(rel, "/")
		switch {
		case e.IsDir() && (rel == "." || rel == "tmp" || rel == "damaged" || len(rel) == 2 || first == "tmp"):
		case rel == "encodings":
		case first == "damaged":
		case len(first) == 2 && e.Type().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if got := aplomb.Sum(b).String(); got != e.Name() || got[:2] != first {
				t.Errorf("%s holds %d bytes with the sha-256 %s", rel, len(b), got)
			}
			blobs++
		default:
			t.Errorf("%s is left", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return blobs
}

func TestCommittedBlobsAreThereAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var contents [][]byte
	for i := range 100 {
		contents = append(contents, text(i, 100*i))
	}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) { blobtest.Put(t, s, contents...) })
	if n := checkFolder(t, dir); n != len(contents) {
		t.Errorf("%d blobs in the folder, want %d", n, len(contents))
	}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		for _, c := range contents {
			blobtest.Same(t, s, c)
		}
		if got := s.Missing([]blob.Ref{blobtest.Ref(contents[7])}); len(got) != 0 {
			t.Errorf("Missing = %v, want none", got)
		}
	})
}

// rot are the ways in which a file goes wrong while nobody looks, with its size, time and name kept where possible.
var rot = map[string]func(path string) error{
	"bit flipped": func(path string) error {
		return keepTime(path, func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	},
	"last byte":  func(path string) error { return keepTime(path, func(b []byte) []byte { b[len(b)-1]++; return b }) },
	"cut short":  func(path string) error { return keepTime(path, func(b []byte) []byte { return b[:len(b)/2] }) },
	"emptied":    func(path string) error { return keepTime(path, func([]byte) []byte { return nil }) },
	"zeroed":     func(path string) error { return keepTime(path, func(b []byte) []byte { clear(b); return b }) },
	"a folder":   func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	"a pipe":     func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
	"a dead end": func(path string) error { return errors.Join(os.Remove(path), os.Symlink("nowhere", path)) },
	"a link":     func(path string) error { return errors.Join(os.Rename(path, path+"x"), os.Symlink(path+"x", path)) },
}

func keepTime(path string, change func([]byte) []byte) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path, change(b), 0o600), os.Chtimes(path, st.ModTime(), st.ModTime()))
}

func TestBlobThatRottedWhileStoppedIsNamedAndNotServed(t *testing.T) {
	t.Parallel()
	for how, damage := range rot {
		t.Run(strings.ReplaceAll(how, " ", "-"), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c, whole := text(1, 5000), text(2, 5000)
			d := aplomb.Sum(c)
			reopen(t, dir, blob.Config{}, func(s *blob.Disk) { blobtest.Put(t, s, c, whole) })
			if err := damage(blobPath(dir, d)); err != nil {
				t.Fatal(err)
			}
			var told []blob.Damage
			cfg := blob.Config{OnDamage: func(d blob.Damage) { told = append(told, d) }}
			for range 2 { // also after another start
				reopen(t, dir, cfg, func(s *blob.Disk) {
					if _, _, err := s.Open(d); !errors.Is(err, aplomb.ErrDamaged) {
						t.Errorf("Open = %v, want damaged", err)
					}
					if got := s.Missing([]blob.Ref{blobtest.Ref(c)}); len(got) != 1 {
						t.Errorf("Missing = %v, want the damaged blob", got)
					}
					blobtest.Same(t, s, whole)
				})
			}
			aside := filepath.Join(dir, "damaged", d.String())
			if len(told) != 1 || told[0].Digest != d || told[0].File != aside {
				t.Fatalf("told %+v, want it once, in %s", told, aside)
			}
			if _, err := os.Lstat(aside); err != nil {
				t.Errorf("not set aside: %v", err)
			}
			reopen(t, dir, cfg, func(s *blob.Disk) {
				blobtest.Put(t, s, c)
				blobtest.Same(t, s, c)
			})
			reopen(t, dir, cfg, func(s *blob.Disk) { blobtest.Same(t, s, c) })
		})
	}
}

func TestWhoeverIsToldOfDamageMayUseTheStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, gone := text(1, 500), text(2, 500)
	var s *blob.Disk
	told := 0
	s = openDisk(t, dir, blob.Config{OnDamage: func(d blob.Damage) {
		told++
		if _, _, err := s.Open(d.Digest); !errors.Is(err, aplomb.ErrDamaged) {
			t.Errorf("Open = %v, want damaged", err)
		}
		for _, c := range [][]byte{c, gone} { // fetched from elsewhere, say
			if aplomb.Sum(c) == d.Digest {
				blobtest.Put(t, s, c)
			}
		}
	}})
	blobtest.Put(t, s, c, gone)
	for _, find := range []func(){
		func() { s.Open(aplomb.Sum(c)) },
		func() { s.Missing([]blob.Ref{blobtest.Ref(c), blobtest.Ref(gone)}) },
		func() { s.Scrub(t.Context()) },
	} {
		damageFile(t, blobPath(dir, aplomb.Sum(c)), func(b []byte) []byte { return b[:10] })
		damageFile(t, blobPath(dir, aplomb.Sum(gone)), func([]byte) []byte { return nil })
		find()
		s.Open(aplomb.Sum(c))
		s.Open(aplomb.Sum(gone))
		blobtest.Same(t, s, c)
		blobtest.Same(t, s, gone)
	}
	if told != 6 {
		t.Errorf("told %d times, want each of six damages", told)
	}
}

func TestBlobDeletedWhileStoppedIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := text(1, 500)
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) { blobtest.Put(t, s, c) })
	if err := os.Remove(blobPath(dir, aplomb.Sum(c))); err != nil {
		t.Fatal(err)
	}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		if _, _, err := s.Open(aplomb.Sum(c)); !errors.Is(err, aplomb.ErrNotFound) {
			t.Errorf("Open = %v, want not found", err)
		}
		if got := s.Missing([]blob.Ref{blobtest.Ref(c)}); len(got) != 1 {
			t.Errorf("Missing = %v, want the blob", got)
		}
	})
}

func TestCollectDeletesWhatWasSetAsideOnceItIsOfNoUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openDisk(t, dir, blob.Config{})
	kept, healed, gone := text(1, 500), text(2, 500), text(3, 500)
	blobtest.Put(t, s, kept, healed, gone)
	for _, c := range [][]byte{kept, healed, gone} {
		damageFile(t, blobPath(dir, aplomb.Sum(c)), func(b []byte) []byte { return b[1:] })
		s.Open(aplomb.Sum(c))
	}
	blobtest.Put(t, s, healed)
	keep := func(d aplomb.Digest) bool { return d != aplomb.Sum(gone) }
	if _, err := s.Collect(t.Context(), keep, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for c, want := range map[string]bool{string(kept): true, string(healed): false, string(gone): false} {
		_, err := os.Stat(filepath.Join(dir, "damaged", aplomb.Sum([]byte(c)).String()))
		if got := err == nil; got != want {
			t.Errorf("%s is still in damaged/: %v, want %v", aplomb.Sum([]byte(c)).Short(), got, want)
		}
	}
	if _, _, err := s.Open(aplomb.Sum(gone)); !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("Open of a collected blob = %v, want not found", err)
	}
}

func TestBlobFoundPresentIsSparedByCollect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missed, put, old := text(1, 500), text(2, 500), text(3, 500)
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) { blobtest.Put(t, s, missed, put, old) })
	long := time.Now().Add(-48 * time.Hour)
	for _, c := range [][]byte{missed, put, old} {
		if err := os.Chtimes(blobPath(dir, aplomb.Sum(c)), long, long); err != nil {
			t.Fatal(err)
		}
	}
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		s.Missing([]blob.Ref{blobtest.Ref(missed)})
		blobtest.Put(t, s, put)
		none := func(aplomb.Digest) bool { return false }
		got, err := s.Collect(t.Context(), none, time.Now().Add(-24*time.Hour))
		if want := (blob.Collected{Blobs: 1, Bytes: 500}); got != want || err != nil {
			t.Errorf("Collect = %+v, %v, want %+v: only what no upload has seen", got, err, want)
		}
		blobtest.Same(t, s, missed)
		blobtest.Same(t, s, put)
	})
}

func TestSecondOpenIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) {
		if _, err := blob.Open(quiet(), dir, blob.Config{}); !errors.Is(err, aplomb.ErrRefused) {
			t.Errorf("second Open = %v, want refused", err)
		}
	})
	reopen(t, dir, blob.Config{}, func(*blob.Disk) {})
}

func TestLeftOversAreRemovedAtOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := text(1, 500)
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) { blobtest.Put(t, s, c) })
	for _, name := range []string{"tmp/1/0", "tmp/1/1", "tmp/12/7", "tmp/stray"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("half"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	synced := 0
	s, err := blob.OpenThrough(quiet(), dir, blob.Config{}, func(c blob.Call, do func() error) error {
		if c.Op == "syncfs" {
			synced++
		}
		return do()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 0 || err != nil {
		t.Errorf("tmp holds %v, %v, want nothing", left, err)
	}
	if synced != 1 {
		t.Errorf("%d syncs after a crash, want one: the last batch's names may not be durable", synced)
	}
	blobtest.Same(t, s, c)
}

func TestFirstOpensAtOnceHashOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := text(1, 1<<20)
	reopen(t, dir, blob.Config{}, func(s *blob.Disk) { blobtest.Put(t, s, c) })
	var reads atomic.Int64
	arrived := make(chan struct{}, 8)
	s, err := blob.OpenThrough(quiet(), dir, blob.Config{}, func(c blob.Call, do func() error) error {
		if c.Op == "read" && reads.Add(1) == 1 {
			for range cap(arrived) { // hash only once all have asked
				<-arrived
			}
		}
		return do()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var readers sync.WaitGroup
	for range cap(arrived) {
		readers.Go(func() {
			arrived <- struct{}{}
			blobtest.Same(t, s, c)
		})
	}
	readers.Wait()
	once := reads.Load()
	if want := int64(1<<20/(256<<10) + 1); once != want {
		t.Errorf("%d reads by %d first opens, want %d", once, cap(arrived), want)
	}
	blobtest.Same(t, s, c)
	if got := reads.Load(); got != once {
		t.Errorf("a later open hashes again")
	}
}

func TestFreshlyPutBlobIsNotReadAgain(t *testing.T) {
	t.Parallel()
	s, err := blob.OpenThrough(quiet(), t.TempDir(), blob.Config{}, func(c blob.Call, do func() error) error {
		if c.Op == "read" {
			t.Errorf("%s is hashed although it was just put", c.Path)
		}
		return do()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	blobtest.Put(t, s, text(1, 500), text(2, 500_000))
	blobtest.Same(t, s, text(1, 500))
	blobtest.Same(t, s, text(2, 500_000))
}

func TestBlobHealedWhileItIsExaminedStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := text(1, 5000)
	d := aplomb.Sum(c)
	told := 0
	cfg := blob.Config{OnDamage: func(blob.Damage) { told++ }}
	var s *blob.Disk
	heal := sync.OnceFunc(func() {
		// Missing would have to know the blob as damaged for Put to keep it: cut it, so that its size says so.
		if err := os.Truncate(blobPath(dir, d), 10); err != nil {
			t.Error(err)
		}
		blobtest.Put(t, s, c)
	})
	var err error
	s, err = blob.OpenThrough(quiet(), dir, cfg, func(c blob.Call, do func() error) error {
		err := do()
		if c.Op == "read" {
			heal()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	blobtest.Put(t, s, c)
	damageFile(t, blobPath(dir, d), func(b []byte) []byte { b[7]++; return b })
	blobtest.Same(t, s, c)
	if told != 0 {
		t.Errorf("%d damages told of a blob that was healed before it could be set aside", told)
	}
	checkFolder(t, dir)
}

func TestUnreadableBlobIsDamagedAndBusyMachineIsNot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err     error
		damaged bool
	}{{syscall.EIO, true}, {syscall.EMFILE, false}, {syscall.ENOMEM, false}} {
		dir := t.TempDir()
		reopen(t, dir, blob.Config{}, func(s *blob.Disk) { blobtest.Put(t, s, text(1, 100)) })
		fail := true
		s, err := blob.OpenThrough(quiet(), dir, blob.Config{}, func(call blob.Call, do func() error) error {
			if call.Op == "read" && fail {
				return c.err
			}
			return do()
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Open(aplomb.Sum(text(1, 100)))
		if err == nil || errors.Is(err, aplomb.ErrDamaged) != c.damaged {
			t.Errorf("Open after %v = %v, want damaged %v", c.err, err, c.damaged)
		}
		fail = false
		if f, _, err := s.Open(aplomb.Sum(text(1, 100))); (err != nil) != c.damaged {
			t.Errorf("Open once %v has passed = %v, want damaged %v", c.err, err, c.damaged)
		} else if err == nil {
			f.Close()
		}
		s.Close()
	}
}

func TestScrubKeepsToItsPace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := blob.Open(quiet(), dir, blob.Config{ScrubBytesPerSecond: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var contents [][]byte
		for i := range 100 {
			contents = append(contents, text(i, 10_000))
		}
		blobtest.Put(t, s, contents...)
		start := time.Now()
		if _, err := s.Scrub(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 9900*time.Millisecond || took > 10*time.Second {
			t.Errorf("scrub of 1 MB at 100 kB/s took %v, want 10 s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		if _, err := s.Scrub(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Scrub = %v, want its context's end", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("scrub ended %v after its start, want at once when its context ended", took)
		}
	})
}

func TestEncodingsAllocatesNothing(t *testing.T) {
	s := openDisk(t, t.TempDir(), blob.Config{})
	blobtest.Put(t, s, text(1, 500))
	d := aplomb.Sum(text(1, 500))
	e := blob.Encodings{blob.Gzip: {Digest: d, Size: 500, Level: 6}}
	if err := s.PutEncodings(map[aplomb.Digest]blob.Encodings{d: e}); err != nil {
		t.Fatal(err)
	}
	var got blob.Encodings
	if n := testing.AllocsPerRun(100, func() { got = s.Encodings(d) }); n != 0 || got != e {
		t.Errorf("Encodings = %v with %v allocations, want %v with none", got, n, e)
	}
}
