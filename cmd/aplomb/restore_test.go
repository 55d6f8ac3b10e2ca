package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"aplomb"
	"aplomb/api"
	"aplomb/backup"
	"aplomb/blob"
	"aplomb/journal"
	"aplomb/release"
)

// stocked is a server without doors, on a data folder.
type stocked struct {
	*house
	t *testing.T
}

// stock opens the parts of a server on a folder. now may move on by itself.
func stock(t *testing.T, dir string, now func() time.Time) *stocked {
	t.Helper()
	c := &call{stdout: io.Discard, stderr: io.Discard, now: now, getenv: env()}
	h := &house{c: c, lg: quiet(), dir: dir, parts: newParts(quiet()), damaged: make(chan blob.Damage, 256)}
	h.machine = h.machine.over(machineSettings{})
	for _, open := range []func(context.Context) error{h.openFolder, h.openBlobs, h.openRecord, h.openEdge, h.openLedger, h.openManager} {
		if err := open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { h.parts.stop() })
	return &stocked{h, t}
}

func (s *stocked) close() {
	s.t.Helper()
	if err := s.parts.stop(); err != nil {
		s.t.Fatal(err)
	}
}

// copied copies the data folder as it is now, but for the reserve. Nothing may be under way.
func (s *stocked) copied(to string) string {
	s.t.Helper()
	for _, name := range []string{"journal", "state", "blobs"} {
		if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(s.dir, name))); err != nil {
			s.t.Fatal(err)
		}
	}
	return to
}

// deploy puts files in front of the visitors.
func (s *stocked) deploy(site aplomb.SiteName, files map[string]string) (release.Deployed, error) {
	req := release.UploadRequest{Site: site, Hosts: []string{string(site) + ".test"}}
	texts := map[aplomb.Digest]string{}
	for _, p := range slices.Sorted(maps.Keys(files)) {
		d := aplomb.Sum([]byte(files[p]))
		texts[d] = files[p]
		req.Files = append(req.Files, aplomb.File{Path: p, Digest: d, Size: int64(len(files[p]))})
	}
	ctx := s.t.Context()
	up, err := s.manager.Begin(ctx, release.Ask{Actor: "mia", Why: "deploy"}, req)
	if err != nil {
		return release.Deployed{}, err
	}
	var stream bytes.Buffer
	for _, d := range up.Missing {
		if err := release.WriteBlob(&stream, blob.Ref{Digest: d, Size: int64(len(texts[d]))}, strings.NewReader(texts[d])); err != nil {
			return release.Deployed{}, err
		}
	}
	if err := release.EndStream(&stream); err != nil {
		return release.Deployed{}, err
	}
	if _, err := s.manager.Receive(ctx, up.ID, &stream); err != nil {
		return release.Deployed{}, err
	}
	return s.manager.Seal(ctx, up.ID)
}

