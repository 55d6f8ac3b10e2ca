package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"aplomb"
)

// decodeTOML reads a file of ours into a struct, strictly: a key that is not known is an error with its place and the key
// that was probably meant. All mistakes are told together, and what is right around them is read. It returns the line of each
// top-level key.
func decodeTOML[T any](name string, data []byte, into *T, known []string) (map[string]int, error) {
	found, right := mistakesIn(data, into, known)
	lines := keyLines(right)
	if len(found) == 0 {
		return lines, nil
	}
	return lines, mistakeError(name, data, found)
}

// mistake is one thing in a file that cannot be used. In What of an error it stands with its place.
type mistake struct {
	row, column int // column 0: the line as a whole
	length      int
	what        string
	why, do     string
	cause       error
}

// allSettings begins the list of what can be set; it is told where a single key is not known.
const allSettings = "the settings are "

// mostMistakes is how many mistakes of a file are looked for.
const mostMistakes = 20

// mistakesIn decodes data into a struct, and takes out each setting whose value is of the wrong kind until the rest can be
// read. It returns what it found, and the data without it.
func mistakesIn[T any](data []byte, into *T, known []string) (found []mistake, right []byte) {
	right = data
	for {
		dec := toml.NewDecoder(bytes.NewReader(right))
		dec.DisallowUnknownFields()
		var fresh T
		err := dec.Decode(&fresh)
		*into = fresh
		if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
			for i := range strict.Errors {
				found = append(found, unknownKey(&strict.Errors[i], known))
			}
			return found, right
		}
		bad, ok := errors.AsType[*toml.DecodeError](err)
		if err == nil {
			return found, right
		}
		m := mistake{row: 1, what: plainMistake(strings.TrimPrefix(err.Error(), "toml: ")), cause: err}
		if ok {
			m.row, m.column = bad.Position()
			m.length = 1
		}
		found = append(found, m)
		if right = without(right, m.row); right == nil || !ok || len(found) >= mostMistakes {
			return found, nil
		}
	}
}

// wrongKind is how the decoder says that a value is not of the kind that a setting takes.
var wrongKind = regexp.MustCompile(`^cannot (?:decode TOML|store a|store an) (\w+).* (?:of type|into|in a) (\S+)$`)

// plainMistake says in a person's words what the decoder says in a program's.
func plainMistake(text string) string {
	m := wrongKind.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	return tomlKind(m[1]) + " stands where " + tomlKind(m[2]) + " is wanted"
}

// tomlKind names a kind of value, of TOML's or of this program's.
func tomlKind(kind string) string {
	switch {
	case kind == "string":
		return "a text in quotation marks"
	case strings.HasPrefix(kind, "bool"), strings.HasPrefix(kind, "*bool"):
		return "true or false"
	case strings.HasPrefix(kind, "int"), kind == "float", kind == "float64":
		return "a number"
	case strings.HasPrefix(kind, "[]"), kind == "array":
		return "a list"
	case kind == "table", kind == "map", strings.Contains(kind, "."):
		return "a table"
	}
	return "a " + kind
}

// without returns a document in which the setting of a line is blank, nil where that line is of none, or the document is broken.
func without(data []byte, row int) []byte {
	var starts []int
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		key := p.Expression().Key()
		if p.Expression().Kind == unstable.Comment || !key.Next() {
			continue
		}
		starts = append(starts, p.Shape(key.Node().Raw).Start.Line)
	}
	if p.Error() != nil {
		return nil
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	first, end := 0, len(lines)
	for _, start := range starts {
		if start <= row {
			first = start
		} else {
			end = min(end, start-1)
		}
	}
	if first == 0 {
		return nil
	}
	for i := first - 1; i < end; i++ {
		lines[i] = []byte("\n")
	}
	return bytes.Join(lines, nil)
}

func unknownKey(bad *toml.DecodeError, known []string) mistake {
	row, column := bad.Position()
	key := strings.Join(bad.Key(), ".")
	m := mistake{row: row, column: column, length: len(key), what: fmt.Sprintf("there is no setting %q", key), cause: bad,
		why: allSettings + listText(known), do: "delete line %d of %s"}
	if near := nearest(key, known); near != "" {
		m.why, m.do = fmt.Sprintf("did you mean %q?", near), fmt.Sprintf("write %q in line", near)+" %d of %s"
	}
	return m
}

// mistakeError tells all that was found in a file, in the order of its lines.
func mistakeError(name string, data []byte, found []mistake) error {
	slices.SortStableFunc(found, func(a, b mistake) int { return cmp.Compare(a.row, b.row) })
	const why = "a setting that is not understood is never guessed"
	if len(found) == 1 {
		m := found[0]
		do := fmt.Sprintf(cmp.Or(m.do, "correct line %d of %s"), m.row, name)
		return aplomb.NewError(aplomb.CodeConfig, m.text(name, data), cmp.Or(m.why, why), do).Because(m.cause)
	}
	var all, rows []string
	var causes []error
	for _, m := range found {
		text := m.text(name, data)
		if m.why != "" && !strings.HasPrefix(m.why, allSettings) {
			text += "\n" + m.why
		}
		all, causes = append(all, text), append(causes, m.cause)
		if row := strconv.Itoa(m.row); !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	lines := "line "
	if len(rows) > 1 {
		lines = "lines "
	}
	return aplomb.NewError(aplomb.CodeConfig, strings.Join(all, "\n"), why, "correct "+lines+listText(rows)+" of "+name).Because(errors.Join(causes...))
}

func (m mistake) text(name string, data []byte) string {
	if m.column == 0 {
		return printable(fmt.Sprintf("%s:%d: %s", name, m.row, m.what))
	}
	return printable(fmt.Sprintf("%s:%d:%d: %s\n%s", name, m.row, m.column, m.what, caret(data, m.row, m.column, m.length)))
}

// caret shows a line of a file with a mark under the place that is meant.
func caret(data []byte, row, column, length int) string {
	lines := strings.Split(string(data), "\n")
	if row < 1 || row > len(lines) {
		return ""
	}
	line := printable(strings.ReplaceAll(strings.TrimRight(lines[row-1], "\r"), "\t", " "))
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
