package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

var _ certmagic.Storage = (*certificateStore)(nil)

// pemPair makes a certificate that is good from now on for a time, and its key.
func pemPair(t testing.TB, from time.Time, life time.Duration, names ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "Test"}, NotBefore: from, NotAfter: from.Add(life), DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func openStore(t *testing.T) *certificateStore {
	t.Helper()
	s := newCertificateStore(filepath.Join(t.TempDir(), "certificates"))
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCertificateStoreKeepsTheContractOfStorage(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), openStore(t)
	if _, err := s.Load(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of nothing: %v, want fs.ErrNotExist", err)
	}
	if _, err := s.Stat(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of nothing: %v, want fs.ErrNotExist", err)
	}
	if _, err := s.List(ctx, "a", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List of nothing: %v, want fs.ErrNotExist", err)
	}
	if err := s.Delete(ctx, "a/b"); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	for _, value := range []string{"one", "two, longer", "", "3"} {
		if err := s.Store(ctx, "a/b", []byte(value)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(ctx, "a/b"); err != nil || string(got) != value {
			t.Errorf("Load = %q, %v; want %q", got, err, value)
		}
	}
	for _, key := range []string{"a/c/d.crt", "a/c/d.key", "ab"} {
		if err := s.Store(ctx, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		of        string
		recursive bool
		want      string
	}{{"a", false, "a/b a/c"}, {"a", true, "a/b a/c a/c/d.crt a/c/d.key"}, {"a/c", false, "a/c/d.crt a/c/d.key"}, {"", false, "a ab"}} {
		got, err := s.List(ctx, c.of, c.recursive)
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("List(%q, %v) = %v, %v; want %s", c.of, c.recursive, got, err, c.want)
		}
	}
	if at, err := s.Stat(ctx, "a/b"); err != nil || at.Key != "a/b" || at.Size != 1 || !at.IsTerminal || time.Since(at.Modified) > time.Hour {
		t.Errorf("Stat of a value: %+v, %v", at, err)
	}
	if at, err := s.Stat(ctx, "a"); err != nil || at.IsTerminal || !s.Exists(ctx, "a") || s.Exists(ctx, "nothing") {
		t.Errorf("Stat of a folder: %+v, %v", at, err)
	}
	if err := s.Delete(ctx, "a"); err != nil || s.Exists(ctx, "a/c/d.crt") || s.Exists(ctx, "a/b") || !s.Exists(ctx, "ab") {
		t.Errorf("Delete of a folder: %v; want all under it gone, and nothing else", err)
	}
	for _, key := range []string{"../out", "/etc/x", "a/../../out", "a/.hidden", ""} {
		if err := s.Store(ctx, key, nil); err == nil {
			t.Errorf("Store(%q) is taken", key)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Store(gone, "ab", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Store after the end: %v", err)
	}
	at, err := os.Stat(filepath.Join(s.dir, "ab"))
	if err != nil || at.Mode().Perm() != 0o600 {
		t.Errorf("a value's file is %v, %v; want it kept from others", at.Mode(), err)
	}
}

func TestCertificateStoreNeverMixesConcurrentValues(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), openStore(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				if err := s.Store(ctx, "k", []byte(strings.Repeat(fmt.Sprint(i), 5000))); err != nil {
					t.Error(err)
				}
				if b, err := s.Load(ctx, "k"); err != nil || len(b) != 5000 || strings.Trim(string(b), string(b[:1])) != "" {
					t.Errorf("%d bytes, %v; want one value", len(b), err)
				}
			}
		})
	}
	all.Wait()
}

func TestCertificateStoreLocksAreHeldByOne(t *testing.T) {
	t.Parallel()
	s := newCertificateStore(t.TempDir())
	holders, most := 0, 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if err := s.Lock(t.Context(), "x"); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			holders++
			most = max(most, holders)
			mu.Unlock()
			mu.Lock()
			holders--
			mu.Unlock()
			if err := s.Unlock(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most != 1 {
		t.Errorf("%d held it at once", most)
	}
	if err := s.Lock(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Lock(gone, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a held lock ends with %v, want its context's end", err)
	}
	if err := s.Lock(t.Context(), "y"); err != nil {
		t.Errorf("another name: %v", err)
	}
	if err := s.Unlock(t.Context(), "z"); err == nil {
		t.Error("a name that nobody holds was freed")
	}
}

// storeAll stores as certmagic does: key, certificate, the rest; after an error it takes away what it stored.
func storeAll(ctx context.Context, s *certificateStore, base string, cert, key []byte) error {
	values := []struct {
		key   string
		value []byte
	}{{base + ".key", key}, {base + ".crt", cert}, {base + ".json", []byte("{}")}}
	for i, v := range values {
		if err := s.Store(ctx, v.key, v.value); err != nil {
			for j := i - 1; j >= 0; j-- {
				_ = s.Delete(ctx, values[j].key)
			}
			return err
		}
	}
	return nil
}

// TestNoFaultLosesACertificate fails every durable operation of a renewal in turn: lost, done but reported lost, and as the
// last thing before the power goes. A whole pair is there afterwards, every time.
func TestNoFaultLosesACertificate(t *testing.T) {
	t.Parallel()
	const base = "certificates/ca/shop.test/shop.test"
	oldCert, oldKey := pemPair(t, time.Now(), time.Hour, "shop.test")
	newCert, newKey := pemPair(t, time.Now(), 2*time.Hour, "shop.test")
	for _, kind := range []string{"lost", "reported lost", "power"} {
		for at, failed := 0, true; failed; at++ {
			failed = false
			s := openStore(t)
			for range 2 { // so that there is one before, too
				if err := storeAll(t.Context(), s, base, oldCert, oldKey); err != nil {
					t.Fatal(err)
				}
			}
			step := 0
			s.try = func(_ string, act func() error) error {
				step++
				if failed && kind == "power" {
					return syscall.EIO
				}
				if step-1 != at {
					return act()
				}
				failed = true
				if kind == "reported lost" {
					if err := act(); err != nil {
						return err
					}
				}
				return syscall.ENOSPC
			}
			err := storeAll(t.Context(), s, base, newCert, newKey)
			if failed && err == nil && kind != "reported lost" {
				t.Errorf("%s at step %d: no error", kind, at)
			}
			after := newCertificateStore(s.dir)
			if err := after.open(); err != nil {
				t.Fatal(err)
			}
			if after.stored("shop.test") == nil {
				t.Fatalf("%s at step %d: no certificate is left", kind, at)
			}
			if _, err := tls.LoadX509KeyPair(filepath.Join(s.dir, base+".crt"), filepath.Join(s.dir, base+".key")); err != nil {
				t.Fatalf("%s at step %d: the pair in place: %v", kind, at, err)
			}
			if at > 200 {
				t.Fatal("it never came to the end")
			}
		}
	}
}