func (s *stocked) mustDeploy(site aplomb.SiteName, files map[string]string) release.Deployed {
	s.t.Helper()
	d, err := s.deploy(site, files)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// page returns what a visitor gets at a site's /.
func (s *stocked) page(site aplomb.SiteName) string {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = string(site) + ".test"
	s.edge.ServeHTTP(w, r)
	return fmt.Sprintf("%d %s", w.Code, w.Body)
}

// backUp writes a backup into a file.
func (s *stocked) backUp(file string) error {
	b, err := s.backup(s.t.Context(), api.BackupAsk{})
	if err != nil {
		return err
	}
	defer b.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return b.Write(s.t.Context(), f)
}

// command runs the program and returns what it printed, on both ways out.
func command(t *testing.T, args ...string) (code int, text string) {
	t.Helper()
	var out bytes.Buffer
	c := &call{stdout: &out, stderr: &out, screen: plainScreen(200), now: time.Now, getenv: env("APLOMB_ACTOR", "mia")}
	return c.run(t.Context(), args), out.String()
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, text := command(t, args...)
	if code != 0 {
		t.Fatalf("aplomb %s: exit code %d\n%s", strings.Join(args, " "), code, text)
	}
	return text
}

func manifestOf(t *testing.T, file string) backup.Manifest {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, _, err := backup.ReadManifest(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// While releases come, go back and are collected, each backup is the site as it was at one moment: it restores into a bare
// folder, its chain can be walked, and visitors get the page of the release that its head says is live.
func TestABackupUnderDeploysIsOneMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var days atomic.Int64
	s := stock(t, filepath.Join(dir, "D"), func() time.Time { return time.Now().Add(time.Duration(days.Load()) * 24 * time.Hour) })
	page := func(i int) map[string]string {
		return map[string]string{
			"/index.html":                        fmt.Sprintf("<!doctype html><title>%d</title>", i),
			"/shared.css":                        "body{}",
			fmt.Sprintf("/assets/a-%08dX.js", i): strings.Repeat(fmt.Sprintf("let a%d;\n", i), 20_000),
		}
	}
	var mu sync.Mutex
	pages := map[aplomb.ReleaseID]string{} // what / shows, by release
	var busy sync.WaitGroup
	done := make(chan struct{})
	first := s.mustDeploy("shop", page(0))
	pages[first.Release] = "200 " + page(0)["/index.html"]
	s.mustDeploy("blog", page(0))
	busy.Go(func() {
		defer close(done)
		for i := 1; i <= 16; i++ {
			days.Add(6)
			d, err := s.deploy("shop", page(i))
			if errors.Is(err, aplomb.ErrRefused) {
				continue // a rollback came first
			}
			if err != nil {
				t.Errorf("deploy %d: %v", i, err)
				return
			}
			mu.Lock()
			pages[d.Release] = "200 " + page(i)["/index.html"]
			mu.Unlock()
		}
	})
	rnd := rand.New(rand.NewPCG(1, 7))
	var collected atomic.Int64
	collect := func() {
		freed, err := s.manager.Collect(t.Context())
		if err != nil {
			t.Errorf("collect: %v", err)
		}
		collected.Add(int64(freed.Blobs))
	}
	busy.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if rnd.IntN(3) == 0 {
				s.manager.Rollback(t.Context(), release.Ask{Actor: "mia"}, "shop") // refused where there is nothing to go back to
			}
			collect()
		}
	})
	var files []string
	for i := 0; ; i++ {
		file := filepath.Join(dir, fmt.Sprintf("b%d", i))
		if err := s.backUp(file); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		collect() // no backup is being made, so that it may delete
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	busy.Wait()
	if collected.Load() == 0 {
		t.Error("nothing was collected meanwhile: the test has lost its point")
	}
	if last := manifestOf(t, files[len(files)-1]); last.Sites[1].Head.N < 50 {
		t.Errorf("the last backup is at n %d", last.Sites[1].Head.N)
	}
	for k := 0; k < len(files); k += max(1, len(files)/6) {
		m := manifestOf(t, files[k])
		to := filepath.Join(dir, fmt.Sprint("R", k))
		mustRun(t, "restore", files[k], "--dir", to)
		if text := mustRun(t, "audit", "verify", "--dir", to); strings.Count(text, "✔") != 2 {
			t.Errorf("audit verify: %s", text)
		}
		r := stock(t, to, time.Now)
		if got, want := r.page("shop"), pages[m.Sites[1].Live]; got != want {
			t.Errorf("backup %d, at n %d, says %s is live, visitors of the restored folder get %q, want %q", k, m.Sites[1].Head.N, m.Sites[1].Live, got, want)
		}
		if d := r.manager.Degraded(); len(d) > 0 {
			t.Errorf("the restored folder is degraded: %v", d)
		}
		r.close()
	}
}

