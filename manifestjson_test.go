package aplomb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// largeManifest has n files, as a bundler names them.
func largeManifest(n int) Manifest {
	m := Manifest{Version: ManifestVersion}
	for i := range n {
		path := fmt.Sprintf("/assets/chunk-%05d-BwdlfHaE.js", i)
		m.Files = append(m.Files, File{Path: path, Digest: Sum([]byte(path)), Size: int64(1000 + i), Type: "text/javascript; charset=utf-8", Hashed: true})
	}
	return m
}

// fullManifest has a value in every field.
func fullManifest(t testing.TB) Manifest {
	t.Helper()
	clean := false
	file := func(path string) File { return File{Path: path, Digest: Sum([]byte(path)), Size: int64(len(path))} }
	files := []File{file("/index.html"), file("/sw.js"), file("/assets/index-BwdlfHaE.js"), file("/ä & <b>.txt"), file("/_headers")}
	m, _, err := SealedManifest(files, Settings{Framework: "vite", Hashed: []string{"/x/**"}, Fallback: "/index.html", CleanURLs: &clean},
		[]byte("/*\n  X: y\n  ! Z\n"), []byte("/a id=:id /b/:id 301!\n"), nil, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestManifestComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for _, m := range []Manifest{fullManifest(t), largeManifest(50), {Version: 1, Files: []File{{Path: "/a", Digest: Sum(nil)}}}} {
		b := EncodeManifest(m)
		got, err := DecodeManifest(b)
		if err != nil {
			t.Fatalf("DecodeManifest: %v", err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("DecodeManifest(EncodeManifest(m)) = %+v, want %+v", got, m)
		}
		if !bytes.Equal(EncodeManifest(got), b) {
			t.Error("the same manifest is encoded in two ways")
		}
	}
}

func TestManifestIsReadByHandWhereItCanBe(t *testing.T) {
	t.Parallel()
	plain := EncodeManifest(largeManifest(10))
	if _, ok := decodeQuickly(plain); !ok {
		t.Error("a plain manifest is not read by hand")
	}
	for _, odd := range [][2]string{{`,"settings"`, `,"files":[],"settings"`}, {`chunk-00001`, `chunk\u002d00001`}, {`"size":1001`, `"size":01001`}, {`"size":1001`, `"size":1001 `}} {
		text := bytes.Replace(plain, []byte(odd[0]), []byte(odd[1]), 1)
		if _, ok := decodeQuickly(text); ok || bytes.Equal(text, plain) {
			t.Errorf("a manifest with %s is read by hand", odd[1])
		}
	}
}

func TestManifestsThatMustNotBeServedAreRefused(t *testing.T) {
	t.Parallel()
	d := Sum(nil).String()
	file := func(path string) string { return fmt.Sprintf(`{"path":%q,"digest":%q,"size":1}`, path, d) }
	for name, text := range map[string]string{
		"newer version":   `{"version":2,"files":[` + file("/a") + `]}`,
		"no version":      `{"files":[` + file("/a") + `]}`,
		"out of order":    `{"version":1,"files":[` + file("/b") + "," + file("/a") + `]}`,
		"twice":           `{"version":1,"files":[` + file("/a") + "," + file("/a") + `]}`,
		"cut off":         `{"version":1,"files":[` + file("/a"),
		"digest too long": `{"version":1,"files":[{"path":"/a","digest":"` + d + `0","size":1}]}`,
		"upper-case hex":  `{"version":1,"files":[{"path":"/a","digest":"` + strings.ToUpper(d) + `","size":1}]}`,
		"empty":           ``,
		"more behind":     `{"version":1,"files":[` + file("/a") + `]}{}`,
	} {
		if m, err := DecodeManifest([]byte(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: DecodeManifest = %+v, %v", name, m, err)
		}
	}
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add(EncodeManifest(fullManifest(f)))
	f.Add(EncodeManifest(largeManifest(2)))
	f.Add([]byte(`{"version":1,"files":[{"path":"/a","digest":"","size":01}],"files":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if quick, ok := decodeQuickly(b); ok {
			var plain Manifest
			if err := json.Unmarshal(b, &plain); err != nil || !reflect.DeepEqual(quick, plain) {
				t.Fatalf("by hand %+v, by encoding/json %+v, %v", quick, plain, err)
			}
		}
		m, err := DecodeManifest(b)
		if err != nil {
			return
		}
		again, err := DecodeManifest(EncodeManifest(m))
		if err != nil {
			t.Fatalf("what was encoded is not decoded: %v", err)
		}
		if !bytes.Equal(EncodeManifest(again), EncodeManifest(m)) {
			t.Fatal("encoding twice differs")
		}
		CompileHeaders(m.Headers).Fields("h", "/a")
		CompileRedirects(m.Redirects).Match("h", "/a", "")
	})
}

func BenchmarkEncodeManifest(b *testing.B) {
	m := largeManifest(10_000)
	for b.Loop() {
		EncodeManifest(m)
	}
}

func BenchmarkDecodeManifest(b *testing.B) {
	text := EncodeManifest(largeManifest(10_000))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := DecodeManifest(text); err != nil {
			b.Fatal(err)
		}
	}
}
