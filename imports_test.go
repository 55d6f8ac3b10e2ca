package aplomb_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/version"
	"io"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport lists, package by package, which of our own packages it may import outside tests. A package that is not
// here may not exist: whoever adds one says here where it stands. Calls go down, facts go through the ledger, and no
// part calls sideways.
var mayImport = map[string][]string{
	"aplomb":                   {},
	"aplomb/rollout":           {"aplomb"},
	"aplomb/ledger":            {"aplomb"},
	"aplomb/ledger/ledgertest": {"aplomb", "aplomb/ledger"},
	"aplomb/journal":           {"aplomb", "aplomb/ledger"},
	"aplomb/blob":              {"aplomb"},
	"aplomb/blob/blobtest":     {"aplomb", "aplomb/blob"},
	"aplomb/backup":            {"aplomb"},
	"aplomb/edge":              {"aplomb", "aplomb/blob"},
	"aplomb/edge/pebbletest":   {},
	"aplomb/release":           {"aplomb", "aplomb/rollout", "aplomb/ledger", "aplomb/blob"},
	"aplomb/api":               {"aplomb", "aplomb/release", "aplomb/ledger"},
	"aplomb/cmd/aplomb":        {"*"},
	"aplomb/e2e":               {},
	"aplomb/bench":             {},
}

// mayNotImport are the rules that are worth a reason of their own. A path that ends in "/" stands for all below it.
var mayNotImport = []struct {
	importers []string
	paths     []string
	reason    string
}{
	{
		[]string{"aplomb/edge"},
		[]string{"aplomb/release", "aplomb/guard", "aplomb/datachange", "aplomb/rollout", "aplomb/ledger", "aplomb/journal", "aplomb/etcd"},
		"the edge goes on serving when all of these are gone",
	},
	{
		[]string{"aplomb/rollout", "aplomb/sequential", "aplomb/quiet", "aplomb/pagescript"},
		[]string{"os", "os/", "net", "net/", "database/", "io/ioutil", "log", "log/", "syscall", "golang.org/", "sync", "sync/", "context"},
		"it decides and does nothing: no I/O, no goroutine",
	},
	{
		[]string{"aplomb/release"},
		[]string{"aplomb/edge", "aplomb/cache", "aplomb/rehearsal", "aplomb/guard", "aplomb/datachange", "aplomb/purge", "aplomb/notify", "aplomb/journal", "aplomb/etcd"},
		"performers are passed in, so that a rollout is tested without what it moves",
	},
	{
		[]string{"aplomb/blob", "aplomb/ledger", "aplomb/journal", "aplomb/etcd"},
		[]string{"aplomb/release", "aplomb/rollout", "aplomb/edge", "aplomb/api"},
		"a store knows nothing of what is stored",
	},
}

// rootImports is all that the vocabulary is written with. Values and rules need no files, no network and no clock.
var rootImports = []string{
	"bufio", "bytes", "cmp", "crypto/hmac", "crypto/sha256", "encoding/base64", "encoding/binary", "encoding/hex", "encoding/json", "errors", "fmt", "hash", "io", "iter", "maps",
	"math", "mime", "net/url", "path", "regexp", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf16", "unicode/utf8",
}

// clockless packages use time's types, and are given the time.
var clockless = []string{"aplomb", "aplomb/rollout", "aplomb/sequential", "aplomb/quiet"}

var clock = []string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc"}

// owners are the only packages that may import a library, because it speaks a technology's language.
var owners = map[string]string{
	"github.com/chromedp/": "aplomb/chromium",
	"go.etcd.io/":          "aplomb/etcd",
}

const longestChain = 6

// source is one file that is not a test.
type source struct {
	pkg  string // import path of its package
	name string
	file *ast.File
}

func TestImportsKeepTheDirections(t *testing.T) {
	t.Parallel()
	sources := read(t)
	report(t, badDirections(sources))
	report(t, badOwners(sources))
	report(t, badRoot(sources))
}

func TestImportChainStaysShort(t *testing.T) {
	t.Parallel()
	if chain := longest(read(t)); len(chain) > longestChain {
		t.Errorf("import chain of %d packages, want at most %d: %s", len(chain), longestChain, strings.Join(chain, " → "))
	}
}

func TestPurePackagesNeverAskTheClock(t *testing.T) {
	t.Parallel()
	report(t, clockUses(read(t)))
}

func TestNothingIsWiredBehindTheReader(t *testing.T) {
	t.Parallel()
	report(t, initFunctions(read(t)))
	report(t, changedVariables(read(t)))
}

