package aplomb

import (
	"fmt"
	"strconv"
	"strings"
)

// Redirect is one rule of a _redirects file.
type Redirect struct {
	Line   int              `json:"line"`
	From   string           `json:"from"`
	Query  []QueryCondition `json:"query,omitempty"`
	To     string           `json:"to"`
	Status int              `json:"status"`
	Force  bool             `json:"force,omitempty"` // "!": applies even where a file exists
}

// QueryCondition is a query parameter that a request must have for a redirect to apply. Value is the decoded value it
// must have, or ":name" for any value, which then stands in the target for ":name".
type QueryCondition struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ParseRedirects reads a _redirects file as Netlify and Cloudflare Pages write it: "from [name=value …] to [status]".
// Patterns are those of ParseHeaders; ":splat" and ":name" in the target stand for what they matched. The status is 302
// when there is none; "!" after it lets the rule apply where a file exists. 200, 404 and 410 answer with a file of the
// same site. What cannot be used, conditions on country, language, role and cookie included, is an *Error that names
// the line: no rule is dropped.
func ParseRedirects(text []byte, l Limits) ([]Redirect, []Warning, error) {
	file := &ruleFile{name: RedirectsFile}
	lines, err := file.lines(text, l)
	if err != nil {
		return nil, nil, err
	}
	var rules []Redirect
	dynamic := 0
	seen := map[string]int{}
	for _, line := range lines {
		if len(rules) == l.Redirects {
			return nil, nil, file.refuse(line.number, fmt.Sprintf("a file may have %d redirects", l.Redirects), `join rules with "*"`)
		}
		rule, compiled, why := parseRedirect(line)
		if why != "" {
			return nil, nil, file.refuse(line.number, why, "correct or remove the line")
		}
		if !compiled.pattern.static() {
			if dynamic++; dynamic > l.Dynamic {
				return nil, nil, file.refuse(line.number,
					fmt.Sprintf(`a file may have %d redirects with "*" or a placeholder`, l.Dynamic), "join rules")
			}
		}
		if before, is := seen[rule.From]; is {
			file.warn(line.number, "the rule for %s is never reached: line %d comes first", rule.From, before)
		} else if len(rule.Query) == 0 {
			seen[rule.From] = line.number
		}
		if compiled.unknown != "" {
			file.warn(line.number, "%s in %s is sent as it stands: the pattern has no such placeholder", compiled.unknown, rule.To)
		}
		if strings.Contains(rule.To, "*") {
			file.warn(line.number, `"*" in %s is sent as it stands: what "*" matched is written :splat`, rule.To)
		}
		rules = append(rules, rule)
	}
	return rules, file.warnings, nil
}

// parseRedirect returns a rule, ready to match, or why it cannot be used.
func parseRedirect(line ruleLine) (Redirect, compiledRedirect, string) {
	words := redirectWords(line.text)
	rule := Redirect{Line: line.number, From: words[0], Status: 302}
	rest := words[1:]
	for len(rest) > 0 && !isTarget(rest[0]) {
		name, value, ok := strings.Cut(rest[0], "=")
		if !ok {
			return rule, compiledRedirect{}, fmt.Sprintf(`%q is neither a target, which begins with "/" or "https://", nor a query parameter`, rest[0])
		}
		if why := conditionProblem(name); why != "" {
			return rule, compiledRedirect{}, why
		}
		rule.Query = append(rule.Query, QueryCondition{unescapeQuery(name), conditionValue(value)})
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return rule, compiledRedirect{}, "it names no target"
	}
	rule.To, rest = rest[0], rest[1:]
	if len(rest) > 0 && isStatusWord(rest[0]) {
		status, force := strings.CutSuffix(rest[0], "!")
		rule.Status, _ = strconv.Atoi(status)
		rule.Force = force
		rest = rest[1:]
	}
	if len(rest) > 0 {
		name, _, _ := strings.Cut(rest[0], "=")
		if why := conditionProblem(name); why != "" {
			return rule, compiledRedirect{}, why
		}
		return rule, compiledRedirect{}, fmt.Sprintf("%q after the target is not a status", rest[0])
	}
	c, err := compileRedirect(rule)
	if err != nil {
		return rule, compiledRedirect{}, err.Error()
	}
	return rule, c, ""
}

// redirectWords splits a line, up to a comment.
func redirectWords(text string) []string {
	words := strings.Fields(text)
	for i, w := range words {
		if i > 0 && w[0] == '#' {
			return words[:i]
		}
	}
	return words
}

func isTarget(word string) bool {
	return word[0] == '/' || strings.Contains(word, "://") && !strings.Contains(word[:strings.Index(word, "://")], "=")
}

func isStatusWord(word string) bool {
	word = strings.TrimSuffix(word, "!")
	return len(word) == 3 && isDigits(word)
}

// conditionProblem names the conditions that other hosts have and Aplomb has not.
func conditionProblem(name string) string {
	switch name {
	case "Country", "Language", "Role", "Cookie", "Signed", "Sign":
		return fmt.Sprintf("it depends on the condition %s, which Aplomb does not have", name)
	}
	return ""
}

// conditionValue decodes the value of a condition; a placeholder stays as it is.
func conditionValue(value string) string {
	if strings.HasPrefix(value, ":") {
		return value
	}
	return unescapeQuery(value)
}
