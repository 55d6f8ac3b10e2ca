//go:build ignore

// Health prints the figures that say where to look: signals, not limits. Each stands beside the value beyond which it
// is worth a look. It fails only when the sources cannot be read.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// figures are counted over all files that are written by hand.
type figures struct {
	functions  []length // without tests
	files      []length // without tests
	lines      int
	testLines  int
	inits      int
	sleeps     []string
	exported   int
	documented int
	packages   map[string]bool // folder → has a package comment
	interfaces int
}

// length is something with a name and a number of lines.
type length struct {
	name  string
	lines int
}

func main() {
	f := figures{packages: map[string]bool{}}
	if err := filepath.WalkDir(".", f.visit); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
	f.print()
}

func (f *figures) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if d.IsDir() {
		if base := d.Name(); name != "." && (base[0] == '.' || base == "testdata" || base == "examples" || base == "scripts") {
			return filepath.SkipDir
		}
		return nil
	}
	if !strings.HasSuffix(name, ".go") {
		return nil
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	lines := set.File(file.Pos()).LineCount()
	if strings.HasSuffix(name, "_test.go") {
		f.testLines += lines
		f.countSleeps(name, file)
		return nil
	}
	f.lines += lines
	f.files = append(f.files, length{name, lines})
	dir := filepath.Dir(name)
	f.packages[dir] = f.packages[dir] || file.Doc != nil
	for _, decl := range file.Decls {
		f.countDecl(set, name, decl)
	}
	return nil
}

func (f *figures) countSleeps(name string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
				f.sleeps = append(f.sleeps, name)
			}
		}
		return true
	})
}

func (f *figures) countDecl(set *token.FileSet, name string, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		n := set.Position(d.End()).Line - set.Position(d.Pos()).Line + 1
		f.functions = append(f.functions, length{name + " " + d.Name.Name, n})
		if d.Recv == nil && d.Name.Name == "init" {
			f.inits++
		}
		if d.Name.IsExported() {
			f.countName(d.Doc)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if _, ok := s.Type.(*ast.InterfaceType); ok {
					f.interfaces++
				}
				if s.Name.IsExported() {
					f.countName(s.Doc, d.Doc)
				}
			case *ast.ValueSpec:
				for _, id := range s.Names {
					if id.IsExported() {
						f.countName(s.Doc, d.Doc, s.Comment)
					}
				}
			}
		}
	}
}

func (f *figures) countName(docs ...*ast.CommentGroup) {
	f.exported++
	if slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d != nil }) {
		f.documented++
	}
}

func (f *figures) print() {
	byLines := func(a, b length) int { return a.lines - b.lines }
	slices.SortFunc(f.functions, byLines)
	slices.SortFunc(f.files, byLines)
	undocumented := 0
	for _, has := range f.packages {
		if !has {
			undocumented++
		}
	}
	slices.Sort(f.sleeps)

	fmt.Println("health (figure, value, look when beyond)")
	row("function length, 99 of 100", 70, at(f.functions, 99).lines)
	row("function length, longest", 120, at(f.functions, 100).lines, at(f.functions, 100).name)
	row("file length, 90 of 100", 350, at(f.files, 90).lines)
	row("file length, longest", -1, at(f.files, 100).lines, at(f.files, 100).name)
	row("direct dependencies", 20, count("go", "list", "-m", "-f", "{{if not (or .Main .Indirect)}}{{.Path}}{{end}}", "all"))
	row("modules linked", 60, count("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./cmd/aplomb"))
	row("init functions", 0, f.inits)
	row("sleeps in tests", 0, len(f.sleeps), slices.Compact(f.sleeps)...)
	row("exported names without a comment", f.exported/20, f.exported-f.documented, fmt.Sprintf("of %d", f.exported))
	row("packages without a comment", 0, undocumented)
	fmt.Printf("  %-34s %7d\n", "interfaces", f.interfaces)
	fmt.Printf("  %-34s %7.2f %s\n", "test lines per line of code", float64(f.testLines)/float64(max(f.lines, 1)), fmt.Sprintf("(%d and %d)", f.testLines, f.lines))
}

// row prints one figure, marked when it is beyond its limit. A negative limit is none.
func row(what string, limit, value int, more ...string) {
	mark, bound := " ", fmt.Sprint(limit)
	if limit < 0 {
		bound = ""
	}
	if value > limit && limit >= 0 {
		mark = "*"
	}
	fmt.Printf("%s %-34s %7d %7s  %s\n", mark, what, value, bound, strings.Join(more, " "))
}

// at returns the element below which percent of the sorted ones lie.
func at(sorted []length, percent int) length {
	if len(sorted) == 0 {
		return length{}
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

// count counts the different lines a command prints, -1 when it fails.
func count(name string, args ...string) int {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return -1
	}
	lines := map[string]bool{}
	for line := range bytes.Lines(out) {
		if s := strings.TrimSpace(string(line)); s != "" {
			lines[s] = true
		}
	}
	return len(lines)
}
