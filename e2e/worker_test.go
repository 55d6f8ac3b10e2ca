package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// cacheFirst is a service worker as many sites have it: what it has once seen it never asks for again, documents included.
const cacheFirst = `
self.addEventListener("install", e => {
	self.skipWaiting();
	e.waitUntil(caches.open("shop-2").then(c => c.addAll(["/"])));
});
self.addEventListener("activate", e => e.waitUntil(self.clients.claim()));
self.addEventListener("fetch", e => {
	if (e.request.method != "GET") return;
	e.respondWith(caches.match(e.request).then(hit => hit || fetch(e.request).then(async r => {
		if (r.ok) await (await caches.open("shop-2")).put(e.request, r.clone());
		return r;
	})));
});
`

// registering is a document that registers the worker and says which release it is of.
func registering(marker string) string {
	return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>` + marker + `</title></head>` +
		`<body><h1>this is ` + marker + `</h1><!-- marker:` + marker + ` -->` +
		`<script>navigator.serviceWorker.register("/sw.js")</script></body></html>`
}

// healWithin is how long after a navigation a visitor with a bad worker may wait. A browser fetches the worker's script some
// seconds after the page; three to five were measured.
const healWithin = 12 * time.Second

// TestServiceWorkerIsRemoved takes back a release whose service worker answers everything from its cache: visitors that have
// it see the release before again, without pressing anything, and their browsers keep neither worker nor cache.
func TestServiceWorkerIsRemoved(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.start(t)
	older := newFrontEnd(t, "one", 1, nil)
	newer := newFrontEnd(t, "two", 1, map[string]string{"sw.js": cacheFirst, "index.html": registering("two")})
	again := newFrontEnd(t, "three", 1, map[string]string{"sw.js": cacheFirst + "// three\n", "index.html": registering("three")})
	m.deploy(t, older.dir)
	m.deploy(t, newer.dir)

	v := newVisitor(t, shopHost, m.listen)
	url := v.base + "/"
	p := newProfile(t)
	staying := p.open(t, url)
	shows := func(marker string) func(seen) bool {
		return func(s seen) bool { return strings.Contains(s.Text, "this is "+marker) }
	}
	staying.waitFor(t, "release 2", shows("two"))
	if !evaluate[bool](t, staying, controlled) {
		t.Fatal("the worker of release 2 does not control its page: nothing to take back")
	}
	cached := p.open(t, url)
	cached.waitFor(t, "release 2", shows("two"))
	if !cached.answers[0].FromServiceWorker {
		t.Fatalf("release 2 does not come from its worker: nothing to take back\n%s", cached.story())
	}

	m.rollback(t)
	next := p.open(t, url)
	began := time.Now()
	next.waitFor(t, "release 1", shows("one"))
	if took := time.Since(began); took > healWithin {
		t.Errorf("the visitor saw release 1 after %v, want at most %v", took, healWithin)
	} else {
		t.Logf("the visitor saw release 1 after %v", took)
	}
	for name, o := range map[string]*tab{"the tab that stayed open": staying, "the other tab": cached} {
		o.waitFor(t, "release 1 in "+name, shows("one"))
	}
	if left := evaluate[string](t, next, leftOver); left != "0 workers, 0 caches" {
		t.Errorf("the browser still has %s", left)
	}
	if n := next.shown(); n > 2 {
		t.Errorf("the tab showed %d documents, want the stale one and release 1", n)
	}

	// A browser without a worker that comes now is sent nowhere, however often it comes and whatever it asks for.
	for range 3 {
		next.navigate(t, url)
		next.waitFor(t, "release 1", shows("one"))
	}
	if n := next.shown(); n != 1 {
		t.Errorf("after it was healed, the tab showed %d documents at one visit, want 1", n)
	}
	checkWorkerLoops(t, p, url)

	m.deploy(t, again.dir)
	if a := v.get(t, "/sw.js"); !strings.Contains(string(a.body), "// three") || !strings.Contains(a.head.Get("Cache-Control"), "no-cache") {
		t.Errorf("GET /sw.js = %v, want release 3's own worker, revalidated", a)
	}
	last := p.open(t, url)
	last.waitFor(t, "release 3", shows("three"))
	if !evaluate[bool](t, last, controlled) {
		t.Error("the worker of release 3 does not control its page")
	}
}

// checkWorkerLoops registers the built-in worker from a page, again and again, as a page of the withdrawn release would
// that comes from some cache: each registration may navigate the page once, and then there is quiet.
func checkWorkerLoops(t *testing.T, p *profile, url string) {
	t.Helper()
	o := p.open(t, url)
	got := evaluate[string](t, o, `(async () => {
		const r = await navigator.serviceWorker.register("/sw.js");
		return r.scope;
	})()`)
	if got != url {
		t.Errorf("the built-in worker has scope %q, want %q", got, url)
	}
	o.waitFor(t, "end of the worker", func(seen) bool {
		return evaluate[string](t, o, leftOver) == "0 workers, 0 caches"
	})
	quiet := time.NewTimer(3 * time.Second)
	defer quiet.Stop()
	<-quiet.C
	if n := o.shown(); n > 2 {
		t.Errorf("one registration of the built-in worker led to %d documents, want at most 2\n%s", n, o.story())
	}
}

// controlled waits until a worker controls the page and its cache is filled, and says whether it does.
const controlled = `(async () => {
	await navigator.serviceWorker.ready;
	for (let i = 0; i < 100 && !(navigator.serviceWorker.controller && (await caches.keys()).length); i++)
		await new Promise(done => setTimeout(done, 50));
	return !!navigator.serviceWorker.controller;
})()`

// leftOver says what workers and caches the browser keeps for the site.
const leftOver = `(async () => (await navigator.serviceWorker.getRegistrations()).length + " workers, " +
	(await caches.keys()).length + " caches")()`
