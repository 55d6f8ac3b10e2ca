// Package ledgertest is the conformance suite of ledger.Ledger: every implementation runs it. It tests promises only,
// and knows nothing of how an implementation keeps them.
package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aplomb"
	"aplomb/ledger"
)

// Open returns a new, empty ledger. The suite closes it.
type Open func(t *testing.T) ledger.Ledger

// Run checks that what open returns keeps the promises of ledger.Ledger.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, ledger.Ledger)
	}{
		{"SiteThatWasNeverAppendedToIsNotFound", unknownSite},
		{"FirstFactNeedsTheZeroHead", firstFact},
		{"NumbersHaveNoGapAndEachFactCarriesTheHashBeforeIt", numbers},
		{"StaleHeadIsAConflictAndChangesNothing", conflict},
		{"OneOfManyWritersWins", oneWinner},
		{"RecordsAreSetReplacedAndDeletedWithTheirFact", records},
		{"LoadedRecordsAreTheCallersOwn", ownRecords},
		{"WhatIsReadIsWhatWasWritten", roundTrip},
		{"WhatCanNeverBeStoredIsRefused", refused},
		{"EntriesStartAfterAnyCursor", cursors},
		{"EntriesEndAtTheHeadOfTheCall", entriesEnd},
		{"FollowersSeeEveryEntryOnceInOrder", followers},
		{"SlowFollowerDelaysNobody", slowFollower},
		{"FollowEndsWithItsContextWithoutAnError", followContext},
		{"CallsWithAnEndedContextFail", endedContext},
		{"CloseEndsFollowAndFailsLaterCalls", closing},
		{"SitesAreListedByNameAndIndependent", sites},
		{"AChainSetAsideIsUnknownAndItsNameBeginsAnew", setAside},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := open(t)
			t.Cleanup(func() {
				if err := l.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			c.test(t, l)
		})
	}
}

// RunDurable checks that a ledger that is closed and opened again holds what was acknowledged. newStore makes an
// empty store and returns what opens it, again and again.
func RunDurable(t *testing.T, newStore func(t *testing.T) Open) {
	t.Run("WhatWasAcknowledgedIsThereAfterReopening", func(t *testing.T) {
		t.Parallel()
		open := newStore(t)
		var want ledger.Snapshot
		for round := range 5 {
			l := open(t)
			if round > 0 {
				equal(t, "after reopening", load(t, l, "shop"), want)
			}
			for range 7 {
				add(t, l, "shop", set("state", fmt.Sprintf(`{"round":%d}`, round)), set(fmt.Sprintf("rel/r%d", round), `1`))
			}
			want = load(t, l, "shop")
			if err := l.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
		}
		l := open(t)
		defer l.Close()
		if got := len(entries(t, l, "shop", 0)); got != 35 {
			t.Errorf("entries after reopening = %d, want 35", got)
		}
	})
}

func unknownSite(t *testing.T, l ledger.Ledger) {
	ctx := t.Context()
	if _, err := l.Load(ctx, "shop"); !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("Load = %v, want ErrNotFound", err)
	}
	if _, err := l.Append(ctx, "shop", aplomb.Head{Epoch: 1, N: 3}, note("x"), nil); !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("Append with a head = %v, want ErrNotFound", err)
	}
	for name, seq := range map[string]func(func(ledger.Entry, error) bool){
		"Entries": l.Entries(ctx, "shop", 0), "Follow": l.Follow(ctx, "shop", 0),
	} {
		yielded := 0
		for _, err := range seq {
			if yielded++; !errors.Is(err, aplomb.ErrNotFound) {
				t.Errorf("%s = %v, want ErrNotFound", name, err)
			}
		}
		if yielded != 1 {
			t.Errorf("%s yielded %d times, want one error", name, yielded)
		}
	}
	if got, err := l.Sites(ctx); err != nil || len(got) != 0 {
		t.Errorf("Sites = %v, %v, want none", got, err)
	}
}

