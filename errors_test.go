package aplomb

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exitOfKind is the table of exit codes that docs/errors.md shows. cmd/aplomb owns the mapping and tests it.
func exitOfKind(kind error) int {
	switch kind {
	case ErrUsage:
		return 2
	case ErrInvalid, ErrNoSpace:
		return 3
	case ErrDenied:
		return 4
	case ErrRefused, ErrNotFound, ErrConflict:
		return 7
	case ErrRunning:
		return 8
	case ErrNeeded:
		return 9
	case ErrDegraded, ErrDamaged:
		return 10
	}
	return 1
}

func TestErrorHasItsKindAndItsCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := fmt.Errorf("deploy: %w", NewError(CodeSecret, "what", "why", "do").Because(cause).With("Production is unchanged."))
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Production != "Production is unchanged." || !errors.Is(err, ErrRefused) || !errors.Is(err, cause) || errors.Is(err, ErrInvalid) {
		t.Errorf("got %#v", err)
	}
	if kind := (&Error{Code: "APL-0000"}).Kind(); kind != ErrInternal {
		t.Errorf("an unlisted code is of kind %v, want %v", kind, ErrInternal)
	}
}

func TestEveryCodeIsListedOnceWithKindAndTitle(t *testing.T) {
	t.Parallel()
	declared := declaredCodes(t)
	names := map[string]string{}
	for name, value := range declared {
		if before, taken := names[value]; taken {
			t.Errorf("%s and %s are both %s", before, name, value)
		}
		names[value] = name
		text, listed := Codes[Code(value)]
		if !listed {
			t.Errorf("%s (%s) is not in Codes", name, value)
			continue
		}
		if text.Kind == nil || strings.TrimSpace(text.Title) == "" {
			t.Errorf("%s (%s) lacks a kind or a title", name, value)
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(value, "APL-")); err != nil || n < 1000 || n > 9999 {
			t.Errorf("%s is %q, want APL- and four digits", name, value)
		}
	}
	if len(declared) != len(Codes) {
		t.Errorf("%d codes are declared, %d are listed", len(declared), len(Codes))
	}
}

// declaredCodes reads the constants of type Code from codes.go.
func declaredCodes(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || fmt.Sprint(spec.Type) != "Code" {
			return true
		}
		for i, name := range spec.Names {
			if text, ok := literalText(spec.Values[i]); ok {
				codes[name.Name] = text
			}
		}
		return true
	})
	if len(codes) == 0 {
		t.Fatal("codes.go declares no code")
	}
	return codes
}

func TestNoErrorInTheRepositoryLacksAPart(t *testing.T) {
	t.Parallel()
	declared := declaredCodes(t)
	calls := 0
	for path, problems := range lintRepository(t, declared, &calls) {
		for _, p := range problems {
			t.Errorf("%s: %s", path, p)
		}
	}
	if calls < 20 {
		t.Errorf("only %d calls of NewError were found; the lint looks in the wrong place", calls)
	}
}

// The lint itself finds what it is there for.
func TestLintFindsErrorsThatLackAPart(t *testing.T) {
	t.Parallel()
	declared := map[string]string{"CodeUsage": "APL-1001"}
	const head = "package x\nimport (\n\t\"aplomb\"\n\t\"fmt\"\n)\nvar _ = fmt.Sprint\n"
	for body, want := range map[string]string{
		`var e = aplomb.NewError(aplomb.CodeUsage, "a", "b", "c")`:                         "",
		`func f(s string) error { return aplomb.NewError(aplomb.CodeUsage, s, s+"x", s) }`: "",
		`var e = aplomb.NewError(aplomb.CodeUsage, "", "b", "c")`:                          "what",
		"var e = aplomb.NewError(aplomb.CodeUsage, \"a\", ` `, \"c\")":                     "why",
		`var e = aplomb.NewError(aplomb.CodeUsage, "a", "b", fmt.Sprintf(""))`:             "do",
		`var e = aplomb.NewError(aplomb.CodeUsage, "a", "b", ("" + ""))`:                   "do",
		`const none = ""; var e = aplomb.NewError(aplomb.CodeUsage, "a", "b", none)`:       "do",
		`var e = aplomb.NewError(aplomb.CodeGone, "a", "b", "c")`:                          "CodeGone",
		`var e = aplomb.NewError("APL-1001", "a", "b", "c")`:                               "literal",
		`var e = &aplomb.Error{Code: aplomb.CodeUsage}`:                                    "outside NewError",
		`var e = aplomb.Error{}`:     "outside NewError",
		`var e = []aplomb.Error{{}}`: "outside NewError",
		`var e = new(aplomb.Error)`:  "outside NewError",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", head+body, 0)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		l := errorLint{declared: declared, fset: token.NewFileSet()}
		l.file(file)
		if got := strings.Join(l.problems, "\n"); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: the lint says %q, want %q", body, got, want)
		}
	}
}

