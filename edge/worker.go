package edge

import (
	"net/http"
	"strconv"

	"aplomb"
)

// killWorker is what a service worker's URL answers when a kept release had that worker and the live one does not. The
// browser installs it in the old worker's place at its next update check. It deletes the caches the old one filled,
// unregisters, and loads the pages that the old one controlled again, now from the network.
//
// It cannot loop: pages are loaded again only when it took another worker's place, and it controls none afterwards. A
// page that registers this URL again gets a first installation, which touches no page.
const killWorker = `// This worker replaces one that the site no longer has. It removes itself.
let replaces = true;
self.addEventListener("install", () => {
  replaces = self.registration.active !== null;
  self.skipWaiting();
});
self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const names = await caches.keys();
    await Promise.all(names.map((name) => caches.delete(name)));
    const pages = await self.clients.matchAll({ type: "window" });
    await self.registration.unregister();
    if (!replaces) return;
    await Promise.all(pages.map((page) => page.navigate(page.url).catch(() => undefined)));
  })());
});
`

var killWorkerLength = []string{strconv.Itoa(len(killWorker))}

// sendKillWorker answers with the kill worker. It may have the widest scope, whatever folder its URL is in: otherwise the
// update of a worker that was allowed one would fail.
func sendKillWorker(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setHeaders(h, policies[aplomb.KindMissing])
	h["Content-Type"] = javaScript
	h["Content-Length"] = killWorkerLength
	h["Service-Worker-Allowed"] = anyScope
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		writeString(w, killWorker)
	}
}
