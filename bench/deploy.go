package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

const (
	manyFiles = 10_000
	fileBytes = 30_000
)

// manySite writes a front end of 10,000 files and 300 MB: half text, half what does not compress.
func (r *run) manySite() (string, error) {
	dir := filepath.Join(r.dir, "many")
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	rnd := rand.NewChaCha8([32]byte{1})
	words := []string{"const ", "return ", "function ", "export ", "value", "=>", "{", "}", "\n", "this.", "render(", ");", "className:", "\"shop\"", "await "}
	pick := rand.New(rnd)
	for i := range manyFiles {
		folder := filepath.Join(dir, "assets", fmt.Sprint(i%100))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", err
		}
		b := make([]byte, fileBytes)
		name := fmt.Sprintf("image%d.png", i)
		rnd.Read(b)
		if i%2 == 0 {
			name = fmt.Sprintf("part%d.js", i)
			b = b[:0]
			for len(b) < fileBytes {
				b = append(b, words[pick.IntN(len(words))]...)
			}
			b = b[:fileBytes]
		}
		if err := os.WriteFile(filepath.Join(folder, name), b, 0o644); err != nil {
			return "", err
		}
	}
	return dir, os.WriteFile(filepath.Join(dir, "index.html"), []byte("<!doctype html><title>many</title>"), 0o644)
}

// synced runs f and then makes the file system durable, as both sides are measured.
func (r *run) synced(dir string, f func() error) (float64, error) {
	if err := r.command("sync", "-f", dir); err != nil {
		return 0, err
	}
	return timed(func() error {
		if err := f(); err != nil {
			return err
		}
		return r.command("sync", "-f", dir)
	})
}

// deploys measures first deploys, a deploy after one changed file, and one of a known release, beside rsync.
func (r *run) deploys() error {
	src, err := r.manySite()
	if err != nil {
		return err
	}
	var first, firstRsync []float64
	var s *server
	var plain string
	// Each round has folders of its own, and nothing is deleted before the end: ext4 creates files several times more
	// slowly after a deletion of thousands.
	for i := range max(3, r.rounds/2) {
		if s != nil {
			s.stop()
		}
		plain = filepath.Join(r.dir, fmt.Sprint("rsync-", i))
		ms, err := r.synced(r.dir, func() error { return r.command("rsync", "-a", src+"/", plain) })
		if err != nil {
			return err
		}
		firstRsync = append(firstRsync, ms)
		if s, err = r.up(false); err != nil {
			return err
		}
		if ms, err = r.synced(r.dir, func() error { _, err := r.deploy(s, src); return err }); err != nil {
			return err
		}
		first = append(first, ms)
	}
	defer s.stop()
	r.ratio("first deploy, 10,000 files, 300 MB, `sync -f` on both sides", first, firstRsync, "ms", "`rsync -a` into an empty folder", 1.5)
	return r.redeploys(s, src, plain)
}

func (r *run) redeploys(s *server, src, plain string) error {
	var one, rsync, linked, known []float64
	files, bytes := 0.0, 0.0
	previous := plain
	for i := range 2*r.rounds + 1 {
		changed := filepath.Join(src, "assets", "7", "part7.js")
		if i%2 == 0 {
			changed = filepath.Join(src, "index.html")
		}
		if err := os.WriteFile(changed, fmt.Appendf(nil, "<!doctype html><title>change %d</title>", i), 0o644); err != nil {
			return err
		}
		ms, err := r.synced(r.dir, func() error { return r.command("rsync", "-a", "--delete", src+"/", plain) })
		if err != nil {
			return err
		}
		rsync = append(rsync, ms)
		if ms, err = r.synced(r.dir, func() error { return r.linkDest(src, &previous, i) }); err != nil {
			return err
		}
		linked = append(linked, ms)
		var said map[string]any
		if ms, err = r.synced(r.dir, func() error { said, err = r.deploy(s, src); return err }); err != nil {
			return err
		}
		one = append(one, ms)
		files = max(files, said["files_uploaded"].(float64))
		if ms, err = r.synced(r.dir, func() error { said, err = r.deploy(s, src); return err }); err != nil {
			return err
		}
		known = append(known, ms)
		bytes = max(bytes, said["bytes_uploaded"].(float64))
	}
	a, b := median(one), median(rsync)
	r.add("one file changed", number(a)+" ms", "`rsync -a` "+number(b)+" ms", number(a/b), "≤ 1.0, or ≤ 150 ms", a/b <= 1 || a <= 150)
	r.ratio("one file changed, the atomic way", one, linked, "ms", "`rsync --link-dest` and a rename", 0.4)
	r.add("one file changed: files uploaded at most", number(files), "", number(files), "1", files == 1)
	r.add("a known release again: bytes uploaded at most", number(median(known))+" ms", "`rsync -a` "+number(b)+" ms", number(bytes), "0", bytes == 0)
	return nil
}

// linkDest is how people make rsync atomic: a new folder that shares unchanged files with the one before, and a symlink
// that is renamed.
func (r *run) linkDest(src string, previous *string, i int) error {
	next := filepath.Join(r.dir, fmt.Sprint("linked-", i))
	if err := r.command("rsync", "-a", "--link-dest", *previous, src+"/", next); err != nil {
		return err
	}
	tmp := filepath.Join(r.dir, "current.tmp")
	if err := os.Symlink(next, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(r.dir, "current")); err != nil {
		return err
	}
	*previous = next
	return nil
}