// lintRepository walks the module's Go files, tests apart.
func lintRepository(t *testing.T, declared map[string]string, calls *int) map[string][]string {
	t.Helper()
	problems := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != "." && (name[0] == '.' || name[0] == '_' || name == "testdata" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		l := errorLint{declared: declared, fset: fset}
		l.file(file)
		*calls += l.calls
		if len(l.problems) > 0 {
			problems[path] = l.problems
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

// errorLint looks at one file at a time.
type errorLint struct {
	declared map[string]string
	fset     *token.FileSet
	root     bool            // the file is of package aplomb
	empty    map[string]bool // the file's constants that are empty
	calls    int
	problems []string
}

func (l *errorLint) file(file *ast.File) {
	l.root = file.Name.Name == "aplomb"
	l.empty = map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for i, name := range spec.Names {
				if i < len(spec.Values) && l.isEmpty(spec.Values[i]) {
					l.empty[name.Name] = true
				}
			}
		}
		return true
	})
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && l.root && f.Name.Name == "NewError" {
			continue
		}
		ast.Inspect(decl, l.node)
	}
}

func (l *errorLint) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CompositeLit:
		if array, ok := n.Type.(*ast.ArrayType); l.isError(n.Type) || ok && l.isError(array.Elt) && len(n.Elts) > 0 {
			l.found(n, "makes an Error outside NewError")
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "new" && len(n.Args) == 1 && l.isError(n.Args[0]) {
			l.found(n, "makes an Error outside NewError")
		}
		if l.named(n.Fun) == "NewError" {
			l.call(n)
		}
	}
	return true
}

func (l *errorLint) call(n *ast.CallExpr) {
	l.calls++
	if len(n.Args) != 4 {
		return // a call whose arguments come from another call
	}
	if _, literal := literalText(n.Args[0]); literal {
		l.found(n, "names its code by a literal")
	}
	if name := l.named(n.Args[0]); strings.HasPrefix(name, "Code") && l.declared[name] == "" {
		l.found(n, fmt.Sprintf("uses %s, which is not declared", name))
	}
	for i, part := range []string{"what", "why", "do"} {
		if l.isEmpty(n.Args[i+1]) {
			l.found(n, fmt.Sprintf("has an empty %s", part))
		}
	}
}

// named returns the name of an identifier of package aplomb, "" for anything else.
func (l *errorLint) named(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		if l.root {
			return e.Name
		}
	case *ast.SelectorExpr:
		if id, ok := e.X.(*ast.Ident); ok && id.Name == "aplomb" {
			return e.Sel.Name
		}
	}
	return ""
}

func (l *errorLint) isError(e ast.Expr) bool { return e != nil && l.named(e) == "Error" }

// isEmpty reports whether an expression is plainly an empty text.
func (l *errorLint) isEmpty(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return l.isEmpty(e.X)
	case *ast.BinaryExpr:
		return e.Op == token.ADD && l.isEmpty(e.X) && l.isEmpty(e.Y)
	case *ast.Ident:
		return l.empty[e.Name]
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.SelectorExpr)
		return ok && f.Sel.Name == "Sprintf" && len(e.Args) == 1 && l.isEmpty(e.Args[0])
	}
	text, ok := literalText(e)
	return ok && strings.TrimSpace(text) == ""
}

func (l *errorLint) found(n ast.Node, what string) {
	l.problems = append(l.problems, fmt.Sprintf("%s %s", l.fset.Position(n.Pos()), what))
}

func literalText(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

func TestErrorsPageListsEveryCode(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Error codes\n\nEvery error that Aplomb shows has five parts: what happened, why, what to do, whether production changed, and a\n" +
		"code. This page lists the codes. It is written by `go test -run TestErrorsPage -update .`.\n\n" +
		"| code | what | kind | exit code |\n|---|---|---|---|\n")
	codes := make([]Code, 0, len(Codes))
	for c := range Codes {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	for _, c := range codes {
		fmt.Fprintf(&b, "| %s | %s | %v | %d |\n", c, strings.ReplaceAll(Codes[c].Title, "|", `\|`), Codes[c].Kind, exitOfKind(Codes[c].Kind))
	}
	b.WriteString("\nWhat the exit codes mean, and whether production changed, stands in each command's `--help`.\n")
	page := filepath.Join("docs", "errors.md")
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is not what codes.go says; run: go test -run TestErrorsPage -update .", page)
	}
}
