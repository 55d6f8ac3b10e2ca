package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// original is a machine with a history of four releases, stopped. Tests of damage work on copies of its data folder.
type original struct {
	dir     string
	ends    []frontEnd // ends[i] became r(i+1)
	markers map[string]string
	live    string // r3, after a rollback from r4
	early   string // a copy of the data folder from when r3 was first live
}

func newOriginal(t *testing.T) *original {
	t.Helper()
	m := newMachine(t)
	m.start(t)
	o := &original{dir: m.dir, markers: map[string]string{}, early: filepath.Join(t.TempDir(), "early")}
	for _, marker := range []string{"one", "two", "three", "four"} {
		if marker == "four" {
			m.stop(t)
			copyFolder(t, m.dir, o.early)
			m.start(t)
		}
		f := newFrontEnd(t, marker, 2, map[string]string{"about.html": "<!doctype html><title>about</title>about " + marker})
		o.ends = append(o.ends, f)
		o.markers[m.deploy(t, f.dir).Release] = marker
	}
	o.live = m.rollback(t).To
	m.stop(t)
	m.start(t) // from here on the edge knows how far the journal went
	m.stop(t)
	return o
}

// copyFolder copies a data folder that nobody uses, with everything in it that is a file.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
}

// copied returns a machine with a copy of the original's data folder.
func (o *original) copied(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	copyFolder(t, o.dir, m.dir)
	return m
}

// find returns the one file under a data folder whose path has such an end.
func find(t *testing.T, dir string, end string) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(file, end) {
			found = append(found, file)
		}
		return err
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d files end with %s under %s: %q, %v", len(found), end, dir, found, err)
	}
	return found[0]
}

// blobName is the name under which a file's bytes are kept.
func blobName(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// damage is a way in which bytes on a disk stop being what was written.
type damage struct {
	name string
	do   func(content []byte) []byte // nil: the file is gone
}

// damages are the ways a file can be harmed whose last line was acknowledged.
var damages = []damage{
	{"torn", func(b []byte) []byte { return b[:len(b)-20] }},
	{"last line gone", func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }},
	{"zeroed at the end", func(b []byte) []byte { return zero(b, len(b)-300, len(b)) }},
	{"zeroed in the middle", func(b []byte) []byte { return zero(b, len(b)/2, len(b)/2+64) }},
	{"a bit flipped at the end", func(b []byte) []byte { return flip(b, len(b)-40) }},
	{"a bit flipped in the middle", func(b []byte) []byte { return flip(b, len(b)/2) }},
	{"a bit flipped at the beginning", func(b []byte) []byte { return flip(b, 30) }},
	{"a line gone from the middle", func(b []byte) []byte {
		lines := slices.Collect(bytes.Lines(b))
		return bytes.Join(slices.Delete(lines, len(lines)/2, len(lines)/2+1), nil)
	}},
	{"empty", func([]byte) []byte { return []byte{} }},
	{"gone", func([]byte) []byte { return nil }},
}

func zero(b []byte, from, to int) []byte {
	b = bytes.Clone(b)
	clear(b[max(0, from):min(len(b), to)])
	return b
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[max(0, at)] ^= 0x04
	return b
}

// harm applies a damage to a file.
func (d damage) harm(t *testing.T, file string) {
	t.Helper()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	after := d.do(before)
	if after == nil {
		err = os.Remove(file)
	} else {
		err = os.WriteFile(file, after, 0o600)
	}
	if err != nil || bytes.Equal(before, after) {
		t.Fatalf("%s was not damaged: %v", file, err)
	}
}

