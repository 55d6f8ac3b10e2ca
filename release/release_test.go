package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aplomb"
	"aplomb/blob"
	"aplomb/ledger"
	"aplomb/rollout"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeEdge serves routes as the edge does: it never goes back to an older head, and performing twice is performing once.
type fakeEdge struct {
	mu     sync.Mutex
	routes map[aplomb.SiteName]aplomb.Route
	refuse map[aplomb.ReleaseID]error // targets that cannot be performed
	moves  []string
	// unsaved is why its disk takes nothing.
	unsaved error
}

// notSaved names the sites whose route is not on the edge's disk.
func (e *fakeEdge) notSaved() map[aplomb.SiteName]error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unsaved == nil {
		return nil
	}
	return map[aplomb.SiteName]error{"shop": e.unsaved}
}

func (e *fakeEdge) perform(_ context.Context, in aplomb.Intent) (aplomb.Event, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.refuse[in.Release]; err != nil && !(in.Cold && isCode(err, aplomb.CodeAppCold)) {
		return aplomb.Event{}, err
	}
	old, has := e.routes[in.Site]
	if has && in.Route.Head.Before(old.Head) {
		return aplomb.Event{}, fmt.Errorf("the ledger went back from %d to %d", old.Head.N, in.Route.Head.N)
	}
	if old.Live != in.Route.Live {
		e.moves = append(e.moves, fmt.Sprintf("%s>%s", old.Live, in.Route.Live))
	}
	e.routes[in.Site] = in.Route
	return aplomb.Event{Kind: aplomb.EventRouted, Done: []aplomb.Done{{What: "routing", MS: 1}}, Unsaved: e.unsaved != nil}, nil
}

func (e *fakeEdge) remove(_ context.Context, in aplomb.Intent) (aplomb.Event, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.refuse["remove"]; err != nil {
		return aplomb.Event{}, err
	}
	delete(e.routes, in.Site)
	return aplomb.Event{}, nil
}

// visit answers as an edge does for what is gone.
func (e *fakeEdge) visit(_ context.Context, site aplomb.Site, path string) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.Contains(e.routes[site.Name].Site.Gone, path) {
		return 410, nil
	}
	return 200, nil
}

func (e *fakeEdge) route(site aplomb.SiteName) aplomb.Route {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.routes[site]
}

func (e *fakeEdge) served() []aplomb.Route {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.routes))
}

// faulty is a ledger whose next appends fail as told: each durable write is lost, done but reported lost, or met by a
// full disk.
type faulty struct {
	ledger.Ledger
	mu   sync.Mutex
	plan []string // "", "lost", "done", "full", "degraded"; one for each append to come
}

func (f *faulty) Append(ctx context.Context, site aplomb.SiteName, expect aplomb.Head, fact aplomb.Fact, writes []ledger.Write) (aplomb.Head, error) {
	f.mu.Lock()
	how := ""
	if len(f.plan) > 0 {
		how, f.plan = f.plan[0], f.plan[1:]
	}
	f.mu.Unlock()
	switch how {
	case "lost":
		return aplomb.Head{}, errors.New("write failed")
	case "full":
		return aplomb.Head{}, fmt.Errorf("append: %w", aplomb.ErrNoSpace)
	case "degraded":
		return aplomb.Head{}, fmt.Errorf("append: %w", aplomb.ErrDegraded)
	case "done":
		if _, err := f.Ledger.Append(ctx, site, expect, fact, writes); err != nil {
			return aplomb.Head{}, err
		}
		return aplomb.Head{}, errors.New("the answer was lost")
	}
	return f.Ledger.Append(ctx, site, expect, fact, writes)
}

func (f *faulty) fail(plan ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan = plan
}

// house is everything a manager works with; restart gives a new manager on what the old one left.
type house struct {
	t     testing.TB
	edge  *fakeEdge
	led   *faulty
	blobs blob.Store
	now   time.Time
	mu    sync.Mutex
	m     *Manager
	freed int
	free  int64
	// missing is what the server lacks.
	missing []string
}

func newHouse(t testing.TB, with ...blob.Store) *house {
	h := &house{
		t:     t,
		edge:  &fakeEdge{routes: map[aplomb.SiteName]aplomb.Route{}, refuse: map[aplomb.ReleaseID]error{}},
		led:   &faulty{Ledger: ledger.NewMemory()},
		blobs: blob.NewMemory(),
		now:   time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC),
		free:  50 << 30,
	}
	for _, blobs := range with {
		h.blobs = blobs
	}
	h.m = h.manager()
	t.Cleanup(func() { h.m.Close(); h.led.Close() })
	return h
}

