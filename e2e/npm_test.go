package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// published is one version of a front end as its makers published it, fetched with npm and never committed.
type published struct {
	name, version string
	integrity     string // as `npm view NAME@VERSION dist.integrity` prints it
	root          string // the built files in the archive
	mount         string // where in the site its documents expect them; the documents themselves go to the root
	// fill replaces what its makers' server fills in when it sends a document.
	fill *strings.Replacer
	// entry finds the script in a document that tells which version the document is of.
	entry *regexp.Regexp
	// hashed matches the assets whose name changes with their content.
	hashed *regexp.Regexp
	// answers are files that stand for what its API says to somebody who has not logged in.
	answers map[string]string
	// api matches what the page asks its API for: there is none here.
	api *regexp.Regexp
	// shows is what a person reads on its first page.
	shows string
	// module says that its scripts are modules.
	module bool
}

func (p published) String() string { return p.name + "@" + p.version }

func directus(version, integrity string) published {
	return published{
		name: "@directus/app", version: version, integrity: integrity, root: "package/dist/",
		fill:   strings.NewReplacer("<base />", `<base href="/" />`),
		entry:  regexp.MustCompile(`assets/index\.[\w-]{8}\.entry\.js`),
		hashed: regexp.MustCompile(`^/assets/.*[-.][\w-]{8}\.(entry\.)?\w+$`),
		answers: map[string]string{
			"server/info": `{"data":{"project":{"project_name":"Shop","default_language":"en-US"},"setupCompleted":true}}`,
			"auth":        `{"data":[],"disableDefault":false}`,
		},
		api:   regexp.MustCompile(`/(server|auth|extensions)\b`),
		shows: "Sign In", module: true,
	}
}

func verdaccio(version, integrity string) published {
	return published{
		name: "@verdaccio/ui-theme", version: version, integrity: integrity, root: "package/static/", mount: "-/static/",
		fill: strings.NewReplacer("ToReplaceByTitle", "Shop", `<base href="">`, `<base href="/">`,
			"ToReplaceByVerdaccioUI", `{"base":"/","basename":"/","title":"Shop","primaryColor":"#4b5e40","login":true}`),
		entry:  regexp.MustCompile(`static/main\.[0-9a-f]{20}\.js`),
		hashed: regexp.MustCompile(`\.[0-9a-f]{20}\.js$`),
		api:    regexp.MustCompile(`/-/verdaccio/`),
		shows:  "LOGIN",
	}
}

// neighbours are published front ends, each in an older and the next newer version.
var neighbours = []struct {
	name         string
	older, newer published
}{
	{"directus",
		directus("17.1.0", "sha512-lnL155uL44B+b1EhJkXpO9BjeeiyLTpXtAShz1MnIpLNJ8NgRR4fAhBBzx/UDWpX0Twi2LGqNhxzxxMo5mPDUw=="),
		directus("17.1.1", "sha512-44YjiKQUcB78LaV/qFGS3k7g4vEg+Pv2O3wj7/gsHS4w4cLxL7mK6okaHTmk9PztpsUzJpxZLvouzbMrOPz2Rw==")},
	{"verdaccio",
		verdaccio("8.0.0-next-8.29", "sha512-kSg69so1LHOL2SA1qLJikFxkx8FEOFQJV+Nde0lN3XMkp0RST8DgLx/hiVbgYzPz54S8LuvYR/DQAulyRulMcg=="),
		verdaccio("8.0.0-next-8.30", "sha512-MSvFnYeocTWp6hqtIqtwp7Zm920UNhO3zQkKTPT6qGNjarkhxCCWRcSOAz7oJZhpbyLXc85zuxOLkTezCl4KUg==")},
}

// unpack puts the built files into a new folder, ready to be deployed, and returns it.
func (p published) unpack(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), p.version)
	zipped, err := gzip.NewReader(bytes.NewReader(fetch(t, p)))
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	files := 0
	for archive := tar.NewReader(zipped); ; {
		head, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		name, ok := strings.CutPrefix(head.Name, p.root)
		if !ok || head.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatalf("%v: %s: %v", p, head.Name, err)
		}
		if strings.HasSuffix(name, ".html") {
			content = []byte(p.fill.Replace(string(content)))
		} else {
			name = p.mount + name
		}
		write(t, filepath.Join(dir, filepath.FromSlash(name)), content)
		files++
	}
	for name, content := range p.answers {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), []byte(content))
	}
	if files < 10 {
		t.Fatalf("%v has %d files under %s: not the built front end it was", p, files, p.root)
	}
	return dir
}

// fetch returns the published archive, from the cache if it is there whole.
func fetch(t *testing.T, p published) []byte {
	t.Helper()
	dir := cacheDir(t)
	file := filepath.Join(dir, strings.NewReplacer("@", "", "/", "-").Replace(p.name)+"-"+p.version+".tgz")
	if b, err := os.ReadFile(file); err == nil && integrity(b) == p.integrity {
		return b
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	if err := pack(t.Context(), tmp, p); err != nil {
		t.Fatalf("%v could not be fetched; this command has to work: npm pack %v\n%v", p, p, err)
	}
	b, err := os.ReadFile(filepath.Join(tmp, filepath.Base(file)))
	if err != nil {
		t.Fatal(err)
	}
	if got := integrity(b); got != p.integrity {
		t.Fatalf("%v is not what was published: integrity %s, want %s", p, got, p.integrity)
	}
	if err := os.Rename(filepath.Join(tmp, filepath.Base(file)), file); err != nil {
		t.Fatal(err)
	}
	return b
}

func pack(ctx context.Context, dir string, p published) error {
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", p.String())
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack: %w\n%s", err, out)
	}
	return nil
}

// cacheDir is $APLOMB_CACHE, or a folder of the user's cache.
func cacheDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("APLOMB_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(base, "aplomb-test")
	}
	dir = filepath.Join(dir, "npm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func integrity(b []byte) string {
	sum := sha512.Sum512(b)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// write makes a file, and the folders above it.
func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