// TestDamage damages what the server stores in every way a disk can, and starts it. It is never silently older or empty: the
// site is served, writes are refused, a rollback works, and after recover everything does.
func TestDamage(t *testing.T) {
	t.Parallel()
	o := newOriginal(t)
	t.Run("journal", func(t *testing.T) {
		for _, d := range damages {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				m := o.copied(t)
				d.harm(t, find(t, m.dir, ".jsonl"))
				o.checkDegraded(t, m)
			})
		}
		for _, d := range damages[:3] {
			t.Run(d.name+", of a fact that moved nobody", func(t *testing.T) {
				t.Parallel()
				o.checkTail(t, d)
			})
		}
		t.Run("older", func(t *testing.T) {
			t.Parallel()
			m := o.copied(t)
			replace(t, find(t, o.early, ".jsonl"), find(t, m.dir, ".jsonl"))
			o.checkDegraded(t, m)
		})
		t.Run("forked", func(t *testing.T) {
			t.Parallel()
			m := o.copied(t)
			replace(t, o.otherHistory(t), find(t, m.dir, ".jsonl"))
			o.checkDegraded(t, m)
		})
		t.Run("a line begun and never acknowledged", func(t *testing.T) {
			t.Parallel()
			m := o.copied(t)
			damage{"begun", func(b []byte) []byte {
				return append(bytes.Clone(b), b[bytes.LastIndexByte(b[:len(b)-1], '\n')+1:len(b)-30]...)
			}}.harm(t, find(t, m.dir, ".jsonl"))
			if line := m.start(t); line != "READY" {
				t.Errorf("%s, want READY: what was never acknowledged is no loss", line)
			}
			o.checkHealthy(t, m, o.live)
		})
	})
	t.Run("edge state", func(t *testing.T) {
		for _, d := range damages {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				o.checkEdgeState(t, d, "shop.json")
				o.checkEdgeState(t, d, "shop.json", "shop.json.1")
			})
		}
	})
	t.Run("blobs", func(t *testing.T) {
		for _, d := range damages {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				o.checkBlob(t, d)
			})
		}
	})
}

