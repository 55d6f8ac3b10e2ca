package e2e_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const shopHost = "shop.localhost"

// visitor asks a site over HTTP. Whatever the host, it asks at one address; it takes bytes as they come.
type visitor struct {
	client *http.Client
	base   string
}

// newVisitor returns a visitor of a host served at addr, a port of this machine.
func newVisitor(t *testing.T, host, addr string) *visitor {
	t.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{
		base: "http://" + net.JoinHostPort(host, port),
		client: &http.Client{
			Transport: transport, Timeout: patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// answer is a response read to its end.
type answer struct {
	status int
	head   http.Header
	body   []byte
}

func (a answer) String() string {
	return fmt.Sprintf("%d %s, %s, %d bytes %.60q", a.status, a.head.Get("Content-Type"), a.head.Get("Cache-Control"), len(a.body), a.body)
}

// get asks for a path; fields are header names and values in turn.
func (v *visitor) get(t *testing.T, urlPath string, fields ...string) answer {
	t.Helper()
	a, err := v.ask(t.Context(), urlPath, fields...)
	if err != nil {
		t.Fatalf("GET %s: %v", urlPath, err)
	}
	return a
}

func (v *visitor) ask(ctx context.Context, urlPath string, fields ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+urlPath, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}

// navigate asks for a path as a browser does that shows it.
func (v *visitor) navigate(t *testing.T, urlPath string) answer {
	t.Helper()
	return v.get(t, urlPath, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate")
}

// until asks again and again until the answer is as wanted, at most for within.
func (v *visitor) until(t *testing.T, within time.Duration, urlPath string, wanted func(answer) bool) (answer, time.Duration) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		a, err := v.ask(ctx, urlPath)
		if err == nil && wanted(a) {
			return a, time.Since(began)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("GET %s for %v: last %v, %v", urlPath, within, a, err)
		case <-again.C:
		}
	}
}

// asset is a file as it was uploaded.
type asset struct {
	sum    [sha256.Size]byte
	hashed bool // its name changes with its content
}

// assets lists a folder's files by their URL path, documents left out.
func assets(t *testing.T, dir string, hashed func(urlPath string) bool) map[string]asset {
	t.Helper()
	all := map[string]asset{}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(file) == ".html" {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		urlPath := "/" + filepath.ToSlash(strings.TrimPrefix(file, dir+string(filepath.Separator)))
		all[urlPath] = asset{sha256.Sum256(content), hashed(urlPath)}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkAsset asks for an asset, checks that it is the one that was uploaded and that only a hashed one is immutable, and says
// whether it is.
func (v *visitor) checkAsset(t *testing.T, urlPath string, want asset) (immutable bool) {
	t.Helper()
	a := v.get(t, urlPath)
	if a.status != http.StatusOK || sha256.Sum256(a.body) != want.sum {
		t.Errorf("GET %s = %v, want 200 and the uploaded bytes", urlPath, a)
	}
	cache := a.head.Get("Cache-Control")
	if immutable = cache == "public, max-age=31536000, immutable"; immutable {
		if !want.hashed {
			t.Errorf("GET %s: Cache-Control %q on a name without a hash", urlPath, cache)
		}
		return true
	}
	if !strings.Contains(cache, "no-cache") && !strings.Contains(cache, "must-revalidate") {
		t.Errorf("GET %s: Cache-Control %q, want it revalidated", urlPath, cache)
	}
	return false
}

// checkMissing asks for assets that no release has.
func (v *visitor) checkMissing(t *testing.T) {
	t.Helper()
	for _, urlPath := range []string{"/assets/gone-0a1b2c3d.js", "/assets/gone-0a1b2c3d.css", "/gone.js", "/img/gone.png"} {
		a := v.get(t, urlPath, "Accept", "*/*", "Sec-Fetch-Dest", "script")
		if a.status != http.StatusNotFound || a.head.Get("Cache-Control") != "no-store" {
			t.Errorf("GET %s = %v, want 404 no-store", urlPath, a)
		}
		if strings.Contains(a.head.Get("Content-Type"), "html") || strings.Contains(strings.ToLower(string(a.body)), "<html") {
			t.Errorf("GET %s answers with HTML: %v", urlPath, a)
		}
	}
}

// checkDocument asks for a document and checks what holds for every document.
func (v *visitor) checkDocument(t *testing.T, urlPath string) answer {
	t.Helper()
	a := v.navigate(t, urlPath)
	if a.status != http.StatusOK || !strings.HasPrefix(a.head.Get("Content-Type"), "text/html") {
		t.Fatalf("GET %s = %v, want a document", urlPath, a)
	}
	if cache := a.head.Get("Cache-Control"); !strings.Contains(cache, "no-cache") {
		t.Errorf("GET %s: Cache-Control %q, want no-cache", urlPath, cache)
	}
	if date := a.head.Get("Last-Modified"); date != "" {
		t.Errorf("GET %s has a Last-Modified: %s", urlPath, date)
	}
	if a.head.Get("ETag") == "" {
		t.Errorf("GET %s has no ETag", urlPath)
	}
	return a
}
