package release

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/blob"
)

// hostile is an upload that means harm, or that was broken on its way: how it asks, and what it then sends.
type hostile struct {
	files []aplomb.File
	send  func([]aplomb.File) []byte // nil sends the files as they were announced
}

const hostileText = "hostile"

// TestHostileUploadsLeaveNothingBehind promises that whatever an upload tries, it is refused by an error that says what
// production is, no release is made, nothing is written outside the store's own folder, and nothing stays in it that a
// later collection does not take.
func TestHostileUploadsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	store, err := blob.Open(slog.New(slog.DiscardHandler), filepath.Join(root, "outer", "store"), blob.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	h := newHouse(t, store)
	must(h.deploy("one"))
	must(h.deploy("two"))
	before, facts := listing(t, root), len(must(h.m.Releases(context.Background(), "shop")))
	uploads := hostileUploads()
	if len(uploads) < 60 {
		t.Errorf("%d uploads, want at least 60", len(uploads))
	}
	for name, u := range uploads {
		out, err := h.attack(u)
		var e *aplomb.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %+v, %v; want it refused", name, out, err)
			continue
		}
		if e.Code == aplomb.CodeInternal || e.What == "" || e.Why == "" || e.Do == "" || !strings.HasPrefix(e.Production, "Production is unchanged: still r2") {
			t.Errorf("%s: %+v; want all five parts and r2 still live", name, *e)
		}
		if strings.ContainsFunc(e.What+e.Why+e.Do, func(r rune) bool { return r < ' ' && r != '\n' }) {
			t.Errorf("%s: the error carries control characters: %q", name, e.Why)
		}
	}
	if got := len(must(h.m.Releases(context.Background(), "shop"))); got != facts {
		t.Errorf("%d releases, want the %d there were", got, facts)
	}
	if h.edge.routes["shop"].Live != "r2" {
		t.Errorf("%s is live", h.edge.routes["shop"].Live)
	}
	h.mu.Lock()
	h.now = h.now.Add(24 * time.Hour)
	h.mu.Unlock()
	if _, err := h.m.Collect(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, path := range listing(t, root) {
		if !slices.Contains(before, path) && !strings.HasPrefix(path, "outer/store/") {
			t.Errorf("%s was left behind outside the store", path)
		}
	}
	for _, path := range listing(t, filepath.Join(root, "outer", "store", "tmp")) {
		t.Errorf("tmp/%s was left behind", path)
	}
}

// attack does what a client would, as far as it is let.
func (h *house) attack(u hostile) (Deployed, error) {
	ctx := context.Background()
	up, err := h.m.Begin(ctx, Ask{Actor: "eve"}, UploadRequest{Site: "shop", Files: u.files})
	if err != nil {
		return Deployed{}, err
	}
	send := u.send
	if send == nil {
		send = wholeStream
	}
	if _, err := h.m.Receive(ctx, up.ID, bytes.NewReader(send(u.files))); err != nil {
		return Deployed{}, err
	}
	return h.m.Seal(ctx, up.ID)
}

