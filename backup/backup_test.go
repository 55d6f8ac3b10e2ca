package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"aplomb"
)

// world is a source and a sink in memory.
type world struct {
	segments map[string][]byte // by site/name
	files    map[string][]byte
	blobs    map[aplomb.Digest][]byte
	bad      map[aplomb.Digest]string // what a damaged blob holds instead; "" for one that is gone
}

func (w *world) Segment(site aplomb.SiteName, name string) (io.Reader, error) {
	return bytes.NewReader(w.segments[string(site)+"/"+name]), nil
}

func (w *world) File(name string) (io.Reader, error) { return bytes.NewReader(w.files[name]), nil }

func (w *world) Blob(out io.Writer, b Blob) error {
	if text, ok := w.bad[b.Digest]; ok {
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
		return fmt.Errorf("blob %s: %w", b.Digest.Short(), aplomb.ErrDamaged)
	}
	_, err := out.Write(w.blobs[b.Digest])
	return err
}

func (w *world) Damage(b Blob, err error) Damage {
	return Damage{Digest: b.Digest, Why: err.Error(), Releases: []string{"shop r1"}}
}

// taken is what a sink was given.
type taken struct {
	began    int
	segments map[string]string
	files    map[string]string
	blobs    map[aplomb.Digest]string
}

func newTaken() *taken {
	return &taken{segments: map[string]string{}, files: map[string]string{}, blobs: map[aplomb.Digest]string{}}
}

func (t *taken) Begin(Manifest) error { t.began++; return nil }

func (t *taken) Segment(site aplomb.SiteName, name string, r io.Reader) error {
	b, err := io.ReadAll(r)
	t.segments[string(site)+"/"+name] = string(b)
	return err
}

func (t *taken) File(name string, r io.Reader) error {
	b, err := io.ReadAll(r)
	t.files[name] = string(b)
	return err
}

func (t *taken) Blob(b Blob, r io.Reader) error {
	text, err := io.ReadAll(r)
	if aplomb.Sum(text) == b.Digest {
		t.blobs[b.Digest] = string(text)
	}
	return err
}

// sample is a small backup that has every kind of member, and blobs around the size of a block.
func sample(t testing.TB) (Manifest, *world) {
	t.Helper()
	w := &world{
		segments: map[string][]byte{
			"blog/00000000000000000001.jsonl": []byte("{\"n\":1}\n"),
			"shop/00000000000000000001.jsonl": bytes.Repeat([]byte("fact\n"), 300),
			"shop/00000000000000000300.jsonl": []byte("{\"n\":300}\n"),
		},
		files: map[string][]byte{MachineFile: []byte("listen = [\":80\"]\n")},
		blobs: map[aplomb.Digest][]byte{}, bad: map[aplomb.Digest]string{},
	}
	m := Manifest{
		Format: Format, Program: "test", At: time.Unix(1793714520, 0).UTC(),
		Sites: []Site{
			{Name: "blog", Head: aplomb.Head{Epoch: 1, N: 1}, Segments: []File{{"00000000000000000001.jsonl", 8}}},
			{Name: "shop", Head: aplomb.Head{Epoch: 2, N: 300}, Live: "r2", Releases: 2, Segments: []File{{"00000000000000000001.jsonl", 1500}, {"00000000000000000300.jsonl", 10}}},
		},
		Files: []File{{MachineFile, 17}}, Blobs: []Blob{},
	}
	for _, size := range []int{0, 1, 511, 512, 513, 5000} {
		text := bytes.Repeat([]byte{byte(size), 7}, size)[:size]
		w.blobs[aplomb.Sum(text)] = text
		m.Blobs = append(m.Blobs, Blob{aplomb.Sum(text), int64(size)})
	}
	slices.SortFunc(m.Blobs, func(a, b Blob) int { return compare(a.Digest, b.Digest) })
	return m, w
}