func (h *house) manager() *Manager {
	m := New(slog.New(slog.DiscardHandler), Config{
		Ledger: h.led, Blobs: h.blobs, Served: h.edge.served, Unsaved: h.edge.notSaved,
		Missing:    func() []string { return h.missing },
		Performers: map[aplomb.IntentKind]Performer{aplomb.IntentRoute: h.edge.perform, aplomb.IntentRemove: h.edge.remove},
		Visit:      h.edge.visit,
		Space: func() (int64, int64, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.free, 100 << 30, nil
		},
		URL: func(s aplomb.Site) string {
			return "http://" + string(slices.Concat(s.Hosts, []aplomb.Host{""})[0]) + "/"
		},
		Now:         h.clock,
		Limits:      aplomb.DefaultLimits(),
		FreeReserve: func() error { h.freed++; return nil },
	})
	if err := m.Start(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	return m
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(time.Second)
	return h.now
}

func (h *house) restart() {
	h.m.Close()
	h.m = h.manager()
}

// front is a small front end whose bytes depend on key.
func front(key string) map[string]string {
	return map[string]string{
		"/index.html":                       "<!doctype html><title>" + key + "</title>",
		"/assets/app-" + hash8(key) + ".js": "console.log('" + key + "')",
		"/same.txt":                         "the same in all releases",
	}
}

// hash8 makes a name as a bundler would.
func hash8(key string) string { return "kX" + aplomb.Sum([]byte(key)).String()[:4] + "Zq" }

func files(content map[string]string) []aplomb.File {
	var out []aplomb.File
	for _, p := range slices.Sorted(maps.Keys(content)) {
		out = append(out, aplomb.File{Path: p, Digest: aplomb.Sum([]byte(content[p])), Size: int64(len(content[p]))})
	}
	return out
}

func (h *house) deploy(key string, with ...func(*UploadRequest)) (Deployed, error) {
	return h.deployFiles(front(key), with...)
}

func (h *house) deployFiles(content map[string]string, with ...func(*UploadRequest)) (Deployed, error) {
	req := UploadRequest{Site: "shop", Hosts: []string{"shop.localhost"}, Files: files(content), Settings: aplomb.Settings{Framework: "vite"}}
	for _, w := range with {
		w(&req)
	}
	up, err := h.m.Begin(context.Background(), Ask{Actor: "mia"}, req)
	if err != nil {
		return Deployed{}, err
	}
	if _, err := h.m.Receive(context.Background(), up.ID, stream(content, up.Missing)); err != nil {
		return Deployed{}, err
	}
	return h.m.Seal(context.Background(), up.ID)
}

func stream(content map[string]string, missing []aplomb.Digest) *bytes.Buffer {
	var b bytes.Buffer
	for _, c := range content {
		d := aplomb.Sum([]byte(c))
		if i := slices.Index(missing, d); i >= 0 {
			missing = slices.Delete(slices.Clone(missing), i, i+1)
			if err := WriteBlob(&b, blob.Ref{Digest: d, Size: int64(len(c))}, strings.NewReader(c)); err != nil {
				panic(err)
			}
		}
	}
	if err := EndStream(&b); err != nil {
		panic(err)
	}
	return &b
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// oracle checks the whole of a site: the ledger's chain, its records against the manager's view, and the edge.
func (h *house) oracle(when string) {
	h.t.Helper()
	ctx := context.Background()
	snap, err := h.led.Load(ctx, "shop")
	if errors.Is(err, aplomb.ErrNotFound) {
		return
	}
	if err != nil {
		h.t.Fatalf("%s: load: %v", when, err)
	}
	state, err := stateOf(snap)
	if err != nil {
		h.t.Fatalf("%s: %v", when, err)
	}
	n := int64(0)
	live := aplomb.ReleaseID("")
	for e, err := range h.led.Entries(ctx, "shop", 0) {
		if n++; err != nil || e.Fact.N != n {
			h.t.Fatalf("%s: entry %d is n %d, %v", when, n, e.Fact.N, err)
		}
		if e.Fact.Kind.IsAct() {
			if e.Fact.From != live {
				h.t.Fatalf("%s: act %d goes from %q while %q is live", when, n, e.Fact.From, live)
			}
			live = e.Fact.Release
		}
	}
	if state.Live != live {
		h.t.Fatalf("%s: the state says %q is live, the facts say %q", when, state.Live, live)
	}
	route := h.edge.routes["shop"]
	want := live
	if state.Pending != nil && route.Live == state.Pending.Intent.Release {
		want = state.Pending.Intent.Release // performed, its result not recorded yet
	}
	if route.Live != want && !route.Unrecorded {
		h.t.Fatalf("%s: the edge serves %q, live is %q", when, route.Live, want)
	}
	for _, k := range route.Kept {
		m, err := readBlob(h.blobs, k.Manifest)
		if err != nil {
			h.t.Fatalf("%s: manifest of %s: %v", when, k.ID, err)
		}
		mf := must(aplomb.DecodeManifest(m))
		if missing := h.blobs.Missing(refs(notGone(mf.Files, goneOf(route.Site)))); len(missing) > 0 {
			h.t.Fatalf("%s: %s lacks %d blobs", when, k.ID, len(missing))
		}
	}
}

func code(err error) aplomb.Code {
	var e *aplomb.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestDeployGoesLiveAndComesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := context.Background()
	one := must(h.deploy("one"))
	if one.Release != "r1" || one.State != aplomb.Live || one.Share != 1 || one.FilesUploaded != 3 || one.Act == 0 || one.From != "" {
		t.Errorf("first deploy = %+v", one)
	}
	two := must(h.deploy("two"))
	if two.Release != "r2" || two.From != "r1" || two.FilesUploaded != 2 {
		t.Errorf("second deploy = %+v, want 2 files uploaded", two)
	}
	again := must(h.deploy("two"))
	if again.Release != "r2" || !again.Known || again.BytesUploaded != 0 || again.State != aplomb.Live {
		t.Errorf("the same files again = %+v", again)
	}
	back := must(h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop"))
	if back.From != "r2" || back.To != "r1" || !back.Recorded || back.Act == 0 || len(back.Undone) == 0 || back.Undone[0].What != "routing" {
		t.Errorf("rollback = %+v", back)
	}
	if _, err := h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop"); code(err) != aplomb.CodeNoTarget || !errors.Is(err, aplomb.ErrRefused) {
		t.Errorf("rollback with nothing to go back to: %v", err)
	}
	if _, err := h.deploy("two"); code(err) != aplomb.CodeBad {
		t.Errorf("deploy of withdrawn files: %v", err)
	}
	undo := must(h.m.Undo(ctx, Ask{Actor: "mia"}, "shop", back.Act))
	if undo.From != "r1" || undo.To != "r2" || undo.Undid != back.Act {
		t.Errorf("undo = %+v", undo)
	}
	if got := strings.Join(h.edge.moves, " "); got != ">r1 r1>r2 r2>r1 r1>r2" {
		t.Errorf("the edge moved %s", got)
	}
	if s := must(h.m.Status(ctx, "shop")); s.Live != "r2" || s.Back != "r1" || !strings.HasPrefix(s.Sentence, "r2 is live since 14:") {
		t.Errorf("status = %+v", s)
	}
	h.oracle("end")
}

// TestEveryWriteFailedBothWays fails each append of a whole story, lost and done-but-reported-lost and with a full disk, with
// and without a restart after it. Whatever is said, the state is sound, and the story can be told to its end.
func TestEveryWriteFailedBothWays(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"lost", "done", "full"} {
		for at := range 14 {
			for _, restart := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", how, at, restart), func(t *testing.T) {
					t.Parallel()
					h := newHouse(t)
					h.led.fail(append(slices.Repeat([]string{""}, at), how)...)
					told := h.story(restart)
					h.led.fail()
					h.restart()
					h.oracle("after a restart")
					if v := must(h.m.Verify(context.Background())); len(v) > 0 && !v[0].OK {
						t.Errorf("verify: %+v", v)
					}
					final, err := h.deploy("final")
					if err != nil || final.State != aplomb.Live {
						t.Fatalf("deploy after %v: %+v, %v", told, final, err)
					}
					h.oracle("final")
				})
			}
		}
	}
}

