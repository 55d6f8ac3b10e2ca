package aplomb

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func fileAt(path string) File { return File{Path: path, Digest: Sum([]byte(path)), Size: 1} }

func filesAt(paths ...string) []File {
	var files []File
	for _, p := range paths {
		files = append(files, fileAt(p))
	}
	return files
}

func TestPathsThatCannotBeServedAreRefusedByName(t *testing.T) {
	t.Parallel()
	long := "/" + strings.Repeat("a", 1024)
	for _, c := range []struct {
		paths []string
		code  Code // "" is allowed
		named string
	}{
		{[]string{"/index.html", "/a/b.js", "/a/c.js", "/ä/日本.txt", "/a b", "/.well-known/x", "/...", "/a..b"}, "", ""},
		{nil, CodeManifest, "no files"},
		{[]string{""}, CodePath, `""`},
		{[]string{"a.js"}, CodePath, "a.js"},
		{[]string{"/"}, CodePath, "/"},
		{[]string{"/a//b"}, CodePath, "/a//b"},
		{[]string{"/a/"}, CodePath, "/a/"},
		{[]string{"/a/../b"}, CodePath, "/a/../b"},
		{[]string{"/.."}, CodePath, "/.."},
		{[]string{"/./a"}, CodePath, "/./a"},
		{[]string{`/a\b`}, CodePath, `/a\b`},
		{[]string{"/a\x00b"}, CodePath, `"/a\x00b"`},
		{[]string{"/a\nb"}, CodePath, `"/a\nb"`},
		{[]string{"/a\u0085b"}, CodePath, `"/a\u0085b"`},
		{[]string{"/a\xffb"}, CodePath, `"/a\xffb"`},
		{[]string{"/.aplomb/x"}, CodePath, "/.aplomb/x"},
		{[]string{"/.Aplomb/x"}, CodePath, "/.Aplomb/x"},
		{[]string{"/.aplomb"}, CodePath, "/.aplomb"},
		{[]string{"/.aplombs"}, "", ""},
		{[]string{"/a", "/b", "/a"}, CodePath, "/a"},
		{[]string{"/Logo.png", "/logo.png"}, CodePath, "/logo.png"},
		{[]string{"/Ä.png", "/ä.png"}, CodePath, "/ä.png"},
		{[]string{"/\u212a.png", "/k.png"}, CodePath, "/k.png"},
		{[]string{"/ς", "/Σ"}, CodePath, "/Σ"},
		{[]string{"/a", "/a/b"}, CodePath, "/a"},
		{[]string{"/a/b", "/A"}, CodePath, "/A"},
		{[]string{"/a/b/c/d", "/a/b"}, CodePath, "/a/b"},
		{[]string{"/photo\u202egpj.exe"}, CodePath, `"/photo\u202egpj.exe" cannot be servedthe name contains U+202E, which does not show`},
		{[]string{"/a\u2066b"}, CodePath, `"/a\u2066b"`},
		{[]string{"/a\u200eb"}, CodePath, `"/a\u200eb"`},
		{[]string{"/\u061cا"}, CodePath, "U+061C"},
		{[]string{"/a\u200bb.js"}, CodePath, `"/a\u200bb.js"`},
		{[]string{"/a\u200db.js"}, CodePath, `"/a\u200db.js"`},
		{[]string{"/\u200cمی"}, CodePath, "U+200C"},
		{[]string{"/日\u200d本"}, CodePath, "U+200D"},
		{[]string{"/a\u00adb"}, CodePath, `"/a\u00adb"`},
		{[]string{"/\ufeffa"}, CodePath, `"/\ufeffa"`},
		{[]string{"/a\u2028b"}, CodePath, `"/a\u2028b"`},
		{[]string{"/a\u3164b"}, CodePath, "U+3164"},
		{[]string{"/a\u034fb"}, CodePath, "U+034F"},
		{[]string{"/a\U000e0061b"}, CodePath, "U+E0061"},
		{[]string{"/می\u200cخواهم.html", "/👩\u200d💻.svg", "/❤\ufe0f\u200d🔥.svg", "/क्\u200dष", "/עברית", "/\u0600١"}, "", ""},
		{[]string{"/caf\u00e9.html", "/cafe\u0301.html"}, CodePath, `/cafe\u0301.html and /caf\u00e9.html`},
		{[]string{"/CAF\u00c9", "/cafe\u0301"}, CodePath, "NFC and NFD"},
		{[]string{"/\u1e69", "/s\u0307\u0323"}, CodePath, "NFC and NFD"},
		{[]string{"/s\u0323\u0307", "/s\u0307\u0323"}, CodePath, "NFC and NFD"},
		{[]string{"/\u212b", "/A\u030a"}, CodePath, "NFC and NFD"},
		{[]string{"/\uac01", "/\u1100\u1161\u11a8"}, CodePath, "NFC and NFD"},
		{[]string{"/が", "/か\u3099"}, CodePath, "NFC and NFD"},
		{[]string{"/\ufa19", "/\u795e"}, CodePath, "NFC and NFD"},
		{[]string{"/a;", "/a\u037e"}, CodePath, "NFC and NFD"},
		{[]string{"/\u00e9", "/e\u0301/x"}, CodePath, "folder of"},
		{[]string{"/\u00e9/a", "/e\u0301/b", "/e", "/è", "/αί", "/άι", "/ﬁ", "/fi"}, "", ""},
		{[]string{long}, CodeLimit, long[:50]},
		{[]string{strings.Repeat("/a", 32)}, "", ""},
		{[]string{strings.Repeat("/a", 33)}, CodeLimit, "/a/a"},
	} {
		err := CheckFiles(filesAt(c.paths...), DefaultLimits())
		if c.code == "" {
			if err != nil {
				t.Errorf("CheckFiles(%q) = %v, want nil", c.paths, err)
			}
			continue
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != c.code || !strings.Contains(e.What+e.Why, c.named) {
			t.Errorf("CheckFiles(%.60q) = %v, want %s naming %s", c.paths, err, c.code, c.named)
		}
	}
}

func TestSizesThatCannotBeAreRefusedByName(t *testing.T) {
	t.Parallel()
	l := Limits{Files: 3, FileBytes: 10, TotalBytes: 15, PathBytes: 100, PathSegments: 3}
	d := Sum([]byte("x"))
	for _, c := range []struct {
		files []File
		code  Code
		named string
	}{
		{[]File{{Path: "/a", Digest: d, Size: 10}, {Path: "/b", Digest: Sum(nil), Size: 5}}, "", ""},
		{[]File{{Path: "/a", Digest: d, Size: -1}}, CodeManifest, "/a"},
		{[]File{{Path: "/a", Size: 1}}, CodeManifest, "/a"},
		{[]File{{Path: "/a", Digest: d, Size: 11}}, CodeLimit, "/a"},
		{[]File{{Path: "/a", Digest: d, Size: 10}, {Path: "/b", Digest: Sum(nil), Size: 6}}, CodeLimit, "/b"},
		{[]File{{Path: "/a", Digest: d, Size: 1}, {Path: "/b", Digest: d, Size: 2}}, CodeManifest, "/b"},
		{filesAt("/1", "/2", "/3", "/4"), CodeLimit, "4 files"},
	} {
		err := CheckFiles(c.files, l)
		e, _ := errors.AsType[*Error](err)
		if (err == nil) != (c.code == "") || e != nil && (e.Code != c.code || !strings.Contains(e.What+e.Why, c.named)) {
			t.Errorf("CheckFiles(%v) = %v, want %q naming %q", c.files, err, c.code, c.named)
		}
	}
}

func TestTenThousandFilesAreCheckedInMilliseconds(t *testing.T) {
	files := largeManifest(10_000).Files
	best := time.Hour
	for range 5 {
		start := time.Now()
		if err := CheckFiles(files, DefaultLimits()); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > 100*time.Millisecond {
		t.Errorf("CheckFiles of 10,000 files takes %v", best)
	}
}

func FuzzCheckFiles(f *testing.F) {
	f.Add("/a", "/A")
	f.Add("/a/b", "/a")
	f.Add("/.aplomb/", "/\xff")
	f.Fuzz(func(t *testing.T, one, two string) {
		err := CheckFiles(filesAt(one, two), DefaultLimits())
		if err == nil {
			for _, p := range []string{one, two} {
				if p == "" || p[0] != '/' || strings.Contains(p, "//") || strings.Contains(p+"/", "/../") || strings.ContainsAny(p, "\\\x00\r\n") {
					t.Fatalf("CheckFiles lets %q pass", p)
				}
			}
			if strings.EqualFold(one, two) {
				t.Fatalf("CheckFiles lets %q and %q pass", one, two)
			}
			return
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.What == "" || e.Why == "" || e.Do == "" || strings.ContainsAny(e.What, "\r\n\x00") {
			t.Fatalf("error without its parts, or not printable: %q", fmt.Sprint(err))
		}
	})
}

// TestEveryCharacterIsToldByItsParts: whatever is made of others is the same text as these are.
func TestEveryCharacterIsToldByItsParts(t *testing.T) {
	t.Parallel()
	p := newParts()
	if len(p) != 2061 {
		t.Errorf("%d characters have parts, want the 2061 of the database", len(p))
	}
	for r, of := range p {
		apart := strings.TrimRight(string(of[:]), "\x00")
		if p.decomposed(string(r)) != p.decomposed(apart) || strings.ContainsRune(p.decomposed(string(r)), r) {
			t.Errorf("%q is not told to be %q", r, apart)
		}
	}
}

func BenchmarkCheckFiles(b *testing.B) {
	files := largeManifest(10_000).Files
	for b.Loop() {
		if err := CheckFiles(files, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}