func made(t testing.TB, m Manifest, w *world) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Write(&b, m, w, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	m, w := sample(t)
	archive := made(t, m, w)
	got := newTaken()
	read, end, err := Read(bytes.NewReader(archive), got)
	if err != nil {
		t.Fatal(err)
	}
	if len(end.Damaged) != 0 || got.began != 1 || read.Sites[1].Live != "r2" {
		t.Errorf("Read = %+v, %+v, began %d times", read, end, got.began)
	}
	for name, text := range w.segments {
		if got.segments[name] != string(text) {
			t.Errorf("segment %s = %q, want %q", name, got.segments[name], text)
		}
	}
	if len(got.blobs) != len(w.blobs) || got.files[MachineFile] != string(w.files[MachineFile]) {
		t.Errorf("%d blobs and files %v, want %d", len(got.blobs), slices.Collect(maps.Keys(got.files)), len(w.blobs))
	}
	size, err := m.Size()
	if err != nil {
		t.Fatal(err)
	}
	if _, tail, err := ReadClosing(bytes.NewReader(archive[size:]), m); err != nil || int(size)+len(tail) != len(archive) {
		t.Errorf("ReadClosing behind Size() = %d bytes, %v; the archive has %d, Size %d", len(tail), err, len(archive), size)
	}
	if _, raw, err := ReadManifest(bytes.NewReader(archive)); err != nil || !bytes.HasPrefix(archive, raw) {
		t.Errorf("ReadManifest: %v, or other bytes than were read", err)
	}
}

func TestTarOpensABackup(t *testing.T) {
	t.Parallel()
	m, w := sample(t)
	r := tar.NewReader(bytes.NewReader(made(t, m, w)))
	var names []string
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if digest, ok := strings.CutPrefix(h.Name, "blobs/"); ok && digest[3:] != aplomb.Sum(b).String() {
			t.Errorf("%s holds other bytes", h.Name)
		}
		names = append(names, h.Name)
	}
	if len(names) != 2+3+1+6 || names[0] != manifestName || names[len(names)-1] != closingName {
		t.Errorf("members %q", names)
	}
}

func TestEveryTruncationIsRefusedByName(t *testing.T) {
	t.Parallel()
	m, w := sample(t)
	archive := made(t, m, w)
	for n := 0; n < len(archive); n++ {
		if n%blockSize > 2 && n%blockSize < blockSize-2 && n%7 > 0 {
			continue // the borders of blocks, and every seventh byte between
		}
		_, _, err := Read(bytes.NewReader(archive[:n]), newTaken())
		want := ErrTruncated
		if n < len(manifestName) {
			want = ErrForeign
		}
		if !errors.Is(err, want) {
			t.Fatalf("the first %d of %d bytes: %v, want %v", n, len(archive), err, want)
		}
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	t.Parallel()
	m, w := sample(t)
	archive := made(t, m, w)
	for i := 0; i < len(archive); i += 5 {
		archive[i] ^= 1 << (i % 8)
		_, _, err := Read(bytes.NewReader(archive), newTaken())
		if !errors.Is(err, ErrAltered) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
			t.Fatalf("bit %d of byte %d flipped: %v", i%8, i, err)
		}
		archive[i] ^= 1 << (i % 8)
	}
}

func TestBytesBehindTheEndAreRefused(t *testing.T) {
	t.Parallel()
	m, w := sample(t)
	archive := append(made(t, m, w), 0)
	if _, _, err := Read(bytes.NewReader(archive), newTaken()); !errors.Is(err, ErrAltered) {
		t.Errorf("one byte more: %v, want %v", err, ErrAltered)
	}
}

// A part that is taken out, doubled or exchanged leaves whole blocks, so that no checksum of tar's sees it.
func TestMovedBlocksAreRefused(t *testing.T) {
	t.Parallel()
	m, w := sample(t)
	archive := made(t, m, w)
	rnd := rand.New(rand.NewPCG(1, 2))
	blocks := len(archive) / blockSize
	for range 500 {
		a, b, n := rnd.IntN(blocks), rnd.IntN(blocks), 1+rnd.IntN(4)
		a, b = min(a, blocks-n), min(b, blocks-n)
		other := bytes.Clone(archive)
		copy(other[a*blockSize:(a+n)*blockSize], archive[b*blockSize:(b+n)*blockSize])
		switch rnd.IntN(3) {
		case 1:
			other = slices.Delete(other, a*blockSize, (a+n)*blockSize)
		case 2:
			other = slices.Insert(other, a*blockSize, archive[b*blockSize:(b+n)*blockSize]...)
		}
		if bytes.Equal(other, archive) {
			continue
		}
		if _, _, err := Read(bytes.NewReader(other), newTaken()); err == nil {
			t.Fatalf("blocks %d to %d changed by those at %d: read without an error", a, a+n, b)
		}
	}
}