// checkTail damages the end of a journal whose last fact moved no visitor. The edge's own disk knows of every acknowledged
// fact, so that it is not taken for a write that a power cut ended.
func (o *original) checkTail(t *testing.T, d damage) {
	t.Helper()
	m := o.copied(t)
	m.start(t)
	m.run(t, nil, "note", "nobody saw this", "--site", "shop")
	m.stop(t)
	d.harm(t, find(t, m.dir, ".jsonl"))
	o.checkDegraded(t, m)
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// otherHistory returns the journal of a machine that went another way from the early copy on.
func (o *original) otherHistory(t *testing.T) string {
	t.Helper()
	m := newMachine(t)
	copyFolder(t, o.early, m.dir)
	m.start(t)
	for _, note := range []string{"another", "history", "of", "the", "same", "site"} {
		m.run(t, nil, "note", note, "--site", "shop")
	}
	m.stop(t)
	return find(t, m.dir, ".jsonl")
}

// shows checks that the site shows a release.
func (o *original) shows(t *testing.T, m *machine, release string) {
	t.Helper()
	a := newVisitor(t, shopHost, m.listen).navigate(t, "/")
	if a.status != http.StatusOK || markerOf(a.body) != o.markers[release] {
		t.Errorf("the site answers %v, want %s, marker %q", a, release, o.markers[release])
	}
}

// checkDegraded starts a server whose journal is not what it was, and goes the whole way: served, read, refused, taken
// back, started again, recovered, deployed to.
func (o *original) checkDegraded(t *testing.T, m *machine) {
	t.Helper()
	if line := m.start(t); !strings.HasPrefix(line, "READY degraded") {
		t.Fatalf("the server says %q, want READY degraded", line)
	}
	o.shows(t, m, o.live)
	o.checkStatus(t, m, o.live)
	for _, args := range [][]string{{"log"}, {"releases"}} {
		if r := m.try(t, append(args, "--site", "shop", "--json")...); r.code != 0 {
			t.Errorf("reads work: %v", r)
		}
	}
	f := newFrontEnd(t, "five", 2, nil)
	for _, args := range [][]string{{"deploy", f.dir}, {"promote", "r1"}, {"promote", "r2"}, {"promote", "r4"}, {"undo"}, {"note", "hello"}} {
		if r := m.try(t, append(args, "--site", "shop", "--json")...); r.code != 10 {
			t.Errorf("writes are refused: %v\nwant exit 10", r)
		}
	}
	if r := m.try(t, "audit", "verify", "--json"); r.code != 10 {
		t.Errorf("the damage is named: %v\nwant exit 10", r)
	}
	o.shows(t, m, o.live)

	b := m.rollback(t)
	if b.From != o.live || b.To != "r2" || b.Recorded == nil || *b.Recorded {
		t.Errorf("rollback = %+v, want from %s to r2, not recorded", b, o.live)
	}
	o.shows(t, m, "r2")
	o.checkStatus(t, m, "r2")
	m.kill(t)
	if line := m.start(t); !strings.HasPrefix(line, "READY degraded") {
		t.Errorf("the server says %q after a restart, want READY degraded", line)
	}
	o.shows(t, m, "r2")
	o.checkStatus(t, m, "r2")

	m.run(t, nil, "recover", "--site", "shop")
	o.checkHealthy(t, m, "r2")
	facts := m.facts(t)
	if !slices.ContainsFunc(facts, func(f fact) bool { return f.Kind == "recovered" }) {
		t.Errorf("the log does not say that it was recovered: %+v", facts)
	}
}

// checkStatus checks that status says what visitors see, and that the ledger refuses to write.
func (o *original) checkStatus(t *testing.T, m *machine, live string) {
	t.Helper()
	var s struct{ Live, Degraded string }
	m.run(t, &s, "status", "--site", "shop")
	if s.Live != live || s.Degraded == "" {
		t.Errorf("status says %+v, want %s and why the ledger is degraded", s, live)
	}
}

// checkHealthy checks that a server shows a release, and that everything works on it, also after a restart.
func (o *original) checkHealthy(t *testing.T, m *machine, live string) {
	t.Helper()
	o.shows(t, m, live)
	m.verify(t)
	five := newFrontEnd(t, "five", 2, nil)
	d := m.deploy(t, five.dir)
	if d.From != live || slices.Contains([]string{"r1", "r2", "r3"}, d.Release) {
		t.Errorf("deploy = %+v, want a new release from %s", d, live)
	}
	if b := m.rollback(t); b.To != live || b.Recorded != nil && !*b.Recorded {
		t.Errorf("rollback = %+v, want to %s, recorded", b, live)
	}
	m.stop(t)
	if line := m.start(t); line != "READY" {
		t.Errorf("the server says %q, want READY", line)
	}
	o.shows(t, m, live)
	m.verify(t)
}

// checkEdgeState damages what the edge starts from. The journal is whole: everything is to be as before, and the log names
// what was damaged.
func (o *original) checkEdgeState(t *testing.T, d damage, files ...string) {
	t.Helper()
	m := o.copied(t)
	state := filepath.Dir(find(t, m.dir, "/shop.json"))
	for _, name := range files {
		d.harm(t, filepath.Join(state, name))
	}
	m.start(t)
	o.shows(t, m, o.live)
	if d.name != "gone" {
		m.says(t, "shop.json")
	}
	o.checkHealthy(t, m, o.live)
}

// checkBlob damages a script and then the document of the live release. Neither is served as something else; what is whole
// is; a rollback leads to a release that is whole; a deploy of the same files heals it.
func (o *original) checkBlob(t *testing.T, d damage) {
	t.Helper()
	m := o.copied(t)
	live := o.ends[2]
	script := live.chunks[0]
	digest := blobName(t, filepath.Join(live.dir, filepath.FromSlash(script)))
	d.harm(t, find(t, m.dir, digest))
	m.start(t)
	v := newVisitor(t, shopHost, m.listen)
	o.shows(t, m, o.live)
	a := v.get(t, script)
	if a.status == http.StatusOK || !strings.Contains(a.head.Get("Cache-Control"), "no-store") {
		t.Errorf("GET %s whose blob is damaged = %v, want no 200, and no-store", script, a)
	}
	st := m.try(t, "status", "--site", "shop", "--json")
	if !strings.Contains(st.stdout+m.server.log.String(), digest[:12]) {
		t.Errorf("the damaged blob %s is named neither in status nor in the log: %v", digest, st)
	}
	m.stop(t)

	d.harm(t, find(t, m.dir, blobName(t, filepath.Join(live.dir, "index.html"))))
	m.start(t)
	if a := v.navigate(t, "/"); a.status == http.StatusOK && markerOf(a.body) != o.markers[o.live] {
		t.Errorf("GET / whose blob is damaged = %v", a)
	}
	if b := m.rollback(t); b.To != "r2" {
		t.Errorf("rollback = %+v, want to r2", b)
	}
	o.shows(t, m, "r2")

	// The files of a release that was taken back go live again only where somebody says why.
	if r := m.try(t, "deploy", live.dir, "--site", "shop", "--json"); r.code != 7 {
		t.Errorf("%v\nwant exit 7", r)
	}
	m.run(t, nil, "promote", o.live, "--site", "shop", "--reason", "its files are whole again")
	o.shows(t, m, o.live)
	for _, chunk := range live.chunks {
		content, err := os.ReadFile(filepath.Join(live.dir, filepath.FromSlash(chunk)))
		if err != nil {
			t.Fatal(err)
		}
		if a := v.get(t, chunk); a.status != http.StatusOK || !bytes.Equal(a.body, content) {
			t.Errorf("GET %s after the same files were deployed again = %v", chunk, a)
		}
	}
	m.verify(t)
}