func firstFact(t *testing.T, l ledger.Ledger) {
	h, err := l.Append(t.Context(), "shop", aplomb.Head{}, note("first"), nil)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	if h.N != 1 || h.Epoch != 1 || h.SHA.IsZero() {
		t.Errorf("head = %+v, want 1.1 with a hash", h)
	}
	if _, err := l.Append(t.Context(), "shop", aplomb.Head{}, note("again"), nil); !errors.Is(err, aplomb.ErrConflict) {
		t.Errorf("second Append with the zero head = %v, want ErrConflict", err)
	}
	if got := load(t, l, "shop").Head; got != h {
		t.Errorf("head = %+v, want %+v", got, h)
	}
}

func numbers(t *testing.T, l ledger.Ledger) {
	const n = 50
	var heads []aplomb.Head
	for range n {
		heads = append(heads, add(t, l, "shop"))
	}
	got := entries(t, l, "shop", 0)
	if len(got) != n {
		t.Fatalf("entries = %d, want %d", len(got), n)
	}
	var prev aplomb.Digest
	for i, e := range got {
		if e.Fact.N != int64(i+1) || e.Head != heads[i] || e.Prev != prev {
			t.Fatalf("entry %d = n %d, head %+v, prev %s; want head %+v, prev %s", i, e.Fact.N, e.Head, e.Prev, heads[i], prev)
		}
		prev = e.Head.SHA
	}
}

func conflict(t *testing.T, l ledger.Ledger) {
	old := add(t, l, "shop", set("state", `1`))
	head := add(t, l, "shop", set("state", `2`))
	for name, expect := range map[string]aplomb.Head{
		"an older head":    old,
		"another hash":     {Epoch: head.Epoch, N: head.N, SHA: old.SHA},
		"another epoch":    {Epoch: head.Epoch + 1, N: head.N, SHA: head.SHA},
		"a head of beyond": {Epoch: head.Epoch, N: head.N + 1, SHA: head.SHA},
	} {
		if _, err := l.Append(t.Context(), "shop", expect, note("x"), []ledger.Write{set("state", `3`)}); !errors.Is(err, aplomb.ErrConflict) {
			t.Errorf("Append with %s = %v, want ErrConflict", name, err)
		}
	}
	equal(t, "after conflicts", load(t, l, "shop"), ledger.Snapshot{Head: head, Records: map[string]json.RawMessage{"state": []byte(`2`)}})
	if got := len(entries(t, l, "shop", 0)); got != 2 {
		t.Errorf("entries = %d, want 2", got)
	}
}

func oneWinner(t *testing.T, l ledger.Ledger) {
	const writers, rounds = 8, 20
	head := add(t, l, "shop")
	for round := range rounds {
		var won atomic.Int64
		var next aplomb.Head
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				h, err := l.Append(t.Context(), "shop", head, note(fmt.Sprint(w)), nil)
				switch {
				case err == nil:
					won.Add(1)
					next = h
				case !errors.Is(err, aplomb.ErrConflict):
					t.Errorf("Append: %v, want ErrConflict", err)
				}
			})
		}
		wg.Wait()
		if got := won.Load(); got != 1 {
			t.Fatalf("round %d: %d writers won, want 1", round, got)
		}
		head = next
	}
	if got := load(t, l, "shop").Head; got != head || head.N != rounds+1 {
		t.Errorf("head = %+v, want %+v at n %d", got, head, rounds+1)
	}
}

func records(t *testing.T, l ledger.Ledger) {
	add(t, l, "shop", set("state", `{"live":"r1"}`), set("rel/r1", `"a"`))
	add(t, l, "shop", set("state", `{"live":"r2"}`), set("rel/r2", `"b"`), ledger.Write{Key: "rel/r1"})
	head := add(t, l, "shop", ledger.Write{Key: "never set"}, set("twice", `1`), set("twice", `2`))
	equal(t, "records", load(t, l, "shop"), ledger.Snapshot{Head: head, Records: map[string]json.RawMessage{
		"state": []byte(`{"live":"r2"}`), "rel/r2": []byte(`"b"`), "twice": []byte(`2`),
	}})
}

func ownRecords(t *testing.T, l ledger.Ledger) {
	add(t, l, "shop", set("state", `1`))
	s := load(t, l, "shop")
	s.Records["other"] = []byte(`2`)
	delete(s.Records, "state")
	equal(t, "after a caller changed its map", load(t, l, "shop"),
		ledger.Snapshot{Head: s.Head, Records: map[string]json.RawMessage{"state": []byte(`1`)}})
}

