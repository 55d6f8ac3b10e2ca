package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"aplomb"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file that people have read and found right.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; see it with -update and git diff\ngot:\n%s\nwant:\n%s", name, got, want)
	}
}

func plainScreen(width int) screen { return screen{width: width} }

func TestAnErrorReadsAsPeopleNeedIt(t *testing.T) {
	t.Parallel()
	e := aplomb.NewError(aplomb.CodeSourceDir, "./shop holds package.json",
		"that belongs to a project's source; what visitors get is the folder its build writes, which is another one and stands beside it",
		"aplomb deploy shop/dist").With("Production is unchanged: still r41, live since 14:02.")
	golden(t, "error-80.txt", errorText(plainScreen(80), "Not deployed", e))
	golden(t, "error-200.txt", errorText(plainScreen(200), "Not deployed", e))
	golden(t, "error-40.txt", errorText(plainScreen(40), "Not deployed", e))
	live := screen{live: true, tty: true, width: 80}
	golden(t, "error-colour.txt", errorText(live, "Not deployed", e))
}

func TestAnErrorInJSONIsOneObjectOnOneLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	e := aplomb.NewError(aplomb.CodeUsage, "a <b>", "c", "d").With("Production is unchanged: nothing was sent.")
	report(&out, plainScreen(80), true, "Not done", e)
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want 1: %q", n, out.String())
	}
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"code", "what", "why", "do", "production"} {
		if got[key] == "" {
			t.Errorf("%s is missing in %s", key, out.String())
		}
	}
}

func TestAnUnforeseenErrorKeepsItsWordsAndHasAllParts(t *testing.T) {
	t.Parallel()
	e := asError(errors.New("open file: too many open files"))
	if e.What != "Open file: too many open files" || e.Why == "" || e.Do == "" || e.Code != aplomb.CodeInternal {
		t.Errorf("asError = %+v", e)
	}
	if got := (&call{}).production(e); got == "" {
		t.Error("an error without a word on production")
	}
}

// The program's errors are written in one place each; a part that is empty there is seen here, not by a person in trouble.
func TestNoErrorLacksAPartOrRaisesItsVoice(t *testing.T) {
	t.Parallel()
	checked := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !isNewError(call.Fun) || len(call.Args) != 4 {
				return true
			}
			checked++
			for i, part := range []string{"", "what", "why", "do"} {
				text, literal := literalOf(call.Args[i])
				if i > 0 && literal && strings.TrimSpace(text) == "" {
					t.Errorf("%s: an error whose %q is empty", set.Position(call.Pos()), part)
				}
				if i > 0 && strings.Contains(text, "!") {
					t.Errorf("%s: an error raises its voice: %q", set.Position(call.Pos()), text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 20 {
		t.Fatalf("only %d errors found: the search is broken", checked)
	}
	for code, c := range aplomb.Codes {
		if c.Title == "" || c.Kind == nil || strings.Contains(c.Title, "!") {
			t.Errorf("%s: %+v", code, c)
		}
	}
}

func isNewError(fun ast.Expr) bool {
	switch f := fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name == "NewError"
	case *ast.Ident:
		return f.Name == "NewError"
	}
	return false
}

// literalOf returns the text of a literal, or of the format of a Sprintf.
func literalOf(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.CallExpr:
		if len(e.Args) > 0 {
			text, _ := literalOf(e.Args[0])
			return text, false
		}
	}
	return "", false
}
