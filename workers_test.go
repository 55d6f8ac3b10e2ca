package aplomb

import (
	"slices"
	"strings"
	"testing"
)

func TestWorkersAreFoundByName(t *testing.T) {
	t.Parallel()
	workers := strings.Fields(`/OneSignalSDKWorker.js /app/sw.js /firebase-messaging-sw.js /my-sw.js /ngsw-worker.js /service-worker.js
		/serviceworker.js /sw-1.2.js /sw.js /sw.min.js /sw.mjs`)
	others := strings.Fields(`/assets/sw-KE-DOwCrGXH.js /assets/sw-BwdlfHaE.js /swiper.js /sw.css /worker.js /assets/worker-BwdlfHaE.js /sw.js.map /index.html`)
	if got := WorkersByName(filesAt(append(others, workers...)...)); !slices.Equal(got, workers) {
		t.Errorf("WorkersByName = %q, want %q", got, workers)
	}
}

func TestWorkersAreFoundWhereTheyAreRegistered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ doc, text, want string }{
		{"/index.html", `navigator.serviceWorker.register("/sw.js")`, "/sw.js"},
		{"/index.html", `"serviceWorker"in navigator&&navigator.serviceWorker.register('./worker.js',{scope:"/"})`, "/worker.js"},
		{"/app/index.html", `navigator.serviceWorker.register("sw.js?v=3#x")`, "/app/sw.js"},
		{"/app/x/", `navigator.serviceWorker?.register("../sw.js")`, "/app/sw.js"},
		{"/index.html", "navigator.serviceWorker\n  .register(\n  `/sw.js`)", "/sw.js"},
		{"/a/b.js", `navigator.serviceWorker.register(new URL("./sw.js", import.meta.url))`, "/a/sw.js"},
		{"/a/b.js", `navigator.serviceWorker.register(new URL('/sw.js',location))`, "/sw.js"},
		{"/a/b.html", `<base href="/"><script>navigator.serviceWorker.register("sw.js")</script>`, "/sw.js"},
		{"/a/b.html", `<base target=_blank href='/x/'><script>navigator.serviceWorker.register("sw.js")</script>`, "/x/sw.js"},
		{"/", `navigator.serviceWorker.register("\/sw.js")`, "/sw.js"},
		{"/", `navigator.serviceWorker.register("/s%77.js")`, "/sw.js"},
		{"/", `navigator.serviceWorker.register("/b.js");navigator.serviceWorker.register("/a.js");navigator.serviceWorker.register("/b.js")`, "/a.js /b.js"},
		{"/", `navigator.serviceWorker.register(url)`, ""},
		{"/", "navigator.serviceWorker.register(`${base}sw.js`)", ""},
		{"/", `navigator.serviceWorker.register("https://other.example/sw.js")`, ""},
		{"/", `navigator.serviceWorker.register("//other.example/sw.js")`, ""},
		{"/", `navigator.serviceWorker.ready.then(register("/x.js"))`, ""},
		{"/", `document.register("/x.js")`, ""},
		{"/", `navigator.serviceWorker.register("/sw.js`, ""},
		{"/", `navigator.serviceWorker.register("/.aplomb/x.js")`, ""},
		{"/", `navigator.serviceWorker.register("/\x73w.js")`, ""},
	} {
		if got := strings.Join(WorkersInText(c.doc, []byte(c.text)), " "); got != c.want {
			t.Errorf("WorkersInText(%q, %q) = %q, want %q", c.doc, c.text, got, c.want)
		}
	}
}

func FuzzWorkersInText(f *testing.F) {
	f.Add("/a/b.html", []byte(`<base href="/x/">navigator.serviceWorker.register("sw.js")`))
	f.Add("/", []byte("serviceWorker.register(new URL(`../../sw.js`"))
	f.Fuzz(func(t *testing.T, doc string, text []byte) {
		found := WorkersInText(doc, text)
		if len(found) > workersInText {
			t.Fatalf("%d workers", len(found))
		}
		for _, path := range found {
			if path != "/" && pathProblem(path) != "" {
				t.Fatalf("WorkersInText(%q, %q) finds %q: %s", doc, text, path, pathProblem(path))
			}
		}
	})
}