// story deploys twice, rolls back, undoes; what fails is said and tried no second time.
func (h *house) story(restart bool) []string {
	ctx := context.Background()
	var told []string
	tell := func(what string, err error) {
		told = append(told, fmt.Sprintf("%s: %v", what, err))
		if restart {
			h.restart()
		}
		h.oracle(strings.Join(told, "; "))
		var e *aplomb.Error
		if err != nil && (!errors.As(err, &e) || e.Production == "" || e.What == "" || e.Why == "" || e.Do == "") {
			h.t.Fatalf("%s: an error without all parts: %#v", what, err)
		}
	}
	for _, key := range []string{"one", "two"} {
		before := h.edge.routes["shop"].Live
		out, err := h.deploy(key)
		tell("deploy "+key, err)
		if err == nil && h.edge.routes["shop"].Live != out.Release {
			h.t.Fatalf("%v: deployed %s, served is %s", told, out.Release, h.edge.routes["shop"].Live)
		}
		var e *aplomb.Error
		if errors.As(err, &e) && strings.Contains(e.Production, "unchanged") && !restart && h.edge.routes["shop"].Live != before {
			h.t.Fatalf("%v: %q, served was %q and is %q", told, e.Production, before, h.edge.routes["shop"].Live)
		}
	}
	had := h.edge.routes["shop"].Live
	back, err := h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop")
	tell("rollback", err)
	if err != nil && code(err) != aplomb.CodeNoTarget && code(err) != aplomb.CodeNoSite {
		h.t.Fatalf("%v: a rollback must not fail", told)
	}
	if err == nil && (h.edge.routes["shop"].Live == had || h.edge.routes["shop"].Live != back.To) {
		h.t.Fatalf("%v: rolled back to %s, served is %s", told, back.To, h.edge.routes["shop"].Live)
	}
	_, err = h.m.Undo(ctx, Ask{Actor: "mia"}, "shop", 0)
	tell("undo", err)
	return told
}

