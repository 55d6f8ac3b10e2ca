package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"aplomb"
)

// decodeTOML reads a file of ours into a struct, strictly: a key that is not known is an error with its place and the key
// that was probably meant. It returns the line of each top-level key.
func decodeTOML(name string, data []byte, into any, known []string) (map[string]int, error) {
	dec := toml.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(strict.Errors) > 0 {
		return nil, unknownKey(name, data, &strict.Errors[0], known)
	}
	if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, column := bad.Position()
		return nil, aplomb.NewError(aplomb.CodeConfig,
			fmt.Sprintf("%s:%d:%d: %s\n%s", name, row, column, strings.TrimPrefix(bad.Error(), "toml: "), caret(data, row, column, 1)),
			"a setting that is not understood is never guessed", "aplomb config explain --help").Because(err)
	}
	if err != nil {
		return nil, aplomb.NewError(aplomb.CodeConfig, name+": "+err.Error(),
			"a setting that is not understood is never guessed", "aplomb config explain --help").Because(err)
	}
	return keyLines(data), nil
}

func unknownKey(name string, data []byte, bad *toml.DecodeError, known []string) error {
	row, column := bad.Position()
	key := strings.Join(bad.Key(), ".")
	what := fmt.Sprintf("%s:%d:%d: there is no setting %q\n%s", name, row, column, key, caret(data, row, column, len(key)))
	if near := nearest(key, known); near != "" {
		return aplomb.NewError(aplomb.CodeConfig, what, fmt.Sprintf("did you mean %q?", near), fmt.Sprintf("write %q in line %d of %s", near, row, name)).Because(bad)
	}
	return aplomb.NewError(aplomb.CodeConfig, what, "the settings are "+strings.Join(known, ", "), fmt.Sprintf("delete line %d of %s", row, name)).Because(bad)
}

// caret shows a line of a file with a mark under the place that is meant.
func caret(data []byte, row, column, length int) string {
	lines := strings.Split(string(data), "\n")
	if row < 1 || row > len(lines) {
		return ""
	}
	line := strings.ReplaceAll(strings.TrimRight(lines[row-1], "\r"), "\t", " ")
	number := fmt.Sprintf("%d| ", row)
	return number + line + "\n" + strings.Repeat(" ", len(number)+column-1) + strings.Repeat("^", max(1, length))
}

// keyLines returns the line of each top-level key of a document that was decoded already. Of tables it is that of the first
// of a name; the second [[app]] stands under "app.2".
func keyLines(data []byte) map[string]int {
	lines := map[string]int{}
	var p unstable.Parser
	p.Reset(data)
	inTable, tables := false, map[string]int{}
	for p.NextExpression() {
		e := p.Expression()
		table := e.Kind == unstable.Table || e.Kind == unstable.ArrayTable
		inTable = inTable || table
		if !table && (inTable || e.Kind != unstable.KeyValue) {
			continue
		}
		if key := e.Key(); key.Next() {
			node := key.Node()
			name, line := string(node.Data), p.Shape(node.Raw).Start.Line
			if tables[name]++; tables[name] == 1 {
				lines[name] = line
			}
			if table {
				lines[fmt.Sprintf("%s.%d", name, tables[name])] = line
			}
		}
	}
	return lines
}