// tree is every file below dir with its text, but for the lock, whose text names a process.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case d.IsDir():
			all[name] = "folder"
		case name == "lock":
			all[name] = ""
		default:
			b, err := os.ReadFile(path)
			all[name] = string(b)
			return err
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestARefusedRestoreLeavesTheFolderAsItWas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one"})
	old := s.copied(filepath.Join(dir, "old"))
	s.mustDeploy("shop", map[string]string{"/index.html": "two", "/big.bin": strings.Repeat("0123456789", 60_000)})
	good := filepath.Join(dir, "good")
	if err := s.backUp(good); err != nil {
		t.Fatal(err)
	}
	s.mustDeploy("blog", map[string]string{"/index.html": "blog"})
	s.close()
	archive, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := func(name string, change func([]byte) []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, change(bytes.Clone(archive)), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	flip := func(at int) func([]byte) []byte { return func(b []byte) []byte { b[at] ^= 4; return b } }
	text := bytes.Index(archive, []byte("0123456789"))
	backups := map[string]string{
		"cut in its manifest":    bad("cut1", cut(700)),
		"cut in a blob":          bad("cut2", cut(text+300_000)),
		"cut before its closing": bad("cut3", cut(len(archive)-3*512)),
		"cut in its last blocks": bad("cut4", cut(len(archive)-1)),
		"altered in a blob":      bad("flip1", flip(text+1000)),
		"altered in a fact":      bad("flip2", flip(bytes.Index(archive, []byte(`"kind":"requested"`))+9)),
		"altered in its closing": bad("flip3", flip(bytes.Index(archive, []byte(`"sha256"`))+12)),
		"hostile": bad("hostile", func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(`"site": "shop"`), []byte(`"site": "../x"`))
		}),
		"foreign": bad("foreign", func([]byte) []byte { return []byte("a letter") }),
	}
	folders := map[string]func(t *testing.T) string{
		"bare": func(t *testing.T) string { return filepath.Join(t.TempDir(), "new", "D") },
		"with a machine's settings": func(t *testing.T) string {
			d := t.TempDir()
			if err := os.WriteFile(filepath.Join(d, "machine.toml"), []byte("api = \"127.0.0.1:1\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			return d
		},
		"with an older timeline": func(t *testing.T) string {
			d := filepath.Join(t.TempDir(), "D")
			if err := os.CopyFS(d, os.DirFS(old)); err != nil {
				t.Fatal(err)
			}
			return d
		},
	}
	for what, file := range backups {
		for where, folder := range folders {
			t.Run(what+", "+where, func(t *testing.T) {
				t.Parallel()
				to := folder(t)
				before := tree(t, to)
				code, text := command(t, "restore", file, "--dir", to, "--over")
				if code != exitInvalid && code != exitRefused || !strings.Contains(text, "APL-500") {
					t.Errorf("exit code %d\n%s", code, text)
				}
				if !maps.Equal(tree(t, to), before) {
					t.Errorf("the folder changed: %v, before %v", slices.Sorted(maps.Keys(tree(t, to))), slices.Sorted(maps.Keys(before)))
				}
			})
		}
	}
	t.Run("a site that is not in the backup", func(t *testing.T) {
		t.Parallel()
		code, text := command(t, "restore", good, "--dir", filepath.Join(dir, "D"), "--over")
		if code != exitRefused || !strings.Contains(text, "blog") {
			t.Errorf("exit code %d\n%s", code, text)
		}
	})
}

func TestAnOlderTimelineIsKeptAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one", "/a.txt": "a"})
	copied := s.copied(filepath.Join(dir, "copy"))
	s.mustDeploy("shop", map[string]string{"/index.html": "two", "/b.txt": "b"})
	file := filepath.Join(dir, "backup")
	if err := s.backUp(file); err != nil {
		t.Fatal(err)
	}
	was := manifestOf(t, file).Sites[0].Head
	s.close()

	journalBefore := tree(t, filepath.Join(copied, "journal"))
	if code, text := command(t, "restore", file, "--dir", copied); code != exitRefused || !strings.Contains(text, "--over") {
		t.Fatalf("exit code %d\n%s", code, text)
	}
	text := mustRun(t, "restore", file, "--dir", copied, "--over")
	aside, err := filepath.Glob(filepath.Join(copied, "before-restore-*"))
	if err != nil || len(aside) != 1 || !strings.Contains(text, aside[0]) {
		t.Fatalf("kept aside in %q, %v\n%s", aside, err, text)
	}
	if !maps.Equal(tree(t, filepath.Join(aside[0], "journal")), journalBefore) {
		t.Error("the timeline that was kept aside is not the one that was there")
	}
	r := stock(t, copied, time.Now)
	if got := r.page("shop"); got != "200 two" {
		t.Errorf("visitors get %q, want what was live at the backup", got)
	}
	for e, err := range r.ledger.Entries(t.Context(), "shop", was.N) {
		if err != nil || e.Fact.Kind != aplomb.FactRestored || e.Head.Epoch != was.Epoch+1 || e.Fact.Actor != "mia" {
			t.Errorf("the fact behind the backup's head is %+v of epoch %d, %v", e.Fact, e.Head.Epoch, err)
		}
		break
	}
}

func TestADamagedTimelineIsReplacedByItsBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one"})
	file := filepath.Join(dir, "backup")
	if err := s.backUp(file); err != nil {
		t.Fatal(err)
	}
	s.close()
	segment := filepath.Join(dir, "D", "journal", "shop", "00000000000000000001.jsonl")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "restore", file, "--dir", filepath.Join(dir, "D"), "--over")
	mustRun(t, "audit", "verify", "--dir", filepath.Join(dir, "D"))
	if got := stock(t, filepath.Join(dir, "D"), time.Now).page("shop"); got != "200 one" {
		t.Errorf("visitors get %q", got)
	}
}