// TestNoModuleIsNewerThanTheToolchain keeps a dependency from asking for a Go that is not installed.
func TestNoModuleIsNewerThanTheToolchain(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-json", "all")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -m: %v\n%s", err, &stderr)
	}
	found, err := newerModules(bytes.NewReader(out), runtime.Version())
	if err != nil {
		t.Fatal(err)
	}
	report(t, found)
}

// TestTheRulesCanFail runs every rule on sources that break it, and on ones that come close and do not.
func TestTheRulesCanFail(t *testing.T) {
	t.Parallel()
	direction := func(s []source) []string { return badDirections(s) }
	chain := func(s []source) []string { return longest(s)[longestChain:] }
	for _, c := range []struct {
		name, pkg, text string
		rule            func([]source) []string
		want            string // a part of the complaint, "" for none
	}{
		{"the edge imports the ledger", "aplomb/edge", `import _ "aplomb/ledger"`, direction, "goes on serving"},
		{"the edge imports rollout", "aplomb/edge", `import _ "aplomb/rollout"`, direction, "goes on serving"},
		{"the edge imports the blob store", "aplomb/edge", `import _ "aplomb/blob"`, direction, ""},
		{"a sideways import", "aplomb/journal", `import _ "aplomb/blob"`, direction, "sideways"},
		{"a package nobody placed", "aplomb/util", `import _ "fmt"`, direction, "not in mayImport"},
		{"a deciding package opens files", "aplomb/rollout", `import _ "os"`, direction, "does nothing"},
		{"a deciding package speaks HTTP", "aplomb/rollout", `import _ "net/http"`, direction, "does nothing"},
		{"release imports a performer", "aplomb/release", `import _ "aplomb/edge"`, direction, "performers"},
		{"the root opens files", "aplomb", `import _ "os"`, badRoot, "os"},
		{"the root imports a part", "aplomb", `import _ "aplomb/blob"`, badRoot, "aplomb/blob"},
		{"the root imports strings", "aplomb", `import _ "strings"`, badRoot, ""},
		{"a browser protocol outside its package", "aplomb/release", `import _ "github.com/chromedp/chromedp"`, badOwners, "aplomb/chromium"},
		{"a browser protocol inside its package", "aplomb/chromium", `import _ "github.com/chromedp/cdproto/page"`, badOwners, ""},
		{"the clock", "aplomb/rollout", `import "time"; var x = time.Now()`, clockUses, "time.Now"},
		{"the clock as a value", "aplomb/rollout", `import "time"; var now = time.Now`, clockUses, "time.Now"},
		{"the clock renamed", "aplomb/rollout", `import when "time"; func f() { when.Sleep(1) }`, clockUses, "time.Sleep"},
		{"the clock without a name", "aplomb", `import . "time"; func f() { <-After(1) }`, clockUses, "dot import"},
		{"time's types", "aplomb/rollout", `import "time"; func f(a, b time.Time) time.Duration { return a.Sub(b) }`, clockUses, ""},
		{"a method named as the clock's", "aplomb/rollout", `import "time"; func f(a, b time.Time) bool { return a.After(b) }`, clockUses, ""},
		{"the clock where it may be asked", "aplomb/release", `import "time"; var x = time.Now()`, clockUses, ""},
		{"an init", "aplomb/blob", `func init() {}`, initFunctions, "init"},
		{"a method named init", "aplomb/blob", `type t int; func (t) init() {}`, initFunctions, ""},
		{"a variable that is assigned", "aplomb/blob", `var n int; func f() { n = 1 }`, changedVariables, "n"},
		{"a variable that counts", "aplomb/blob", `var n int; func f() { n++ }`, changedVariables, "n"},
		{"a map that is filled", "aplomb/blob", `var m = map[int]int{}; func f() { m[1] = 2 }`, changedVariables, "m"},
		{"a field that is set", "aplomb/blob", `var s struct{ n int }; func f() { s.n = 2 }`, changedVariables, "s"},
		{"a map that is emptied", "aplomb/blob", `var m = map[int]int{}; func f() { delete(m, 1) }`, changedVariables, "m"},
		{"a variable whose address leaves", "aplomb/blob", `var n int; func f() *int { return &n }`, changedVariables, "n"},
		{"a variable that is a mutex", "aplomb/blob", `import "sync"; var mu sync.Mutex`, changedVariables, "mu"},
		{"a local variable of the same name", "aplomb/blob", `var n int; func f() { n := 0; n = 1; _ = n }`, changedVariables, ""},
		{"a parameter of the same name", "aplomb/blob", `var n int; func f(n int) { n = 1 }`, changedVariables, ""},
		{"a claim of an interface", "aplomb/blob", `var _ error = e(0); type e int; func (e) Error() string { _ = 1; return "" }`, changedVariables, ""},
		{"a table", "aplomb/blob", `var m = map[int]int{1: 2}; func f() int { return m[1] }`, changedVariables, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(c.rule([]source{parse(t, c.pkg, c.text)}), "; ")
			if c.want == "" && got != "" {
				t.Errorf("complaint %q, want none", got)
			}
			if !strings.Contains(got, c.want) || c.want != "" && got == "" {
				t.Errorf("complaint %q, want one that contains %q", got, c.want)
			}
		})
	}

	t.Run("a long chain", func(t *testing.T) {
		t.Parallel()
		var s []source
		for i := range longestChain {
			s = append(s, parse(t, fmt.Sprintf("aplomb/p%d", i), fmt.Sprintf(`import _ "aplomb/p%d"`, i+1)))
		}
		s = append(s, parse(t, fmt.Sprintf("aplomb/p%d", longestChain), ""))
		if got := chain(s); len(got) != 1 {
			t.Errorf("%d packages too many, want 1", len(got))
		}
	})

	t.Run("a module that is too new", func(t *testing.T) {
		t.Parallel()
		list := `{"Path":"a","GoVersion":"1.26.9"} {"Path":"b","GoVersion":"1.27.0"} {"Path":"c","GoVersion":"1.26.8"} {"Path":"d"}`
		got, err := newerModules(strings.NewReader(list), "go1.26.8")
		if err != nil || len(got) != 2 || !strings.HasPrefix(got[0], "a ") || !strings.HasPrefix(got[1], "b ") {
			t.Errorf("newerModules = %q, %v, want a and b", got, err)
		}
	})
}