func roundTrip(t *testing.T, l ledger.Ledger) {
	want := aplomb.Fact{
		At: time.Date(2026, 11, 3, 14, 2, 0, 123456789, time.UTC), Kind: aplomb.FactLive, Actor: `a "person" <x@y> & co`,
		Site: "shop", Release: "r2", From: "r1", Why: "line\nbreak, tab\t, ünïcode \u2028 and \x00", Rollout: 7, Act: 3,
		More: json.RawMessage(`{"a":[1,2,{"sha":"x"}],"b":"<&>"}`),
	}
	if _, err := l.Append(t.Context(), "shop", aplomb.Head{}, want, []ledger.Write{set("k \" ü", ` { "v" : "<" } `), {Key: "gone"}}); err != nil {
		t.Fatalf("Append: %v", err)
	}
	e := entries(t, l, "shop", 0)[0]
	want.N = 1
	g, _ := json.Marshal(e.Fact)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("fact = %s\nwant   %s", g, w)
	}
	if len(e.Writes) != 2 || e.Writes[0].Key != "k \" ü" || !sameJSON(e.Writes[0].Value, []byte(`{"v":"<"}`)) || e.Writes[1].Value != nil {
		t.Errorf("writes = %v", e.Writes)
	}
}

func refused(t *testing.T, l ledger.Ledger) {
	head := add(t, l, "shop")
	big := json.RawMessage(`"` + strings.Repeat("x", ledger.MaxRecord) + `"`)
	var many []ledger.Write
	for i := range ledger.MaxLine/ledger.MaxRecord + 1 {
		many = append(many, ledger.Write{Key: fmt.Sprint(i), Value: big[:len(big)-3]})
		many[i].Value = append(slices.Clone(many[i].Value), '"')
	}
	other := note("x")
	other.Site = "blog"
	for name, c := range map[string]struct {
		site   aplomb.SiteName
		fact   aplomb.Fact
		writes []ledger.Write
	}{
		"a record beyond the limit":  {"shop", note("x"), []ledger.Write{{Key: "k", Value: big}}},
		"a line beyond the limit":    {"shop", note("x"), many},
		"a record that is not JSON":  {"shop", note("x"), []ledger.Write{set("k", `{"a":`)}},
		"a record without a key":     {"shop", note("x"), []ledger.Write{set("", `1`)}},
		"a fact of another site":     {"shop", other, nil},
		"a fact with More not JSON":  {"shop", aplomb.Fact{More: json.RawMessage(`{`)}, nil},
		"a site that is not a name":  {"../shop", note("x"), nil},
		"a site with an empty name ": {"", note("x"), nil},
	} {
		expect := head
		if c.site != "shop" {
			expect = aplomb.Head{}
		}
		if _, err := l.Append(t.Context(), c.site, expect, c.fact, c.writes); !errors.Is(err, aplomb.ErrInvalid) {
			t.Errorf("Append of %s = %v, want ErrInvalid", name, err)
		}
	}
	if got := load(t, l, "shop").Head; got != head {
		t.Errorf("head = %+v, want %+v", got, head)
	}
	add(t, l, "shop", ledger.Write{Key: "k", Value: many[0].Value})
}

func cursors(t *testing.T, l ledger.Ledger) {
	const n = 30
	for range n {
		add(t, l, "shop")
	}
	for after := int64(-1); after <= n+2; after++ {
		got := entries(t, l, "shop", after)
		if want := min(n, max(0, n-after)); int64(len(got)) != want {
			t.Fatalf("entries after %d = %d, want %d", after, len(got), want)
		}
		for i, e := range got {
			if want := max(after, 0) + int64(i) + 1; e.Head.N != want {
				t.Fatalf("entries after %d: n %d at %d, want %d", after, e.Head.N, i, want)
			}
		}
	}
	for e, err := range l.Entries(t.Context(), "shop", 0) { // a consumer may stop
		if err != nil || e.Head.N != 1 {
			t.Errorf("first entry = %d, %v", e.Head.N, err)
		}
		break
	}
}