func TestRollbackWorksWhileNothingCanBeWrittenAndIsRecordedLater(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		h := newHouse(t)
		ctx := context.Background()
		for _, key := range []string{"one", "two", "three"} {
			must(h.deploy(key))
		}
		h.led.fail(slices.Repeat([]string{"full"}, 100)...)
		first := must(h.m.Rollback(ctx, Ask{Actor: "mia", Why: "white screen"}, "shop"))
		second := must(h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop"))
		if first.To != "r2" || first.Recorded || second.To != "r1" || second.Recorded || h.freed == 0 {
			t.Errorf("rollbacks = %+v, %+v; reserve freed %d times", first, second, h.freed)
		}
		if s := must(h.m.Status(ctx, "shop")); s.Live != "r1" {
			t.Errorf("status says %s is live", s.Live)
		}
		if _, err := h.deploy("four"); !errors.Is(err, aplomb.ErrNoSpace) && code(err) != aplomb.CodeNoSpace {
			t.Errorf("deploy on a full disk: %v", err)
		}
		h.led.fail()
		if restart {
			h.restart()
		}
		must(h.m.Note(ctx, Ask{Actor: "mia", Why: "room again"}, "shop", ""))
		h.oracle("recorded")
		states := map[aplomb.ReleaseID]aplomb.ReleaseState{}
		for _, r := range must(h.m.Releases(ctx, "shop")) {
			states[r.ID] = r.State
		}
		if states["r1"] != aplomb.Live || states["r2"] != aplomb.Bad || states["r3"] != aplomb.Bad || h.edge.routes["shop"].Unrecorded {
			t.Errorf("restart %v: states = %v, route %+v", restart, states, h.edge.routes["shop"])
		}
	}
}

// TestRollbackRecordsWhatADeployCouldNot: the space kept for rollbacks is there for all that a rollback has to record.
func TestRollbackRecordsWhatADeployCouldNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := context.Background()
	for _, key := range []string{"one", "two"} {
		must(h.deploy(key))
	}
	h.led.fail("", "", "", "full", "full") // the deploy's result, and the first attempt to record it late
	if out := must(h.deploy("three")); out.Release != "r3" || !out.Unrecorded {
		t.Fatalf("deploy = %+v, want r3, unrecorded", out)
	}
	back := must(h.m.Rollback(ctx, Ask{Actor: "mia", Why: "white screen"}, "shop"))
	if back.From != "r3" || back.To != "r2" || !back.Recorded || h.freed == 0 {
		t.Errorf("rollback = %+v, reserve freed %d times; want r3 to r2, recorded", back, h.freed)
	}
	h.oracle("end")
}