func TestADamagedBlobIsNamedAndTheRestIsWhole(t *testing.T) {
	t.Parallel()
	for _, instead := range []string{"", "x", "other bytes"} {
		m, w := sample(t)
		for _, b := range m.Blobs {
			if b.Size == 5000 || b.Size == 0 { // an empty one is right whatever became of its file
				w.bad[b.Digest] = instead[:min(len(instead), int(b.Size))]
			}
		}
		var out bytes.Buffer
		known := Damage{Digest: aplomb.Sum([]byte("a manifest that is gone")), Why: "gone", Releases: []string{"shop r2"}}
		end, err := Write(&out, m, w, []Damage{known})
		if err != nil || len(end.Damaged) != 3 {
			t.Fatalf("Write = %+v, %v, want three damaged", end, err)
		}
		got := newTaken()
		_, read, err := Read(bytes.NewReader(out.Bytes()), got)
		if err != nil || len(read.Damaged) != 3 || len(got.blobs) != 5 {
			t.Errorf("Read = %d damaged, %d blobs, %v, want 3 and 5", len(read.Damaged), len(got.blobs), err)
		}
	}
}

// forged returns an archive that begins with a manifest that this package would not write.
func forged(t *testing.T, m Manifest, members ...*tar.Header) []byte {
	t.Helper()
	text, err := encode(m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	header, err := headerOf(manifestName, int64(len(text)), m.At)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(header)
	b.Write(text)
	b.Write(make([]byte, padded(int64(len(text)))-int64(len(text))))
	w := tar.NewWriter(&b)
	for _, h := range members {
		h.ModTime = m.At
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAHostileBackupHandsOnNothingItPromised(t *testing.T) {
	t.Parallel()
	segment := "00000000000000000001.jsonl"
	site := func(name string, segs ...File) []Site {
		return []Site{{Name: aplomb.SiteName(name), Segments: segs}}
	}
	blob := aplomb.Sum([]byte("x"))
	for name, c := range map[string]struct {
		change func(*Manifest)
		more   []*tar.Header
	}{
		"a site that climbs":      {change: func(m *Manifest) { m.Sites = site("../../etc", File{segment, 1}) }},
		"a segment that climbs":   {change: func(m *Manifest) { m.Sites = site("shop", File{"../../" + segment, 1}) }},
		"an absolute segment":     {change: func(m *Manifest) { m.Sites = site("shop", File{"/etc/passwd", 1}) }},
		"a site twice":            {change: func(m *Manifest) { m.Sites = append(site("shop", File{segment, 0}), site("shop", File{segment, 0})...) }},
		"a segment twice":         {change: func(m *Manifest) { m.Sites = site("shop", File{segment, 0}, File{segment, 0}) }},
		"a site without a chain":  {change: func(m *Manifest) { m.Sites = site("shop") }},
		"a file of another name":  {change: func(m *Manifest) { m.Files = []File{{"lock", 1}} }},
		"a file that climbs":      {change: func(m *Manifest) { m.Files = []File{{"../machine.toml", 1}} }},
		"a blob twice":            {change: func(m *Manifest) { m.Blobs = []Blob{{blob, 1}, {blob, 1}} }},
		"a blob without a digest": {change: func(m *Manifest) { m.Blobs = []Blob{{Size: 1}} }},
		"a negative size":         {change: func(m *Manifest) { m.Blobs = []Blob{{blob, -1}} }},
		"a blob as large as all":  {change: func(m *Manifest) { m.Blobs = []Blob{{blob, 1 << 62}} }},
		"8 GiB that are not there": {change: func(m *Manifest) { m.Blobs = []Blob{{blob, maxSize}} },
			more: []*tar.Header{{Name: "blobs/2d/" + blob.String(), Size: 4, Mode: 0o600, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}}},
		"a link in a blob's place": {change: func(m *Manifest) { m.Blobs = []Blob{{blob, 0}} },
			more: []*tar.Header{{Name: "blobs/2d/" + blob.String(), Linkname: "/etc/passwd", Mode: 0o600, Typeflag: tar.TypeSymlink, Format: tar.FormatUSTAR}}},
		"a member nobody named": {change: func(*Manifest) {},
			more: []*tar.Header{{Name: "../evil", Size: 4, Mode: 0o600, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}}},
		"an extended header": {change: func(m *Manifest) { m.Blobs = []Blob{{blob, 4}} },
			more: []*tar.Header{{Name: "blobs/" + strings.Repeat("a", 200), Size: 4, Mode: 0o600, Typeflag: tar.TypeReg, Format: tar.FormatPAX}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := Manifest{Format: Format, At: time.Unix(1793714520, 0).UTC(), Sites: []Site{}, Blobs: []Blob{}}
			c.change(&m)
			got := newTaken()
			_, _, err := Read(bytes.NewReader(forged(t, m, c.more...)), got)
			if !errors.Is(err, ErrAltered) && !errors.Is(err, ErrTruncated) {
				t.Errorf("Read = %v, want %v", err, ErrAltered)
			}
			if len(got.segments)+len(got.files)+len(got.blobs) > 0 {
				t.Errorf("something was handed on as whole: %+v", got)
			}
		})
	}
}

func TestAHugeManifestTakesNoMemory(t *testing.T) {
	t.Parallel()
	header, err := headerOf(manifestName, maxManifest, time.Unix(1793714520, 0))
	if err != nil {
		t.Fatal(err)
	}
	allocated := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, _, err := Read(bytes.NewReader(header), newTaken()); !errors.Is(err, ErrTruncated) {
				b.Fatalf("Read = %v, want %v", err, ErrTruncated)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<20 {
		t.Errorf("%d bytes were allocated for a header without a manifest", allocated)
	}
	if header, err = headerOf(manifestName, maxManifest+1, time.Unix(1793714520, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(bytes.NewReader(header), newTaken()); !errors.Is(err, ErrAltered) {
		t.Errorf("a manifest beyond the limit: %v, want %v", err, ErrAltered)
	}
}

func TestANewerFormatIsToldFromDamage(t *testing.T) {
	t.Parallel()
	m := Manifest{Format: Format + 1, At: time.Unix(1793714520, 0).UTC(), Sites: []Site{}, Blobs: []Blob{}}
	if _, _, err := Read(bytes.NewReader(forged(t, m)), newTaken()); !errors.Is(err, ErrNewer) {
		t.Errorf("Read = %v, want %v", err, ErrNewer)
	}
}

func TestAForeignFileIsToldFromDamage(t *testing.T) {
	t.Parallel()
	var other bytes.Buffer
	w := tar.NewWriter(&other)
	if err := w.WriteHeader(&tar.Header{Name: "etc/passwd", Size: 1024, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing": "", "a word": "hello", "a page": strings.Repeat("<html>", 500), "another archive": other.String(), "zeros": strings.Repeat("\x00", 4096),
	} {
		if _, _, err := Read(strings.NewReader(text), newTaken()); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v, want %v", name, err, ErrForeign)
		}
	}
}

func FuzzRead(f *testing.F) {
	m, w := sample(f)
	archive := made(f, m, w)
	f.Add(archive, 0, byte(0))
	f.Add(archive[:3000], 600, byte(1))
	f.Add([]byte("foreign"), 0, byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at int, flip byte) {
		other := bytes.Clone(b)
		if len(other) > 0 {
			other[uint(at)%uint(len(other))] ^= flip
		}
		read, end, err := Read(bytes.NewReader(other), newTaken())
		if err != nil {
			return
		}
		// Whatever is accepted is the one archive that its manifest and closing have.
		size, err := read.Size()
		if err != nil || size > int64(len(other)) {
			t.Fatalf("accepted %d bytes, Size = %d, %v", len(other), size, err)
		}
		if _, _, err := ReadClosing(bytes.NewReader(other[size:]), read); err != nil || end.SHA.IsZero() {
			t.Fatalf("accepted, and its closing is %v", err)
		}
	})
}