func TestADamagedFileIsNamedWithItsReleases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one", "/gone.txt": "gone"})
	s.mustDeploy("shop", map[string]string{"/index.html": "two", "/big.bin": strings.Repeat("rotten", 100_000)})
	s.mustDeploy("blog", map[string]string{"/index.html": "blog"})
	blobFile := func(text string) string {
		d := aplomb.Sum([]byte(text)).String()
		return filepath.Join(dir, "D", "blobs", d[:2], d)
	}
	if err := os.Remove(blobFile("gone")); err != nil {
		t.Fatal(err)
	}
	rotten := strings.Repeat("rotten", 100_000)
	if err := os.WriteFile(blobFile(rotten), []byte(rotten[:400_000]+"R"+rotten[400_001:]), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "backup")
	if err := s.backUp(file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := receive(f, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var releases []string
	for _, d := range r.Damaged {
		releases = append(releases, d.Releases...)
	}
	slices.Sort(releases)
	if want := []string{"shop r1", "shop r2"}; !slices.Equal(releases, want) {
		t.Errorf("not whole: %q, want %q", releases, want)
	}
	if e, ok := errors.AsType[*aplomb.Error](r.whole()); !ok || exitOf(e) != exitDegraded || !strings.Contains(e.Why, "shop r1, shop r2") {
		t.Errorf("the command ends with %v, want exit code %d and the releases", r.whole(), exitDegraded)
	}
	to := filepath.Join(dir, "R")
	if text := mustRun(t, "restore", file, "--dir", to); !strings.Contains(text, "not whole: shop r2") {
		t.Errorf("restore does not say what is missing:\n%s", text)
	}
	restored := stock(t, to, time.Now)
	if got := restored.page("shop"); got != "200 two" {
		t.Errorf("visitors of shop get %q", got)
	}
	if got := restored.page("blog"); got != "200 blog" {
		t.Errorf("visitors of blog get %q", got)
	}
}

func TestASiteWithADamagedTimelineIsLeftOutAndNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one"})
	s.mustDeploy("blog", map[string]string{"/index.html": "blog"})
	segment := filepath.Join(dir, "D", "journal", "shop", "00000000000000000001.jsonl")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "backup")
	if err := s.backUp(file); err != nil {
		t.Fatal(err)
	}
	m := manifestOf(t, file)
	if len(m.Sites) != 1 || m.Sites[0].Name != "blog" || len(m.LeftOut) != 1 || m.LeftOut[0].Site != "shop" || !strings.Contains(m.LeftOut[0].Why, "byte") {
		t.Errorf("sites %+v, left out %+v", m.Sites, m.LeftOut)
	}
	if s.page("shop") != "200 one" {
		t.Error("the site is no longer served")
	}
}

// A chain that was restored once before, and one of several segments, are backed up like any other.
func TestABackupOfARestoredChain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D0"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one"})
	for i := range 3 {
		file := filepath.Join(dir, fmt.Sprint("backup", i))
		if err := s.backUp(file); err != nil {
			t.Fatal(err)
		}
		s.close()
		next := filepath.Join(dir, fmt.Sprint("D", i+1))
		mustRun(t, "restore", file, "--dir", next)
		s = stock(t, next, time.Now)
		s.mustDeploy("shop", map[string]string{"/index.html": fmt.Sprint("after ", i)})
	}
	if n, head, err := s.journal.Verify(t.Context(), "shop"); err != nil || head.Epoch != 4 || n != head.N {
		t.Errorf("Verify = %d facts, head %+v, %v, want epoch 4", n, head, err)
	}
}

func TestMachineSettingsComeBackOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one"})
	settings := "listen = [\"127.0.0.1:81\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "D", "machine.toml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "backup")
	if err := s.backUp(file); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "restore", file, "--dir", filepath.Join(dir, "without"))
	if exists(filepath.Join(dir, "without", "machine.toml")) {
		t.Error("machine.toml came back unasked")
	}
	mustRun(t, "restore", file, "--dir", filepath.Join(dir, "with"), "--with-machine")
	if b, err := os.ReadFile(filepath.Join(dir, "with", "machine.toml")); err != nil || string(b) != settings {
		t.Errorf("machine.toml = %q, %v", b, err)
	}
	for name := range tree(t, filepath.Join(dir, "with")) {
		if strings.Contains(name, "key") || strings.Contains(name, "aside") || strings.HasPrefix(name, restoringName) {
			t.Errorf("%s is left in the restored folder", name)
		}
	}
}

