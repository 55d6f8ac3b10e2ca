package ledger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"aplomb"
	"aplomb/ledger"
)

func sampleFact() aplomb.Fact {
	return aplomb.Fact{
		At: time.Date(2026, 11, 3, 14, 2, 0, 0, time.UTC), Kind: aplomb.FactLive, Actor: "anna",
		Release: "r2", From: "r1", Why: `a <b> & "c"`, More: json.RawMessage(`{"took_ms":12}`),
	}
}

func sampleWrites() []ledger.Write {
	return []ledger.Write{{Key: "state", Value: json.RawMessage(`{"live":"r2"}`)}, {Key: "rel/r1"}}
}

func sampleLine(t testing.TB) []byte {
	t.Helper()
	head := aplomb.Head{Epoch: 2, N: 16, SHA: aplomb.Sum([]byte("before"))}
	_, line, err := ledger.Compose("shop", head, sampleFact(), sampleWrites())
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func sampleOpening(t testing.TB) []byte {
	t.Helper()
	after := aplomb.Head{Epoch: 1, N: 3, SHA: aplomb.Sum([]byte("x"))}
	line, err := ledger.ComposeOpening(ledger.Opening{
		Snapshot: ledger.Snapshot{
			Head:    aplomb.Head{Epoch: 2, N: 5, SHA: after.SHA},
			Records: map[string]json.RawMessage{"state": json.RawMessage(`{"live":"r1"}`)},
		},
		Site: "shop", Oldest: 1, After: &after,
	})
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// sealed writes body, without its closing brace, as a line.
func sealed(body string) []byte {
	return []byte(body + `,"sha":"` + aplomb.Sum([]byte(body)).String() + "\"}\n")
}

func TestLineIsOneReadableObjectThatEndsInItsSum(t *testing.T) {
	t.Parallel()
	line := sampleLine(t)
	if bytes.Count(line, []byte("\n")) != 1 || !bytes.HasPrefix(line, []byte(`{"n":17,"epoch":2,`)) {
		t.Errorf("line = %s", line)
	}
	if !bytes.Contains(line, []byte(`a <b> & \"c\"`)) {
		t.Errorf("line hides what it says: %s", line)
	}
	e, err := ledger.ParseEntry(line)
	if err != nil {
		t.Fatal(err)
	}
	body, _, _ := bytes.Cut(line, []byte(`,"sha":"`))
	if e.Head.SHA != aplomb.Sum(body) || e.Prev != aplomb.Sum([]byte("before")) {
		t.Errorf("sha = %s, prev = %s", e.Head.SHA, e.Prev)
	}
}

func TestEveryFlippedBitOfALineIsFound(t *testing.T) {
	t.Parallel()
	entry, opening := sampleLine(t), sampleOpening(t)
	for i := range 8 * len(entry) {
		b := bytes.Clone(entry)
		b[i/8] ^= 1 << (i % 8)
		if _, err := ledger.ParseEntry(b); !errors.Is(err, aplomb.ErrDamaged) {
			t.Fatalf("fact with bit %d flipped: %v, want ErrDamaged", i, err)
		}
	}
	for i := range 8 * len(opening) {
		b := bytes.Clone(opening)
		b[i/8] ^= 1 << (i % 8)
		if _, err := ledger.ParseOpening(b); !errors.Is(err, aplomb.ErrDamaged) {
			t.Fatalf("snapshot with bit %d flipped: %v, want ErrDamaged", i, err)
		}
	}
}

func TestEveryCutLineIsFound(t *testing.T) {
	t.Parallel()
	line := sampleLine(t)
	for i := range line {
		if _, err := ledger.ParseEntry(line[:i]); !errors.Is(err, aplomb.ErrDamaged) {
			t.Errorf("line cut at %d: %v, want ErrDamaged", i, err)
		}
		if _, err := ledger.ParseEntry(line[i+1:]); !errors.Is(err, aplomb.ErrDamaged) {
			t.Errorf("line from %d on: %v, want ErrDamaged", i+1, err)
		}
	}
}

func TestFactAndSnapshotAreNotTakenForEachOther(t *testing.T) {
	t.Parallel()
	if _, err := ledger.ParseEntry(sampleOpening(t)); !errors.Is(err, aplomb.ErrDamaged) {
		t.Errorf("ParseEntry of a snapshot = %v", err)
	}
	if _, err := ledger.ParseOpening(sampleLine(t)); !errors.Is(err, aplomb.ErrDamaged) {
		t.Errorf("ParseOpening of a fact = %v", err)
	}
}

func TestNewerFormatIsRefusedAndNotCalledDamage(t *testing.T) {
	t.Parallel()
	newer := sealed(`{"n":1,"epoch":1,"schema":2,"fact":"another shape","prev":""`)
	if _, err := ledger.ParseEntry(newer); !errors.Is(err, ledger.ErrNewer) || errors.Is(err, aplomb.ErrDamaged) {
		t.Errorf("ParseEntry = %v, want ErrNewer", err)
	}
	if _, err := ledger.ParseOpening(newer); !errors.Is(err, ledger.ErrNewer) {
		t.Errorf("ParseOpening = %v, want ErrNewer", err)
	}
}

func TestUnknownFieldsArePassedOver(t *testing.T) {
	t.Parallel()
	e, err := ledger.ParseEntry(sealed(`{"n":1,"epoch":1,"schema":1,"mood":"calm","fact":{"n":1,"site":"shop","new":[1]},"prev":""`))
	if err != nil || e.Head.N != 1 || e.Fact.Site != "shop" {
		t.Errorf("ParseEntry = %+v, %v", e, err)
	}
}

func TestSealedNonsenseIsDamage(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `{`, `[1`, `{"n":0,"epoch":1,"fact":{"n":0}`, `{"n":2,"epoch":1,"fact":{"n":1}`, `{"n":1,"fact":{"n":1}`,
		`{"n":"x","epoch":1`, `{"n":1,"epoch":1,"fact":{"n":1},"prev":"zz"`, `{"snapshot":true,"epoch":1,"n":-1,"oldest":1`,
	} {
		if _, err := ledger.ParseEntry(sealed(body)); !errors.Is(err, aplomb.ErrDamaged) {
			t.Errorf("ParseEntry(%s) = %v, want ErrDamaged", body, err)
		}
		if _, err := ledger.ParseOpening(sealed(body)); !errors.Is(err, aplomb.ErrDamaged) {
			t.Errorf("ParseOpening(%s) = %v, want ErrDamaged", body, err)
		}
	}
}

func TestEntryFollowsOnlyItsOwnHead(t *testing.T) {
	t.Parallel()
	head := aplomb.Head{Epoch: 2, N: 16, SHA: aplomb.Sum([]byte("before"))}
	e, err := ledger.ParseEntry(sampleLine(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Follows("shop", head); err != nil {
		t.Errorf("Follows its head: %v", err)
	}
	for name, h := range map[string]aplomb.Head{
		"n": {Epoch: 2, N: 15, SHA: head.SHA}, "epoch": {Epoch: 1, N: 16, SHA: head.SHA}, "hash": {Epoch: 2, N: 16},
	} {
		if err := e.Follows("shop", h); !errors.Is(err, aplomb.ErrDamaged) {
			t.Errorf("Follows a head with another %s: %v", name, err)
		}
	}
	if err := e.Follows("blog", head); !errors.Is(err, aplomb.ErrDamaged) {
		t.Errorf("Follows on another site: %v", err)
	}
}

func TestOpeningFollowsOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	o, err := ledger.ParseOpening(sampleOpening(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Follows("shop", *o.After); err != nil {
		t.Errorf("a recovery follows what it names: %v", err)
	}
	if err := o.Follows("shop", aplomb.Head{Epoch: 1, N: 2}); err == nil {
		t.Error("a recovery follows another head")
	}
	sameEpoch := o
	sameEpoch.Head.Epoch = 1
	if err := sameEpoch.Follows("shop", *o.After); err == nil {
		t.Error("a recovery in the same epoch follows")
	}
	first := ledger.Opening{Snapshot: ledger.Snapshot{Head: aplomb.Head{Epoch: 1}}, Site: "shop", Oldest: 1}
	if err := first.Follows("shop", aplomb.Head{}); err != nil {
		t.Errorf("a new chain follows nothing: %v", err)
	}
	if err := first.Follows("blog", aplomb.Head{}); err == nil {
		t.Error("a snapshot follows on another site")
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(sampleLine(f))
	f.Add(sampleOpening(f))
	f.Add(sealed(`{"n":1,"epoch":1,"schema":1,"fact":{"n":1},"writes":[{"key":"a","value":null}],"prev":""`))
	f.Add([]byte("{}\n"))
	f.Add([]byte(strings.Repeat("\x00", 200)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, line := range [][]byte{b, sealed(string(b))} {
			if o, err := ledger.ParseOpening(line); err == nil {
				again, err := ledger.ComposeOpening(o)
				if err != nil {
					t.Fatalf("compose what was parsed: %v", err)
				}
				if p, err := ledger.ParseOpening(again); err != nil || p.Head != o.Head || len(p.Records) != len(o.Records) {
					t.Fatalf("parse again: %+v, %v, want %+v", p, err, o)
				}
			}
			e, err := ledger.ParseEntry(line)
			if err != nil {
				continue
			}
			body := line[:bytes.LastIndex(line, []byte(`,"sha":"`))]
			if e.Head.SHA != aplomb.Sum(body) {
				t.Fatalf("accepted with a wrong sum: %q", line)
			}
			head := aplomb.Head{Epoch: e.Head.Epoch, N: e.Head.N - 1, SHA: e.Prev}
			p, _, err := ledger.Compose(e.Fact.Site, head, e.Fact, e.Writes)
			if err != nil {
				if errors.Is(err, aplomb.ErrInvalid) {
					continue // a key or a time that this program would not write
				}
				t.Fatalf("compose what was parsed: %v", err)
			}
			if !reflect.DeepEqual(p.Fact.Why, e.Fact.Why) || p.Fact.N != e.Fact.N || len(p.Writes) != len(e.Writes) {
				t.Fatalf("parse again: %+v, want %+v", p, e)
			}
		}
	})
}