func entriesEnd(t *testing.T, l ledger.Ledger) {
	add(t, l, "shop")
	seq := l.Entries(t.Context(), "shop", 0)
	add(t, l, "shop")
	n := 0
	for _, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		n++
		add(t, l, "shop")
	}
	if n != 1 {
		t.Errorf("entries = %d, want the one there was at the call", n)
	}
}

func followers(t *testing.T, l ledger.Ledger) {
	const n, each = 300, 6
	add(t, l, "shop")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range int64(each) {
		wg.Go(func() {
			want := i*3 + 1
			for e, err := range l.Follow(ctx, "shop", i*3) {
				if err != nil {
					t.Errorf("Follow: %v", err)
					return
				}
				if e.Head.N != want {
					t.Errorf("follower %d: n %d, want %d", i, e.Head.N, want)
					return
				}
				if want++; want > n {
					return
				}
			}
			t.Errorf("follower %d ended before entry %d", i, want)
		})
	}
	for range n - 1 {
		add(t, l, "shop")
	}
	wg.Wait()
}

func slowFollower(t *testing.T, l ledger.Ledger) {
	const n = 200
	add(t, l, "shop")
	seen, resume, done := make(chan int64, 1), make(chan struct{}), make(chan []int64, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		var got []int64
		for e, err := range l.Follow(ctx, "shop", 0) {
			if err != nil {
				break
			}
			if got = append(got, e.Head.N); len(got) == 1 {
				seen <- e.Head.N
				<-resume // it reads nothing while everything else is appended
			}
			if e.Head.N == n {
				break
			}
		}
		done <- got
	}()
	<-seen
	for range n - 1 {
		add(t, l, "shop") // would never return if it waited for the follower
	}
	close(resume)
	got := <-done
	for i, v := range got {
		if v != int64(i+1) {
			t.Fatalf("slow follower: n %d at %d", v, i)
		}
	}
	if len(got) != n {
		t.Errorf("slow follower saw %d entries, want %d", len(got), n)
	}
}

func followContext(t *testing.T, l ledger.Ledger) {
	add(t, l, "shop")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	for _, err := range l.Follow(ctx, "shop", 0) {
		if err != nil {
			t.Fatalf("Follow: %v", err)
		}
		seen++
		cancel()
	}
	if seen != 1 {
		t.Errorf("entries = %d, want 1", seen)
	}
	for _, err := range l.Follow(ctx, "shop", 0) {
		if err != nil {
			t.Errorf("Follow with an ended context yields %v, want nothing", err)
		}
	}
}

func endedContext(t *testing.T, l ledger.Ledger) {
	head := add(t, l, "shop")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, "shop", head, note("x"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Append = %v, want context.Canceled", err)
	}
	last := error(nil)
	for _, err := range l.Entries(ctx, "shop", 0) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("Entries ended with %v, want context.Canceled", last)
	}
	if got := load(t, l, "shop").Head; got != head {
		t.Errorf("head = %+v, want %+v", got, head)
	}
}