func badDirections(sources []source) []string {
	var found []string
	for _, s := range sources {
		allowed, placed := mayImport[s.pkg]
		if !placed {
			found = append(found, fmt.Sprintf("%s: package %s is not in mayImport", s.name, s.pkg))
		}
		for _, imported := range importsOf(s.file) {
			for _, rule := range mayNotImport {
				if slices.Contains(rule.importers, s.pkg) && slices.ContainsFunc(rule.paths, func(p string) bool { return covers(p, imported) }) {
					found = append(found, fmt.Sprintf("%s imports %s, but %s", s.name, imported, rule.reason))
				}
			}
			if placed && ours(imported) && !slices.Contains(allowed, imported) && !slices.Contains(allowed, "*") {
				found = append(found, fmt.Sprintf("%s: %s may not import %s: no part calls sideways or up", s.name, s.pkg, imported))
			}
		}
	}
	return found
}

func badRoot(sources []source) []string {
	var found []string
	for _, s := range sources {
		for _, imported := range importsOf(s.file) {
			if s.pkg == "aplomb" && !slices.Contains(rootImports, imported) {
				found = append(found, fmt.Sprintf("%s imports %s, but the vocabulary is pure values and rules", s.name, imported))
			}
		}
	}
	return found
}

func badOwners(sources []source) []string {
	var found []string
	for _, s := range sources {
		for _, imported := range importsOf(s.file) {
			for library, owner := range owners {
				if covers(library, imported) && s.pkg != owner {
					found = append(found, fmt.Sprintf("%s imports %s, which only %s may", s.name, imported, owner))
				}
			}
		}
	}
	return found
}

// longest returns the longest chain of our packages that import each other.
func longest(sources []source) []string {
	imports := map[string]map[string]bool{}
	for _, s := range sources {
		if imports[s.pkg] == nil {
			imports[s.pkg] = map[string]bool{}
		}
		for _, imported := range importsOf(s.file) {
			if ours(imported) {
				imports[s.pkg][imported] = true
			}
		}
	}
	chains := map[string][]string{}
	var from func(string) []string
	from = func(pkg string) []string {
		if c, ok := chains[pkg]; ok {
			return c
		}
		var best []string
		for _, imported := range slices.Sorted(maps.Keys(imports[pkg])) {
			if c := from(imported); len(c) > len(best) {
				best = c
			}
		}
		chains[pkg] = append([]string{pkg}, best...)
		return chains[pkg]
	}
	var best []string
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		if c := from(pkg); len(c) > len(best) {
			best = c
		}
	}
	return best
}

func clockUses(sources []source) []string {
	var found []string
	for _, s := range sources {
		if !slices.Contains(clockless, s.pkg) {
			continue
		}
		name := ""
		for _, spec := range s.file.Imports {
			if spec.Path.Value != `"time"` {
				continue
			}
			name = "time"
			if spec.Name != nil {
				name = spec.Name.Name
			}
		}
		if name == "." {
			found = append(found, s.name+": dot import of time hides the clock")
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == name && name != "" && slices.Contains(clock, sel.Sel.Name) {
				found = append(found, fmt.Sprintf("%s uses time.%s; %s is given the time", s.name, sel.Sel.Name, s.pkg))
			}
			return true
		})
	}
	return found
}

