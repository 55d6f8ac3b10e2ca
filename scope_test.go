package aplomb

import (
	"encoding/json"
	"testing"
)

func TestScopesAreReadAndWrittenByName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Scope{
		"read": ScopeRead, "deploy,read": ScopeRead | ScopeDeploy, "approve, rollback": ScopeApprove | ScopeRollback,
		"read,deploy,approve,rollback,admin": ScopeAll, "read,read": ScopeRead,
	} {
		got, err := ParseScope(text)
		if err != nil || got != want {
			t.Errorf("ParseScope(%q) = %v, %v, want %v", text, got, err, want)
		}
		if again, err := ParseScope(got.String()); err != nil || again != got {
			t.Errorf("ParseScope(%q) = %v, %v, want %v", got.String(), again, err, got)
		}
		b, err := json.Marshal(got)
		var back Scope
		if err != nil || json.Unmarshal(b, &back) != nil || back != got {
			t.Errorf("%v as JSON is %s (%v) and comes back as %v", got, b, err, back)
		}
	}
	for _, bad := range []string{"", "all", "Read", "read,", "read;admin", "admin admin"} {
		if got, err := ParseScope(bad); err == nil {
			t.Errorf("ParseScope(%q) = %v, want an error", bad, got)
		}
	}
	for _, bad := range []string{`"read"`, `31`, `["root"]`, `{}`} {
		if err := json.Unmarshal([]byte(bad), new(Scope)); err == nil {
			t.Errorf("%s was read as scopes", bad)
		}
	}
}

func TestOnlyAdminBringsOtherScopesThanReading(t *testing.T) {
	t.Parallel()
	for has, want := range map[Scope]Scope{
		0: 0, ScopeRead: ScopeRead, ScopeDeploy: ScopeDeploy | ScopeRead, ScopeApprove: ScopeApprove | ScopeRead,
		ScopeRollback: ScopeRollback | ScopeRead, ScopeAdmin: ScopeAll,
	} {
		if got := has.Whole(); got != want {
			t.Errorf("%v.Whole() = %v, want %v", has, got, want)
		}
	}
	if !ScopeAll.Has(ScopeDeploy|ScopeAdmin) || ScopeRead.Has(ScopeRead|ScopeDeploy) {
		t.Error("Has does not ask for all of what is needed")
	}
}