// listing returns the paths below root.
func listing(t *testing.T, root string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if rel, e := filepath.Rel(root, path); e == nil && rel != "." {
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func hostileFile(path string) aplomb.File {
	return aplomb.File{Path: path, Digest: aplomb.Sum([]byte(hostileText)), Size: int64(len(hostileText))}
}

func frame(d aplomb.Digest, size uint64, body string) []byte {
	b := append([]byte{}, d[:]...)
	return append(binary.BigEndian.AppendUint64(b, size), body...)
}

func wholeStream(files []aplomb.File) []byte {
	b := frame(aplomb.Sum([]byte(hostileText)), uint64(len(hostileText)), hostileText)
	return append(b, make([]byte, frameBytes)...)
}

func hostileUploads() map[string]hostile {
	index := hostileFile("/index.html")
	out := map[string]hostile{}
	named := func(name string, paths ...string) {
		u := hostile{files: []aplomb.File{index}}
		for _, p := range paths {
			u.files = append(u.files, hostileFile(p))
		}
		out[name] = u
	}
	for i, path := range []string{
		"", "x", "../x", "/../x", "/a/../../x", "/..", "/.", "/./x", "/a/./b", "//x", "/a//b", "/a/", "/", `/a\b`, `\\server\share`, `/C:\x`, "C:/x", "/a\x00b",
		"/a\nb", "/a\rb", "/a\tb", "/a\x7fb", "/\xff\xfe", "/a\xc0\xaeb", "/\xed\xa0\x80", "/.aplomb/x", "/.aplomb/preview", "/a\u202eb", "/a\u2028b",
		"/" + strings.Repeat("a/", 40) + "x", "/" + strings.Repeat("a", 2000), "/" + strings.Repeat("../", 20) + "etc/passwd",
		"/.env", "/.env.production", "/config/.env", "/.git/config", "/a/.git/HEAD", "/id_rsa", "/.ssh/id_ed25519", "/server.key", "/.npmrc", "/.aws/credentials",
	} {
		named(fmt.Sprintf("name %d %q", i, path[:min(len(path), 40)]), path)
	}
	named("the same name twice", "/a", "/a")
	named("the index twice", "/index.html")
	named("names that differ in case", "/A.js", "/a.js")
	named("names that differ in how ü is written", "/\u00fc.js", "/u\u0308.js")
	named("a file where another has a folder", "/a", "/a/b")
	out["no file at all"] = hostile{}
	many := make([]aplomb.File, 100_001)
	for i := range many {
		many[i] = hostileFile(fmt.Sprintf("/f/%d", i))
	}
	out["too many files"] = hostile{files: many}
	for name, size := range map[string]int64{"a negative size": -1, "no end of a size": math.MaxInt64, "a size beyond the limit": 3 << 30} {
		f := index
		f.Size = size
		out[name] = hostile{files: []aplomb.File{f}}
	}
	huge := []aplomb.File{}
	for i := range 12 {
		f := hostileFile(fmt.Sprintf("/%d.bin", i))
		f.Digest, f.Size = aplomb.Sum([]byte{byte(i)}), 2<<30
		huge = append(huge, f)
	}
	out["more bytes than a release may have"] = hostile{files: huge}
	two := index
	two.Path, two.Size = "/other", index.Size+1
	out["one digest with two sizes"] = hostile{files: []aplomb.File{index, two}}

	end := make([]byte, frameBytes)
	for name, stream := range map[string]func(d aplomb.Digest, n uint64, text string) []byte{
		"nothing sent": func(aplomb.Digest, uint64, string) []byte { return nil },
		"only the end": func(aplomb.Digest, uint64, string) []byte { return end },
		"half a head":  func(d aplomb.Digest, n uint64, _ string) []byte { return frame(d, n, "")[:20] },
		"half a body":  func(d aplomb.Digest, n uint64, text string) []byte { return frame(d, n, text[:3]) },
		"no end":       func(d aplomb.Digest, n uint64, text string) []byte { return frame(d, n, text) },
		"other bytes than announced": func(d aplomb.Digest, n uint64, text string) []byte {
			return append(frame(d, n, strings.ToUpper(text)), end...)
		},
		"a body longer than announced":  func(d aplomb.Digest, n uint64, text string) []byte { return append(frame(d, n+1, text+"x"), end...) },
		"a body shorter than announced": func(d aplomb.Digest, n uint64, text string) []byte { return append(frame(d, n-1, text[1:]), end...) },
		"a size that no file has":       func(d aplomb.Digest, _ uint64, text string) []byte { return frame(d, math.MaxUint64, text) },
		"a size that says a terabyte":   func(d aplomb.Digest, _ uint64, text string) []byte { return frame(d, 1<<40, text) },
		"a blob that was not asked for": func(aplomb.Digest, uint64, string) []byte {
			return append(frame(aplomb.Sum([]byte("extra")), 5, "extra"), end...)
		},
		"a blob twice": func(d aplomb.Digest, n uint64, text string) []byte {
			return append(append(frame(d, n, text), frame(d, n, text)...), end...)
		},
		"zero digest with a size": func(aplomb.Digest, uint64, string) []byte { return append(frame(aplomb.Digest{}, 5, "extra"), end...) },
		"text instead of a stream": func(aplomb.Digest, uint64, string) []byte {
			return []byte("PK\x03\x04 a zip file, or so it says, and long enough to be a head")
		},
		"a gzip bomb instead of a stream": func(aplomb.Digest, uint64, string) []byte {
			return append([]byte{0x1f, 0x8b, 8, 0}, make([]byte, 1<<20)...)
		},
		"an endless run of empty unknowns": func(aplomb.Digest, uint64, string) []byte { return bytes.Repeat(frame(aplomb.Sum(nil), 0, ""), 1000) },
	} {
		text := hostileText + " " + name // of its own: a whole blob of a broken stream is kept, and would complete the next
		f := aplomb.File{Path: "/index.html", Digest: aplomb.Sum([]byte(text)), Size: int64(len(text))}
		out["stream: "+name] = hostile{files: []aplomb.File{f}, send: func([]aplomb.File) []byte { return stream(f.Digest, uint64(f.Size), text) }}
	}
	return out
}
