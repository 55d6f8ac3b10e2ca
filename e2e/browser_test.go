package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser process of a test run; each profile in it is a visitor of its own.
var chromium browser

type browser struct {
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	err    error
}

// start starts the browser at the first call.
func (b *browser) start() (context.Context, error) {
	b.once.Do(func() {
		file, err := chromiumFile()
		if err != nil {
			b.err = err
			return
		}
		profile, err := os.MkdirTemp("", "chromium-")
		if err != nil {
			b.err = err
			return
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(file), chromedp.UserDataDir(profile),
			chromedp.Flag("headless", "new"), chromedp.Flag("no-sandbox", os.Getuid() == 0),
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
			chromedp.Flag("mute-audio", true), chromedp.WindowSize(1280, 800))
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		b.ctx, b.cancel = ctx, func() { cancel(); stop() }
		if err := chromedp.Do(ctx); err != nil {
			b.err = fmt.Errorf("start %s: %w", file, err)
			b.cancel()
		}
	})
	return b.ctx, b.err
}

// close ends the browser if it was started.
func (b *browser) close() error {
	b.once.Do(func() { b.err = errors.New("closed") })
	if b.err != nil {
		return nil
	}
	defer b.cancel()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Cancel(ctx)
}

// chromiumFile finds the browser itself rather than Debian's script around it.
func chromiumFile() (string, error) {
	const itself = "/usr/lib/chromium/chromium"
	if _, err := os.Stat(itself); err == nil {
		return itself, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if file, err := exec.LookPath(name); err == nil {
			return filepath.Clean(file), nil
		}
	}
	return "", errors.New("there is no Chromium; install it with: apt-get install chromium")
}

// profile is one visitor's browser: its cache, storage and workers last as long as the test.
type profile struct {
	ctx context.Context
}

func newProfile(t *testing.T) *profile {
	t.Helper()
	parent, err := chromium.start()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("a new browser profile: %v", err)
	}
	return &profile{ctx}
}

// tab is an open page, with everything the browser said about it.
type tab struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu         sync.Mutex
	answers    []*network.Response
	kinds      []network.ResourceType // of answers
	failed     []string               // requests without an answer
	exceptions []string
	documents  int // documents shown, reloads included
	urls       map[network.RequestID]string
}

// open opens a page in a new tab and returns when it has loaded.
func (p *profile) open(t *testing.T, url string) *tab {
	t.Helper()
	o := &tab{urls: map[network.RequestID]string{}}
	o.ctx, o.cancel = chromedp.NewContext(p.ctx, chromedp.WithListener(o.hear))
	t.Cleanup(o.cancel)
	if err := chromedp.Do(o.ctx); err != nil {
		t.Fatalf("a new tab: %v", err)
	}
	o.navigate(t, url)
	return o
}

// navigate goes to a page in the same tab, as somebody does who types its address.
func (o *tab) navigate(t *testing.T, url string) {
	t.Helper()
	o.mu.Lock()
	o.answers, o.kinds, o.failed, o.exceptions, o.documents = nil, nil, nil, nil, 0
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(o.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open %s: %v\n%s", url, err, o.story())
	}
}

// hear runs on the goroutine that reads the browser's messages.
func (o *tab) hear(event any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		o.urls[e.RequestID] = e.Request.URL
	case *network.EventResponseReceived:
		o.answers = append(o.answers, e.Response)
		o.kinds = append(o.kinds, e.Type)
	case *network.EventLoadingFailed:
		if !e.Canceled {
			o.failed = append(o.failed, o.urls[e.RequestID]+": "+e.ErrorText)
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		o.exceptions = append(o.exceptions, text)
	case *page.EventFrameNavigated:
		if e.Frame.ParentID == "" {
			o.documents++
		}
	}
}

// shown returns how many documents the tab has shown since it was last sent somewhere.
func (o *tab) shown() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.documents
}

// story says what happened in the tab, for a failing test.
func (o *tab) story() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d documents\n", o.documents)
	for i, a := range o.answers {
		if a.Status == http.StatusOK && len(o.answers) > 40 {
			continue // what went well is told where it is short
		}
		fmt.Fprintf(&b, "  %s %d %s %.120s\n", o.kinds[i], a.Status, a.MimeType, a.URL)
	}
	for _, s := range append(o.failed, o.exceptions...) {
		fmt.Fprintf(&b, "  failed: %s\n", s)
	}
	return b.String()
}

// seen is what a person sees of a page.
type seen struct {
	Text    string `json:"text"`
	Things  int    `json:"things"`  // visible controls, pictures and drawings
	Scripts string `json:"scripts"` // the addresses of the document's scripts
}

const look = `(() => {
	const visible = e => { const r = e.getBoundingClientRect(); return r.width > 4 && r.height > 4 };
	return {
		text: document.body ? document.body.innerText.trim() : "",
		things: [...document.querySelectorAll("img,svg,canvas,input,button,video,iframe")].filter(visible).length,
		scripts: [...document.scripts].map(s => s.src).join(" "),
	};
})()`

// look returns what a person sees now.
func (o *tab) look(t *testing.T) seen {
	t.Helper()
	return evaluate[seen](t, o, look)
}

// evaluate runs an expression in the page and waits for its promise, which may be one of hundreds of requests.
func evaluate[T any](t *testing.T, o *tab, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(o.ctx, 4*patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("in the page: %.200s: %v\n%s", expression, err, o.story())
	}
	return v
}

// waitFor looks until what is seen is as wanted.
func (o *tab) waitFor(t *testing.T, what string, wanted func(seen) bool) seen {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		s := o.look(t)
		if wanted(s) {
			return s
		}
		select {
		case <-limit.C:
			t.Fatalf("no %s after %v; seen: %+v\n%s", what, patience, s, o.story())
		case <-again.C:
		}
	}
}

// checkWhole checks that nothing the page asked its own site for was missing, of a wrong type, or failed.
func (o *tab) checkWhole(t *testing.T, isAPI func(url string) bool) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	scripts := 0
	for i, a := range o.answers {
		if isAPI(a.URL) {
			continue
		}
		if a.Status != 200 && a.Status != 304 {
			t.Errorf("the page asked for %s and got %d", a.URL, a.Status)
		}
		if o.kinds[i] == network.ResourceTypeScript {
			scripts++
			if !strings.Contains(a.MimeType, "javascript") {
				t.Errorf("the script %s has type %q", a.URL, a.MimeType)
			}
		}
	}
	for _, f := range o.failed {
		if !isAPI(f) {
			t.Errorf("the page's request failed: %s", f)
		}
	}
	if scripts == 0 {
		t.Error("the page loaded no script")
	}
}