func TestDegradedLedgerRefusesWritesAndRollbackStillMoves(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := context.Background()
	must(h.deploy("one"))
	must(h.deploy("two"))
	behind := ledger.NewMemory() // a ledger that knows nothing of what the edge serves
	h.led.Ledger = behind
	h.restart()
	if deg := h.m.Degraded(); !strings.Contains(deg["shop"], "gone") {
		t.Errorf("degraded = %v", deg)
	}
	if _, err := h.deploy("three"); !errors.Is(err, aplomb.ErrDegraded) {
		t.Errorf("deploy = %v", err)
	}
	if s := must(h.m.Status(ctx, "shop")); s.Live != "r2" || s.Degraded == "" {
		t.Errorf("status = %+v", s)
	}
	back := must(h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop"))
	if back.To != "r1" || back.Recorded || h.edge.routes["shop"].Live != "r1" {
		t.Errorf("rollback = %+v", back)
	}
	if _, err := h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop"); code(err) != aplomb.CodeNoTarget {
		t.Errorf("second rollback = %v", err)
	}
}

func TestRollbackPassesOverBrokenTargets(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, key := range []string{"one", "two", "three", "four"} {
		must(h.deploy(key))
	}
	h.edge.refuse["r3"] = errors.New("manifest damaged")
	gone := aplomb.Sum([]byte(front("two")["/index.html"]))
	_, err := h.blobs.Collect(context.Background(), func(d aplomb.Digest) bool { return d != gone }, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	back := must(h.m.Rollback(context.Background(), Ask{Actor: "mia"}, "shop"))
	if back.To != "r1" || back.From != "r4" {
		t.Errorf("rollback = %+v, want r4 to r1: r3 cannot be performed, r2 lacks a blob", back)
	}
}

func TestFailedSwitchLeavesProductionUnchanged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("one"))
	h.edge.refuse["r2"] = errors.New("disk full")
	_, err := h.deploy("two")
	var e *aplomb.Error
	if !errors.As(err, &e) || e.Code != aplomb.CodeSwitch || !strings.HasPrefix(e.Production, "Production is unchanged: still r1, live since 14:") {
		t.Fatalf("deploy = %#v", err)
	}
	delete(h.edge.refuse, "r2")
	if out := must(h.m.Promote(context.Background(), Ask{Actor: "mia"}, "shop", "r2")); out.State != aplomb.Live {
		t.Errorf("promote afterwards = %+v", out)
	}
	h.oracle("end")
}

func TestUploadsAreRefusedByName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := context.Background()
	must(h.deploy("one"))
	app := "/assets/app-" + hash8("one") + ".js"
	changed := front("one")
	changed[app] = "other bytes"
	secret := front("two")
	secret["/.env"] = "KEY=1"
	key := front("two")
	key["/notes.txt"] = "-----BEGIN RSA PRIVATE KEY-----\n" + strings.Repeat("MIIEvQIBADANBgkq", 4)
	for _, c := range []struct {
		name  string
		files map[string]string
		with  func(*UploadRequest)
		want  aplomb.Code
		says  string
	}{
		{"secret", secret, nil, aplomb.CodeSecret, "/.env"},
		{"private key", key, nil, aplomb.CodeSecret, "/notes.txt"},
		{"changed", changed, nil, aplomb.CodeChanged, app},
		{"changed, no reason", changed, func(r *UploadRequest) { r.AllowChanged = []string{app} }, aplomb.CodeReason, "reason"},
		{"climbs out", map[string]string{"/../x": ""}, nil, aplomb.CodePath, "/../x"},
		{"reserved", map[string]string{"/.aplomb/x": ""}, nil, aplomb.CodePath, "/.aplomb/x"},
		{"empty", nil, nil, aplomb.CodeManifest, "no file"},
		{"host of nobody", front("two"), func(r *UploadRequest) { r.Hosts = []string{"other.localhost"} }, aplomb.CodeHosts, "other.localhost"},
		{"host of another site", front("two"), func(r *UploadRequest) { r.Site = "blog" }, aplomb.CodeHostTaken, "shop.localhost"},
		{"no host", front("two"), func(r *UploadRequest) { r.Site, r.Hosts = "blog", nil }, aplomb.CodeNoSite, "blog"},
		{"bad rules", map[string]string{"/index.html": "x", "/_redirects": "/a /b 200 Country=ch"}, nil, aplomb.CodeRules, "_redirects"},
	} {
		_, err := h.deployFiles(c.files, func(r *UploadRequest) {
			if c.with != nil {
				c.with(r)
			}
		})
		var e *aplomb.Error
		if !errors.As(err, &e) || e.Code != c.want || !strings.Contains(e.Why+e.What, c.says) || e.Production == "" {
			t.Errorf("%s: %#v, want %s naming %s", c.name, err, c.want, c.says)
		}
	}
	if s := must(h.m.Status(ctx, "shop")); s.Live != "r1" || len(s.Rollouts) != 0 {
		t.Errorf("status = %+v, want r1 live and nothing on its way", s)
	}
	h.oracle("end")
}