func closing(t *testing.T, l ledger.Ledger) {
	head := add(t, l, "shop")
	ctx := t.Context()
	seen, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var last error
		for _, err := range l.Follow(ctx, "shop", 0) {
			if last = err; err == nil {
				close(seen)
			}
		}
		ended <- last
	}()
	<-seen
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Follow ended with %v, want no error", err)
	}
	if _, err := l.Append(ctx, "shop", head, note("x"), nil); err == nil {
		t.Error("Append after Close succeeds")
	}
	if _, err := l.Load(ctx, "shop"); err == nil {
		t.Error("Load after Close succeeds")
	}
	if _, err := l.Sites(ctx); err == nil {
		t.Error("Sites after Close succeeds")
	}
	for name, seq := range map[string]func(func(ledger.Entry, error) bool){
		"Entries": l.Entries(ctx, "shop", 0), "Follow": l.Follow(ctx, "shop", 0),
	} {
		for _, err := range seq {
			if err == nil {
				t.Errorf("%s after Close yields an entry", name)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func sites(t *testing.T, l ledger.Ledger) {
	names := []aplomb.SiteName{"blog", "docs", "shop"}
	var wg sync.WaitGroup
	for i, name := range []aplomb.SiteName{"shop", "docs", "blog"} {
		wg.Go(func() {
			for range 10 * (i + 1) {
				add(t, l, name, set("state", `"`+string(name)+`"`))
			}
		})
	}
	wg.Wait()
	if got, err := l.Sites(t.Context()); err != nil || !slices.Equal(got, names) {
		t.Errorf("Sites = %v, %v, want %v", got, err, names)
	}
	for i, name := range names {
		s := load(t, l, name)
		if want := int64(10 * (3 - i)); s.Head.N != want || string(s.Records["state"]) != `"`+string(name)+`"` {
			t.Errorf("%s = n %d, %s, want n %d", name, s.Head.N, s.Records["state"], want)
		}
		for _, e := range entries(t, l, name, 0) {
			if e.Fact.Site != name {
				t.Fatalf("a fact of %s on the chain of %s", e.Fact.Site, name)
			}
		}
	}
}

func setAside(t *testing.T, l ledger.Ledger) {
	for range 3 {
		add(t, l, "shop", set("state", `1`))
	}
	add(t, l, "blog", set("state", `2`))
	if aside, err := l.SetAside(t.Context(), "shop"); err != nil || aside == "" {
		t.Fatalf("SetAside = %q, %v", aside, err)
	}
	if _, err := l.SetAside(t.Context(), "shop"); !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("SetAside of an unknown site = %v, want %v", err, aplomb.ErrNotFound)
	}
	if _, err := l.Load(t.Context(), "shop"); !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("Load = %v, want %v", err, aplomb.ErrNotFound)
	}
	if got, err := l.Sites(t.Context()); err != nil || !slices.Equal(got, []aplomb.SiteName{"blog"}) {
		t.Errorf("Sites = %v, %v, want blog alone", got, err)
	}
	h, err := l.Append(t.Context(), "shop", aplomb.Head{}, note("anew"), []ledger.Write{set("other", `3`)})
	if err != nil || h.N != 1 {
		t.Fatalf("the first fact of the new chain is %+v, %v", h, err)
	}
	if s := load(t, l, "shop"); len(s.Records) != 1 || s.Head != h {
		t.Errorf("the new chain holds %v at %+v", s.Records, s.Head)
	}
}

func note(why string) aplomb.Fact {
	return aplomb.Fact{At: time.Unix(1793714520, 0).UTC(), Kind: aplomb.FactNote, Actor: "anna", Why: why}
}

func set(key, value string) ledger.Write {
	return ledger.Write{Key: key, Value: json.RawMessage(value)}
}

// add appends one fact to the site's head of now.
func add(t *testing.T, l ledger.Ledger, site aplomb.SiteName, writes ...ledger.Write) aplomb.Head {
	t.Helper()
	s, err := l.Load(t.Context(), site)
	if err != nil && !errors.Is(err, aplomb.ErrNotFound) {
		t.Errorf("Load(%s): %v", site, err)
	}
	h, err := l.Append(t.Context(), site, s.Head, note("n"), writes)
	if err != nil {
		t.Errorf("Append(%s): %v", site, err)
	}
	return h
}

func load(t *testing.T, l ledger.Ledger, site aplomb.SiteName) ledger.Snapshot {
	t.Helper()
	s, err := l.Load(t.Context(), site)
	if err != nil {
		t.Fatalf("Load(%s): %v", site, err)
	}
	return s
}

func entries(t *testing.T, l ledger.Ledger, site aplomb.SiteName, after int64) []ledger.Entry {
	t.Helper()
	var all []ledger.Entry
	for e, err := range l.Entries(t.Context(), site, after) {
		if err != nil {
			t.Fatalf("Entries(%s, %d): %v", site, after, err)
		}
		all = append(all, e)
	}
	return all
}

func equal(t *testing.T, when string, got, want ledger.Snapshot) {
	t.Helper()
	if got.Head != want.Head {
		t.Errorf("%s: head = %+v, want %+v", when, got.Head, want.Head)
	}
	if len(got.Records) != len(want.Records) {
		t.Errorf("%s: %d records, want %d", when, len(got.Records), len(want.Records))
	}
	for k, v := range want.Records {
		if !sameJSON(got.Records[k], v) {
			t.Errorf("%s: record %s = %s, want %s", when, k, got.Records[k], v)
		}
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	g, _ := json.Marshal(x)
	w, _ := json.Marshal(y)
	return string(g) == string(w)
}
