package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"
)

const (
	// asidePrefix begins the names of files that are being written.
	asidePrefix = ".new-"
	// beforeName ends the hidden name under which a value stays when another one takes its place.
	beforeName = ".before"
)

// certificateStore keeps what automatic certificates need, in files: the account, keys, certificates. It is a
// certmagic.Storage for the one process that holds the data folder.
//
// A value is written aside, synced, renamed over the old one, and its folder synced: after a power failure either value is
// there, whole. A certificate and its key are two values, though, and a crash or a full disk may come between them: so the
// value before stays beside each, and pair finds the two that belong together.
type certificateStore struct {
	dir string
	// try runs every durable operation. Tests put faults here.
	try func(op string, act func() error) error

	changing sync.Mutex // held while values change: one at a time

	mu    sync.Mutex // guards the rest
	locks map[string]chan struct{}
}

func newCertificateStore(dir string) *certificateStore {
	return &certificateStore{dir: dir, try: func(_ string, act func() error) error { return act() }, locks: map[string]chan struct{}{}}
}

// open makes the folder, and takes away what a crash left half written.
func (s *certificateStore) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	return filepath.WalkDir(s.dir, func(file string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && (strings.HasPrefix(e.Name(), asidePrefix) || strings.HasPrefix(e.Name(), "rw_test_")) {
			os.Remove(file)
		}
		return err
	})
}

// file returns where the value of a key lies. Keys are paths with "/" that lead nowhere else.
func (s *certificateStore) file(key string) (string, error) {
	local := filepath.FromSlash(key)
	if !filepath.IsLocal(local) || strings.HasPrefix(path.Base(key), ".") {
		return "", fmt.Errorf("certificate store: %q is not a key", key)
	}
	return filepath.Join(s.dir, local), nil
}

func before(file string) string {
	return filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+beforeName)
}

// Store makes value the key's. When it returns nil that survives a power failure; after an error the key has either value.
func (s *certificateStore) Store(ctx context.Context, key string, value []byte) error {
	file, err := s.file(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.makeFolder(filepath.Dir(file)); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	aside, err := s.writeAside(filepath.Dir(file), value)
	if err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	if err := s.keepBefore(file); err != nil {
		os.Remove(aside)
		return fmt.Errorf("store %s: keep the value before: %w", key, err)
	}
	if err := s.try("rename", func() error { return os.Rename(aside, file) }); err != nil {
		os.Remove(aside)
		return fmt.Errorf("store %s: %w", key, err)
	}
	if err := s.try("sync folder", func() error { return syncFolder(filepath.Dir(file)) }); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	return nil
}

// makeFolder makes a folder and those above it, each durable before anything lies in it.
func (s *certificateStore) makeFolder(dir string) error {
	if at, err := os.Stat(dir); err == nil && at.IsDir() {
		return nil
	}
	if dir != s.dir {
		if err := s.makeFolder(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	err := s.try("make folder", func() error { return os.Mkdir(dir, 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.try("sync folder", func() error { return syncFolder(filepath.Dir(dir)) })
}

// writeAside writes a synced file beside its place and returns its name; nothing stays of it after an error.
func (s *certificateStore) writeAside(dir string, value []byte) (name string, err error) {
	var f *os.File
	if err := s.try("create", func() (err error) {
		f, err = os.CreateTemp(dir, asidePrefix+"*")
		return err
	}); err != nil {
		return "", err
	}
	err = s.try("write", func() error { _, err := f.Write(value); return err })
	if err == nil {
		err = s.try("sync", f.Sync)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// keepBefore gives the present value its second name.
func (s *certificateStore) keepBefore(file string) error {
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	old := before(file)
	err := s.try("unlink before", func() error { return os.Remove(old) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.try("link before", func() error { return os.Link(file, old) })
}

// Load returns the value of a key.
func (s *certificateStore) Load(ctx context.Context, key string) ([]byte, error) {
	file, err := s.file(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// Delete takes away a key, or all keys under it. A key that is not there is deleted.
func (s *certificateStore) Delete(ctx context.Context, key string) error {
	file, err := s.file(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	err = s.try("delete", func() error { return os.RemoveAll(file) })
	if err == nil {
		err = s.try("sync folder", func() error { return syncFolder(filepath.Dir(file)) })
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// Exists reports whether there is a value, or any under that key.
func (s *certificateStore) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns the keys in a folder, or below it. A folder that is not there is an error of the kind fs.ErrNotExist.
func (s *certificateStore) List(ctx context.Context, key string, recursive bool) ([]string, error) {
	dir, err := s.file(key)
	if key == "" {
		dir, err = s.dir, nil
	}
	if err != nil {
		return nil, err
	}
	var keys []string
	err = filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || file == dir || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		rel, err := filepath.Rel(s.dir, file)
		if err != nil {
			return err
		}
		keys = append(keys, filepath.ToSlash(rel))
		if e.IsDir() && !recursive {
			return fs.SkipDir
		}
		return nil
	})
	return keys, err
}

// Stat tells of a key.
func (s *certificateStore) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	file, err := s.file(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	at, err := os.Stat(file)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: key, Modified: at.ModTime(), Size: at.Size(), IsTerminal: !at.IsDir()}, nil
}

// Lock waits until the name is free and takes it. Nobody but this process uses the folder, so that a crash frees all.
func (s *certificateStore) Lock(ctx context.Context, name string) error {
	for {
		s.mu.Lock()
		held := s.locks[name]
		if held == nil && ctx.Err() == nil {
			s.locks[name] = make(chan struct{})
		}
		s.mu.Unlock()
		if held == nil {
			return ctx.Err()
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Unlock frees a name.
func (s *certificateStore) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.locks[name]
	if held == nil {
		return fmt.Errorf("certificate store: %q is not locked", name)
	}
	close(held)
	delete(s.locks, name)
	return nil
}

// stored returns the certificate of a host that is good for longest, whoever issued it; nil where there is none.
func (s *certificateStore) stored(host string) *tls.Certificate {
	folders, err := filepath.Glob(filepath.Join(s.dir, "certificates", "*", certmagic.StorageKeys.Safe(host)))
	if err != nil {
		return nil
	}
	var best *tls.Certificate
	for _, folder := range folders {
		cert := s.pair(filepath.Join(folder, filepath.Base(folder)))
		if cert != nil && (best == nil || cert.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = cert
		}
	}
	return best
}

// pair reads a certificate and its key. Where the two do not belong together it puts those in place that do, the newest
// first. nil where none do.
func (s *certificateStore) pair(base string) *tls.Certificate {
	s.changing.Lock()
	defer s.changing.Unlock()
	certFile, keyFile := base+".crt", base+".key"
	for _, c := range []string{certFile, before(certFile)} {
		for _, k := range []string{keyFile, before(keyFile)} {
			cert, err := tls.LoadX509KeyPair(c, k)
			if err != nil {
				continue
			}
			for from, to := range map[string]string{c: certFile, k: keyFile} {
				if from != to && s.try("restore", func() error { return os.Rename(from, to) }) == nil {
					_ = s.try("sync folder", func() error { return syncFolder(filepath.Dir(to)) })
				}
			}
			return &cert
		}
	}
	return nil
}
