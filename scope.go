package aplomb

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Scope is a set of what a caller of the API may do. Scopes are apart: having one gives none of the others; Whole says which
// of them are only of use together.
type Scope uint8

// The scopes.
const (
	// ScopeRead sees status, timeline and releases.
	ScopeRead Scope = 1 << iota
	// ScopeDeploy uploads, promotes, previews and notes. Promoting a release that was withdrawn needs ScopeRollback, too.
	ScopeDeploy
	// ScopeApprove says a person's yes to what waits for one.
	ScopeApprove
	// ScopeRollback takes back: rollback, undo, retire, offline and online.
	ScopeRollback
	// ScopeAdmin creates, sets and removes sites, gives and revokes tokens, forgets, recovers, backs up.
	ScopeAdmin

	// ScopeAll is what the machine's own user has.
	ScopeAll = ScopeRead | ScopeDeploy | ScopeApprove | ScopeRollback | ScopeAdmin
)

// ScopeNames lists the scopes' names, in the order of their bits.
func ScopeNames() []string { return []string{"read", "deploy", "approve", "rollback", "admin"} }

// Has reports whether s holds all of need.
func (s Scope) Has(need Scope) bool { return s&need == need }

// Whole adds what comes with a scope: reading with every other, and everything with ScopeAdmin, which could give it to itself.
func (s Scope) Whole() Scope {
	switch {
	case s.Has(ScopeAdmin):
		return ScopeAll
	case s != 0:
		return s | ScopeRead
	}
	return 0
}

// Names lists the scopes in s.
func (s Scope) Names() []string {
	names := []string{}
	for i, name := range ScopeNames() {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String names the scopes in s as commands and documents do: "read,deploy".
func (s Scope) String() string { return strings.Join(s.Names(), ",") }

// ParseScope reads one scope, or several with commas between them.
func ParseScope(text string) (Scope, error) {
	var s Scope
	for word := range strings.SplitSeq(text, ",") {
		one, err := scopeOf(strings.TrimSpace(word))
		if err != nil {
			return 0, err
		}
		s |= one
	}
	return s, nil
}

func scopeOf(name string) (Scope, error) {
	for i, n := range ScopeNames() {
		if n == name {
			return 1 << i, nil
		}
	}
	return 0, fmt.Errorf("there is no scope %.40q: want %s", name, strings.Join(ScopeNames(), ", "))
}

// MarshalJSON writes the scopes' names as a list.
func (s Scope) MarshalJSON() ([]byte, error) { return json.Marshal(s.Names()) }

// UnmarshalJSON reads a list of scopes' names.
func (s *Scope) UnmarshalJSON(b []byte) error {
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return fmt.Errorf("read scopes: %w", err)
	}
	var all Scope
	for _, name := range names {
		one, err := scopeOf(name)
		if err != nil {
			return err
		}
		all |= one
	}
	*s = all
	return nil
}