func TestBrokenStreamsLeaveNothingOnItsWay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := context.Background()
	must(h.deploy("one"))
	content := front("two")
	whole := stream(content, []aplomb.Digest{aplomb.Sum([]byte(content["/index.html"])), aplomb.Sum([]byte(content["/assets/app-"+hash8("two")+".js"]))}).Bytes()
	for cut := 0; cut < len(whole); cut += 7 {
		up := must(h.m.Begin(ctx, Ask{Actor: "mia"}, UploadRequest{Site: "shop", Files: files(content)}))
		if _, err := h.m.Receive(ctx, up.ID, bytes.NewReader(whole[:cut])); err == nil && len(up.Missing) > 0 {
			t.Fatalf("a stream cut at %d of %d was taken for whole", cut, len(whole))
		}
		if _, err := h.m.Seal(ctx, up.ID); code(err) != aplomb.CodeUploadGone && len(up.Missing) > 0 {
			t.Fatalf("seal after a broken stream: %v", err)
		}
		if s := must(h.m.Status(ctx, "shop")); s.Live != "r1" && len(up.Missing) > 0 {
			t.Fatalf("cut at %d: %s is live", cut, s.Live)
		}
	}
	h.oracle("end")
}

func TestConcurrentDeploysAndRollbacksMakeALinearHistory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := context.Background()
	must(h.deploy("base"))
	must(h.deploy("base2"))
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			out, err := h.deploy(fmt.Sprint("k", i))
			if err != nil && code(err) != aplomb.CodeOvertaken {
				t.Errorf("deploy: %v", err)
			}
			if err == nil && out.State != aplomb.Live && out.State != aplomb.Waiting && out.Act == 0 {
				t.Errorf("deploy: %+v", out)
			}
		})
		if i%3 == 0 {
			wg.Go(func() {
				if _, err := h.m.Rollback(ctx, Ask{Actor: "leo"}, "shop"); err != nil && code(err) != aplomb.CodeNoTarget {
					t.Errorf("rollback: %v", err)
				}
			})
		}
	}
	wg.Wait()
	h.oracle("end")
	if s := must(h.m.Status(ctx, "shop")); len(s.Rollouts) != 0 {
		t.Errorf("still on their way: %+v", s.Rollouts)
	}
}

func TestRollbackEndsADeployWhoseUploadIsOpen(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := context.Background()
	must(h.deploy("one"))
	must(h.deploy("two"))
	content := front("three")
	up := must(h.m.Begin(ctx, Ask{Actor: "leo"}, UploadRequest{Site: "shop", Files: files(content)}))
	back := must(h.m.Rollback(ctx, Ask{Actor: "mia"}, "shop"))
	if !slices.Contains(back.Ended, up.Rollout) {
		t.Errorf("rollback = %+v, want rollout %d ended", back, up.Rollout)
	}
	must(h.m.Receive(ctx, up.ID, stream(content, up.Missing)))
	out, err := h.m.Seal(ctx, up.ID)
	if code(err) != aplomb.CodeOvertaken || out.Release != "r3" || out.State != aplomb.Uploaded {
		t.Errorf("seal = %+v, %v", out, err)
	}
	if s := must(h.m.Status(ctx, "shop")); s.Live != "r1" {
		t.Errorf("%s is live", s.Live)
	}
	h.oracle("end")
}