// A name holds a whole backup, or what it held before.
func TestABackupThatIsCutOffLeavesNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one"})
	whole := filepath.Join(dir, "whole")
	if err := s.backUp(whole); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	into := filepath.Join(dir, "into")
	if err := os.Mkdir(into, 0o700); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(into, "old")
	if err := os.WriteFile(old, []byte("an older one"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, into)
	for _, n := range []int{0, 100, 1000, len(archive) / 2, len(archive) - 1} {
		for _, name := range []string{"new", "old"} {
			if _, err := receiveFile(bytes.NewReader(archive[:n]), filepath.Join(into, name), true); err == nil {
				t.Errorf("%d of %d bytes were taken for a backup", n, len(archive))
			}
		}
	}
	if _, err := receiveFile(bytes.NewReader(archive), old, false); exitOf(err) != exitRefused {
		t.Errorf("without --force a file that came there meanwhile is replaced: %v", err)
	}
	if got := tree(t, into); !maps.Equal(got, before) {
		t.Errorf("the folder holds %v", slices.Sorted(maps.Keys(got)))
	}
	if _, err := receiveFile(bytes.NewReader(archive), old, true); err != nil || tree(t, into)["old"] != string(archive) {
		t.Errorf("with --force: %v, or other bytes", err)
	}
}

func TestAFolderInUseIsNotRestoredInto(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one"})
	file := filepath.Join(dir, "backup")
	if err := s.backUp(file); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "busy")
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := journal.Lock(to, "another")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if code, text := command(t, "restore", file, "--dir", to); code != exitRefused || !strings.Contains(text, string(aplomb.CodeLocked)) {
		t.Errorf("exit code %d\n%s", code, text)
	}
}

// The disk becomes full at every point at which it could, with and without a timeline there before.
func TestAFullDiskDuringARestoreLeavesTheFolderAsItWas(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("this test mounts a small file system and has to be run by root: sudo go test ./cmd/aplomb -run TestAFullDisk")
	}
	dir := t.TempDir()
	s := stock(t, filepath.Join(dir, "D"), time.Now)
	s.mustDeploy("shop", map[string]string{"/index.html": "one"})
	old, file := s.copied(filepath.Join(dir, "old")), filepath.Join(dir, "new")
	files := map[string]string{"/index.html": "two"}
	for i := range 20 {
		files[fmt.Sprintf("/f%d.txt", i)] = strings.Repeat(fmt.Sprint("line ", i), 1000)
	}
	s.mustDeploy("shop", files)
	if err := s.backUp(file); err != nil {
		t.Fatal(err)
	}
	s.close()
	for _, before := range []bool{false, true} {
		refused, fits := 0, 0
		for free := 16; fits < 2 && free < 2000; free += 12 {
			if restoreInto(t, filepath.Join(dir, fmt.Sprint(before, free)), old, file, before, free<<10) {
				fits++
			} else {
				refused++
			}
		}
		if refused < 5 || fits < 2 {
			t.Errorf("with a timeline before, %t: %d restores met a full disk and %d fitted", before, refused, fits)
		}
	}
}

// restoreInto restores into a small file system with so many bytes free, and reports whether that fits.
func restoreInto(t *testing.T, at, old, file string, before bool, free int) bool {
	t.Helper()
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", at, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Errorf("unmount %s: %v", at, err)
		}
	}()
	to := filepath.Join(at, "D")
	if before {
		if err := os.CopyFS(to, os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(at, &st); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at, "filler"), make([]byte, int(st.Bavail)*int(st.Bsize)-free), 0o600); err != nil {
		t.Fatal(err)
	}
	was := tree(t, to)
	code, text := command(t, "restore", file, "--dir", to, "--over")
	if code == exitDone {
		return true
	}
	if code != exitInvalid || !strings.Contains(text, string(aplomb.CodeNoSpace)) {
		t.Errorf("%d bytes free: exit code %d\n%s", free, code, text)
	}
	if got := tree(t, to); !maps.Equal(got, was) {
		t.Errorf("%d bytes free: the folder holds %v, before %v", free, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(was)))
	}
	return false
}