func initFunctions(sources []source) []string {
	var found []string
	for _, s := range sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				found = append(found, s.name+" has an init function; construct in cmd/aplomb")
			}
		}
	}
	return found
}

// changedVariables finds package variables that are assigned to, counted, filled or whose address is taken, and those
// whose type is there to be changed. It sees one package's own files; aliases escape it.
func changedVariables(sources []source) []string {
	declared := map[string]map[string]bool{}
	var found []string
	for _, s := range sources {
		if declared[s.pkg] == nil {
			declared[s.pkg] = map[string]bool{}
		}
		for _, spec := range packageVariables(s.file) {
			for _, name := range spec.Names {
				declared[s.pkg][name.Name] = name.Name != "_"
				if t, ok := spec.Type.(*ast.SelectorExpr); ok {
					if x, ok := t.X.(*ast.Ident); ok && (x.Name == "sync" || x.Name == "atomic") {
						found = append(found, fmt.Sprintf("%s: package variable %s is a %s.%s", s.name, name.Name, x.Name, t.Sel.Name))
					}
				}
			}
		}
	}
	for _, s := range sources {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			local := localNames(f)
			for _, name := range changedNames(f.Body) {
				if declared[s.pkg][name] && !local[name] {
					found = append(found, fmt.Sprintf("%s: %s changes the package variable %s", s.name, f.Name.Name, name))
				}
			}
		}
	}
	return found
}

func packageVariables(file *ast.File) []*ast.ValueSpec {
	var specs []*ast.ValueSpec
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
			for _, spec := range g.Specs {
				specs = append(specs, spec.(*ast.ValueSpec))
			}
		}
	}
	return specs
}

// localNames are the names a function declares anywhere: parameters, results, variables.
func localNames(f *ast.FuncDecl) map[string]bool {
	local := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				local[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				local[name.Name] = true
			}
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				if id, ok := x.(*ast.Ident); ok && n.Tok == token.DEFINE {
					local[id.Name] = true
				}
			}
		case *ast.RangeStmt:
			for _, x := range []ast.Expr{n.Key, n.Value} {
				if id, ok := x.(*ast.Ident); ok && n.Tok == token.DEFINE {
					local[id.Name] = true
				}
			}
		}
		return true
	})
	return local
}

// changedNames are the names at the bottom of everything a body assigns to, counts, deletes from or points at.
func changedNames(body *ast.BlockStmt) []string {
	var names []string
	add := func(x ast.Expr) {
		if id := bottom(x); id != nil {
			names = append(names, id.Name)
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, x := range n.Lhs {
					add(x)
				}
			}
		case *ast.IncDecStmt:
			add(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				add(n.X)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear") && len(n.Args) > 0 {
				add(n.Args[0])
			}
		}
		return true
	})
	return names
}

// bottom returns x of x, x.y, x[i], *x and (x).
func bottom(x ast.Expr) *ast.Ident {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return e
		case *ast.SelectorExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		default:
			return nil
		}
	}
}

// newerModules reads what "go list -m -json all" prints and names the modules whose go line is newer than installed.
func newerModules(list io.Reader, installed string) ([]string, error) {
	var found []string
	for d := json.NewDecoder(list); ; {
		var m struct{ Path, Version, GoVersion string }
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the list of modules: %w", err)
		}
		if m.GoVersion != "" && version.Compare("go"+m.GoVersion, installed) > 0 {
			found = append(found, fmt.Sprintf("%s %s wants go %s; %s is installed", m.Path, m.Version, m.GoVersion, installed))
		}
	}
}

// read parses every file of this module that is not a test.
func read(t *testing.T) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "examples" || base == "scripts") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		sources = append(sources, source{path.Join("aplomb", filepath.ToSlash(filepath.Dir(name))), name, file})
		return nil
	})
	if err != nil {
		t.Fatalf("read the sources: %v", err)
	}
	if len(sources) == 0 {
		t.Fatal("no sources found")
	}
	return sources
}

func parse(t *testing.T, pkg, text string) source {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "made.go", "package p; "+text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("parse %q: %v", text, err)
	}
	return source{pkg, "made.go", file}
}

func report(t *testing.T, found []string) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func importsOf(file *ast.File) []string {
	var paths []string
	for _, spec := range file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

func ours(imported string) bool {
	return imported == "aplomb" || strings.HasPrefix(imported, "aplomb/")
}

// covers reports whether the rule's path, or the folder it names, covers an import.
func covers(rule, imported string) bool {
	return rule == imported || strings.HasSuffix(rule, "/") && strings.HasPrefix(imported, rule)
}