func TestCollectKeepsWhatIsPromisedAndNeverRunsDuringAnUpload(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := context.Background()
	for i := range 14 {
		must(h.deploy(fmt.Sprint("k", i)))
	}
	h.mu.Lock()
	h.now = h.now.Add(rollout.KeepFor + time.Hour)
	h.mu.Unlock()
	up := must(h.m.Begin(ctx, Ask{Actor: "mia"}, UploadRequest{Site: "shop", Files: files(front("k0"))}))
	if _, err := h.m.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	count := func() (gone int) {
		for _, r := range must(h.m.Releases(ctx, "shop")) {
			if r.Collected {
				gone++
			}
		}
		return gone
	}
	if n := count(); n != 0 {
		t.Fatalf("%d releases collected during an upload", n)
	}
	if err := h.m.Abandon(ctx, up.ID, "changed my mind"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.m.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 4 {
		t.Errorf("%d of 14 releases collected, want 4", n)
	}
	h.oracle("collected")
	if _, ok := h.edge.routes["shop"].Find("r2"); ok {
		t.Error("the edge still keeps r2, whose bytes are deleted")
	}
	if out := must(h.deploy("k0")); out.Release != "r15" {
		t.Errorf("deploy of collected files = %+v, want a new release", out)
	}
}

func FuzzReadStream(f *testing.F) {
	f.Add(stream(map[string]string{"a": "hello"}, []aplomb.Digest{aplomb.Sum([]byte("hello"))}).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		total := int64(0)
		err := readStream(bytes.NewReader(b), func(ref blob.Ref, r io.Reader) error {
			n, err := bytes.NewBuffer(nil).ReadFrom(r)
			if total += n; n != ref.Size {
				return fmt.Errorf("short: %w", aplomb.ErrInvalid)
			}
			return err
		})
		if err != nil && !errors.Is(err, aplomb.ErrInvalid) || total > int64(len(b)) {
			t.Errorf("%v, %d bytes of %d", err, total, len(b))
		}
	})
}

// TestOtherBytesUnderAnImmutableURLAreRefusedWhateverTheReleaseTakesTheNameFor: as another framework's file, or none.
func TestOtherBytesUnderAnImmutableURLAreRefusedWhateverTheReleaseTakesTheNameFor(t *testing.T) {
	t.Parallel()
	for _, framework := range []string{"vite", "next", "none"} {
		h := newHouse(t)
		must(h.deploy("one"))
		changed := front("one")
		changed["/assets/app-"+hash8("one")+".js"] = "other bytes"
		_, err := h.deployFiles(changed, func(r *UploadRequest) { r.Settings.Framework = framework })
		if code(err) != aplomb.CodeChanged {
			t.Errorf("framework %s: %v, want %s", framework, err, aplomb.CodeChanged)
		}
	}
}

// TestRollbackGoesOneBackWhateverTheClockDoes: the order is that of the acts.
func TestRollbackGoesOneBackWhateverTheClockDoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("one"))
	must(h.deploy("two"))
	h.mu.Lock()
	h.now = h.now.Add(-72 * time.Hour)
	h.mu.Unlock()
	must(h.deploy("three"))
	for _, want := range []aplomb.ReleaseID{"r2", "r1"} {
		if back := must(h.m.Rollback(context.Background(), Ask{Actor: "mia"}, "shop")); back.To != want {
			t.Errorf("rollback goes to %s, want %s", back.To, want)
		}
	}
}

func TestMissingFilesOfWhatIsLiveAreNamedAtStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("one"))
	gone := aplomb.Sum([]byte(front("one")["/index.html"]))
	_, err := h.blobs.Collect(context.Background(), func(d aplomb.Digest) bool { return d != gone }, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	h.restart()
	if s := must(h.m.Status(context.Background(), "shop")); len(s.Damaged) != 1 || !strings.Contains(s.Damaged[0], gone.Short()) {
		t.Errorf("status names %v as damaged, want %s", s.Damaged, gone.Short())
	}
}

// TestNothingIsCalledLiveWhenNeitherLedgerNorEdgeIsWhole: what is left of the ledger is not what visitors see.
func TestNothingIsCalledLiveWhenNeitherLedgerNorEdgeIsWhole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	must(h.deploy("one"))
	h.led.fail("degraded")
	if _, err := h.deploy("two"); !errors.Is(err, aplomb.ErrDegraded) {
		t.Fatalf("deploy = %v", err)
	}
	delete(h.edge.routes, "shop")
	d := must(h.m.driver("shop"))
	if err := d.do(context.Background(), func(context.Context) error { d.publish(); return nil }); err != nil {
		t.Fatal(err)
	}
	s := must(h.m.Status(context.Background(), "shop"))
	if s.Live != "" || !strings.HasPrefix(s.Sentence, "Nothing is served") {
		t.Errorf("status = %+v, want nothing live", s)
	}
}
