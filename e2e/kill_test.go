package e2e_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestKill9 ends the server at random moments of everything it does. After each start the site is served within a second, by
// the release acknowledged last or by the one under way if its fact is durable; the chain is whole, nothing is empty, and the
// next deploy works. APLOMB_SEED repeats a run.
func TestKill9(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("APLOMB_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("APLOMB_SEED: %v", err)
		}
	}
	t.Logf("APLOMB_SEED=%d repeats this run", seed)
	rounds := 30
	if full() {
		rounds = 300
	}
	k := &killer{m: newMachine(t), random: rand.New(rand.NewPCG(seed, 9)), markers: map[string]string{}, usual: map[string]time.Duration{}}
	k.m.start(t)
	k.prepare(t)
	counts := map[string]int{}
	for round := range rounds {
		what := k.strike(t)
		counts[what]++
		if t.Failed() {
			t.Fatalf("round %d of %d: %s", round, rounds, what)
		}
	}
	t.Logf("%d rounds: %v; %d commands were acknowledged, %d were not, of which %d had been done", rounds, counts, k.acknowledged, k.cut, k.done)
	// The median, since one start in many may meet a machine that is busy with something else.
	slices.Sort(k.starts)
	if half := k.starts[len(k.starts)/2]; half > time.Second {
		t.Errorf("the site is served %v after a start (median of %d), want at most a second", half, len(k.starts))
	}
	if k.cut < rounds/10 || k.acknowledged == 0 {
		t.Errorf("%d of %d commands were cut off: the server was not killed while it worked", k.cut, rounds)
	}
}

// killer knows what may be live.
type killer struct {
	m       *machine
	random  *rand.Rand
	live    string // the release acknowledged last
	marker  string // its document's
	markers map[string]string
	next    int
	usual   map[string]time.Duration // how long each command takes, as far as it is known: what the moments are drawn from
	starts  []time.Duration          // from each start until the site was served

	acknowledged, cut, done int // commands that returned, did not, and of these those that live by their fact
}

func (k *killer) prepare(t *testing.T) {
	t.Helper()
	for range 3 {
		f := k.frontEnd(t, 5)
		began := time.Now()
		d := k.m.deploy(t, f.dir)
		k.usual["deploy"] = time.Since(began)
		k.took(d.Release, f.marker)
	}
	f := k.frontEnd(t, 200)
	began := time.Now()
	k.took(k.m.deploy(t, f.dir).Release, f.marker)
	k.usual["upload"] = time.Since(began)
	began = time.Now()
	k.took(k.m.rollback(t).To, "")
	k.usual["rollback"] = time.Since(began)
	k.usual["undo"], k.usual["start"] = k.usual["rollback"], 60*time.Millisecond
}

// frontEnd returns a front end that was never deployed before.
func (k *killer) frontEnd(t *testing.T, chunks int) frontEnd {
	t.Helper()
	k.next++
	return newFrontEnd(t, fmt.Sprintf("end%d", k.next), chunks, nil)
}

// took notes an acknowledged act.
func (k *killer) took(release, marker string) {
	if marker != "" {
		k.markers[release] = marker
	}
	k.live, k.marker = release, k.markers[release]
}

// strike begins one command, kills the server at a random moment of it, starts it again and checks everything.
func (k *killer) strike(t *testing.T) string {
	t.Helper()
	what := []string{"deploy", "upload", "rollback", "undo", "start"}[k.random.IntN(5)]
	delay := time.Duration(k.random.Float64() * 1.2 * float64(k.usual[what]))
	if what == "start" {
		k.m.kill(t)
		k.m.launch(t)
		<-time.After(delay)
		k.m.kill(t)
		k.recheck(t, "")
		return what
	}
	marker, args := "", []string{what, "--site", "shop", "--json"}
	if what == "deploy" || what == "upload" {
		f := k.frontEnd(t, map[string]int{"deploy": 5, "upload": 200}[what])
		marker, args = f.marker, []string{"deploy", f.dir, "--site", "shop", "--json"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := k.m.command(ctx, args...)
	done := make(chan outcome, 1)
	go func() { done <- ended(t, cmd, args) }()
	<-time.After(delay)
	k.m.kill(t)
	o := <-done
	if o.code == 0 {
		k.acknowledged++
		k.usual[what] = k.usual[what] * 9 / 10
		var r struct{ Release, To string }
		o.decode(t, &r)
		k.took(r.Release+r.To, marker)
		k.recheck(t, "")
	} else {
		if o.code != 7 { // refused: there was nothing to take back
			k.cut++
			k.usual[what] = k.usual[what] * 12 / 10 // on a busy machine it takes longer than when it was measured
		}
		k.recheck(t, marker)
	}
	return what
}

// recheck starts the server and checks what production is. underWay is the marker of a deploy that was not acknowledged.
func (k *killer) recheck(t *testing.T, underWay string) {
	t.Helper()
	began := time.Now()
	k.m.launch(t)
	v := newVisitor(t, shopHost, k.m.listen)
	a, took := v.until(t, patience, "/", func(a answer) bool { return a.status == 200 })
	k.starts = append(k.starts, took)
	select {
	case line := <-k.m.server.ready:
		if line != "READY" {
			t.Errorf("the server says %q, want READY", line)
		}
	case <-time.After(patience):
		t.Fatalf("not ready %v after the start:\n%s", time.Since(began), k.m.server.log)
	}
	facts := k.m.facts(t)
	last := lastAct(facts)
	if underWay != "" && k.markers[last.Release] == "" {
		k.markers[last.Release] = underWay
	}
	after := markerOf(v.navigate(t, "/").body)
	switch {
	case last.Release == "":
		t.Errorf("the log has no act:\n%+v", facts)
	case after != k.markers[last.Release]:
		t.Errorf("the site shows %q, the log's last act is %+v (%q)", after, last, k.markers[last.Release])
	case last.Release != k.live && last.From != k.live:
		t.Errorf("live is %s by %+v, want %s, acknowledged last, or what was under way", last.Release, last, k.live)
	}
	if first := markerOf(a.body); first != after && first != k.marker {
		t.Errorf("the first answer after the start was of %q: neither what was acknowledged (%q) nor what is live (%q)", first, k.marker, after)
	}
	if last.Release != k.live {
		k.done++
	}
	k.took(last.Release, "")
	k.m.verify(t)
	k.checkNotEmpty(t, facts)
	if t.Failed() {
		return
	}
	if k.random.IntN(4) == 0 {
		f := k.frontEnd(t, 5)
		k.took(k.m.deploy(t, f.dir).Release, f.marker)
	}
}

// checkNotEmpty checks that no fact, release or file of the data folder was lost or left empty.
func (k *killer) checkNotEmpty(t *testing.T, facts []fact) {
	t.Helper()
	for i, f := range facts {
		if f.N != int64(i+1) || f.Kind == "" {
			t.Errorf("fact %d of the log is %+v", i+1, f)
		}
	}
	releases := list[released](t, k.m, "releases", "--site", "shop")
	if !slices.ContainsFunc(releases, func(r released) bool { return r.Release == k.live && r.Files > 0 }) {
		t.Errorf("the live release %s is not among %+v", k.live, releases)
	}
	err := filepath.WalkDir(filepath.Join(k.m.dir, "blobs"), func(file string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && entry.Name() == "tmp" {
			return fs.SkipDir // encodings are being made there meanwhile
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() == 0 && len(filepath.Base(file)) == 64 && filepath.Base(file)[:8] != "e3b0c442" {
			t.Errorf("the blob %s is empty", file)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
