package release

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"aplomb"
	"aplomb/blob"
)

// sentFor is how long browsers may keep a URL that was sent as immutable.
const sentFor = 365 * 24 * time.Hour

// sentURLs remembers under which digest each hashed URL was sent as immutable. Owned by the task that runs, apart from
// what mu guards.
type sentURLs struct {
	mu     sync.Mutex
	loaded bool
	digest map[string]aplomb.Digest
}

// add remembers the hashed URLs of a release that became live.
func (s *sentURLs) add(m aplomb.Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.digest == nil {
		s.digest = map[string]aplomb.Digest{}
	}
	for _, f := range m.Files {
		if f.Hashed {
			s.digest[f.Path] = f.Digest
		}
	}
}

// checkChanged refuses a file whose URL browsers hold as immutable with other bytes: they would never see the new ones,
// whatever this release takes the name for.
func (d *driver) checkChanged(ask Ask, req UploadRequest) error {
	d.loadSent()
	d.sent.mu.Lock()
	defer d.sent.mu.Unlock()
	var changed []string
	for _, f := range req.Files {
		was, ok := d.sent.digest[f.Path]
		if ok && was != f.Digest && !contains(req.AllowChanged, f.Path) {
			changed = append(changed, f.Path)
		}
	}
	if len(changed) > 0 {
		return aplomb.NewError(aplomb.CodeChanged, "nothing uploaded",
			fmt.Sprintf("browsers keep these URLs for a year and would not see the new bytes: %s", listed(changed)),
			fmt.Sprintf("give the file a new name, or: aplomb deploy --allow-changed %s --reason \"…\"", changed[0]))
	}
	if len(req.AllowChanged) > 0 && ask.Why == "" {
		return aplomb.NewError(aplomb.CodeReason, "nothing uploaded", "--allow-changed breaks a promise to browsers, so a reason is needed", fmt.Sprintf("aplomb deploy --allow-changed %s --reason \"…\"", req.AllowChanged[0]))
	}
	return nil
}

// loadSent reads, once after a start, the manifests of the releases that visitors saw within the last year.
func (d *driver) loadSent() {
	d.sent.mu.Lock()
	loaded := d.sent.loaded
	d.sent.loaded = true
	d.sent.mu.Unlock()
	if loaded {
		return
	}
	state := d.view.Load().state
	seen := []aplomb.Release{}
	for _, r := range state.Releases {
		if !r.LiveSince.IsZero() && (r.LastLive.IsZero() || d.m.cfg.Now().Sub(r.LastLive) < sentFor) {
			seen = append(seen, r)
		}
	}
	slices.SortFunc(seen, func(a, b aplomb.Release) int { return cmp.Compare(a.ID.Number(), b.ID.Number()) })
	for _, r := range seen {
		d.sent.add(d.manifest(r))
	}
}

// Bounds of the search for service workers in the texts of a release.
const (
	workerTextBytes  = 512 << 10 // of one file
	workerTotalBytes = 16 << 20  // read at one sealing
)

// workerMemo finds the service workers a release registers. Texts that register none, which are nearly all, are read
// once in this process's life.
type workerMemo struct {
	mu   sync.Mutex
	none map[aplomb.Digest]bool
}

// find returns the paths of worker scripts: by their names, and by literal register calls in documents and scripts.
func (w *workerMemo) find(blobs blob.Reader, files []aplomb.File) []string {
	out := aplomb.WorkersByName(files)
	known := make(map[string]bool, len(files))
	for _, f := range files {
		known[f.Path] = true
	}
	budget := int64(workerTotalBytes)
	for _, f := range files {
		ext := strings.ToLower(path.Ext(f.Path))
		if f.Size > workerTextBytes || ext != ".html" && ext != ".js" && ext != ".mjs" && ext != ".htm" {
			continue
		}
		for _, p := range w.inFile(blobs, f, &budget) {
			if known[p] && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// inFile looks into one file.
func (w *workerMemo) inFile(blobs blob.Reader, f aplomb.File, budget *int64) []string {
	w.mu.Lock()
	none := w.none[f.Digest]
	w.mu.Unlock()
	if none || *budget < f.Size {
		return nil
	}
	*budget -= f.Size
	text, err := readBlob(blobs, f.Digest)
	if err != nil {
		return nil
	}
	if bytes.Contains(text, []byte("serviceWorker")) {
		return aplomb.WorkersInText(f.Path, text)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.none == nil || len(w.none) > 200_000 {
		w.none = map[aplomb.Digest]bool{}
	}
	w.none[f.Digest] = true
	return nil
}

func median(took []phases, of func(phases) time.Duration) float64 {
	all := make([]time.Duration, len(took))
	for i, p := range took {
		all[i] = of(p)
	}
	slices.Sort(all)
	return ms(all[len(all)/2])
}
