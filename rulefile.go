package aplomb

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ruleFile is the text of a _headers or _redirects file on its way to rules. Its errors and warnings name the line.
type ruleFile struct {
	name     string // with the leading "/"
	warnings []Warning
}

// ruleLine is one line that is neither blank nor a comment, without the space around it.
type ruleLine struct {
	number int
	text   string
}

// lines checks the text and returns its lines. Line ends are LF or CR LF.
func (r *ruleFile) lines(text []byte, l Limits) ([]ruleLine, error) {
	if int64(len(text)) > l.RulesBytes {
		return nil, limitError(fmt.Sprintf("%s is too large", r.name),
			fmt.Sprintf("it has %d bytes, and a rule file may have %d", len(text), l.RulesBytes))
	}
	var lines []ruleLine
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		number++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if len(line) > l.RuleLine {
			return nil, r.refuse(number, fmt.Sprintf("it has %d bytes, and a line may have %d", len(line), l.RuleLine), "shorten the line")
		}
		if !utf8.ValidString(line) {
			return nil, r.refuse(number, "it is not valid UTF-8", "save the file as UTF-8")
		}
		for _, c := range line {
			if unicode.IsControl(c) && c != '\t' {
				return nil, r.refuse(number, fmt.Sprintf("it contains the control character %U", c), "take the character out")
			}
		}
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' {
			lines = append(lines, ruleLine{number, line})
		}
	}
	return lines, nil
}

func (r *ruleFile) refuse(line int, why, do string) *Error {
	return NewError(CodeRules, fmt.Sprintf("line %d of %s cannot be used", line, r.name[1:]), why, do+", then deploy again")
}

func (r *ruleFile) warn(line int, format string, args ...any) {
	r.warnings = append(r.warnings, Warning{Path: r.name, Line: line, Text: fmt.Sprintf(format, args...)})
}
