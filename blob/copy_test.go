package blob_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"aplomb"
	"aplomb/blob"
)

// brokenPipe fails as a disk would that is read from.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "there", Err: os.ErrNotExist}
}

func TestCopyGivesTheBytesOrNamesTheDamage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(path string) error
		kind  error
	}{
		"whole":   {nil, nil},
		"rotten":  {func(p string) error { return keepTime(p, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) }, aplomb.ErrDamaged},
		"shorter": {func(p string) error { return os.Truncate(p, 100) }, aplomb.ErrDamaged},
		"longer":  {func(p string) error { return keepTime(p, func(b []byte) []byte { return append(b, 'x') }) }, aplomb.ErrDamaged},
		"empty":   {func(p string) error { return os.Truncate(p, 0) }, aplomb.ErrDamaged},
		"gone":    {os.Remove, aplomb.ErrDamaged},
	} {
		for _, size := range []int{5000, 1 << 20} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				body := text(1, size)
				ref := blob.Ref{Digest: aplomb.Sum(body), Size: int64(size)}
				var told []blob.Damage
				reopen(t, dir, blob.Config{OnDamage: func(d blob.Damage) { told = append(told, d) }}, func(s *blob.Disk) {
					if err := putContents(s, body); err != nil {
						t.Fatal(err)
					}
					if c.spoil != nil {
						hex := ref.Digest.String()
						if err := c.spoil(filepath.Join(dir, hex[:2], hex)); err != nil {
							t.Fatal(err)
						}
					}
					var out bytes.Buffer
					err := s.Copy(&out, ref)
					if c.kind == nil && (err != nil || !bytes.Equal(out.Bytes(), body)) {
						t.Errorf("Copy = %d bytes, %v", out.Len(), err)
					}
					if c.kind != nil && (!errors.Is(err, c.kind) || out.Len() > size || len(told) != 1) {
						t.Errorf("Copy = %d bytes, %v, told %v; want %v, told once", out.Len(), err, told, c.kind)
					}
					if err := s.Copy(&out, ref); c.kind != nil && !errors.Is(err, c.kind) {
						t.Errorf("Copy again = %v", err)
					}
				})
			})
		}
	}
}

func TestCopyDoesNotBlameTheBlobForItsReader(t *testing.T) {
	t.Parallel()
	body := text(1, 1<<20)
	reopen(t, t.TempDir(), blob.Config{OnDamage: func(d blob.Damage) { t.Errorf("damage was told: %v", d) }}, func(s *blob.Disk) {
		if err := putContents(s, body); err != nil {
			t.Fatal(err)
		}
		ref := blob.Ref{Digest: aplomb.Sum(body), Size: int64(len(body))}
		if err := s.Copy(brokenPipe{}, ref); err == nil || errors.Is(err, aplomb.ErrDamaged) {
			t.Errorf("Copy to a broken pipe = %v", err)
		}
		if err := s.Copy(&bytes.Buffer{}, blob.Ref{Digest: aplomb.Sum(nil)}); !errors.Is(err, aplomb.ErrNotFound) {
			t.Errorf("Copy of what is not there = %v", err)
		}
	})
}
