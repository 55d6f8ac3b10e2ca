package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestSwitchUnderLoad switches twenty times, by every command there is, while visitors ask as fast as one core answers. No
// request fails, no connection is closed under one, no document is from before a switch once the command has returned, and no
// open page misses a script.
func TestSwitchUnderLoad(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.env = []string{"GOMAXPROCS=1"}
	m.start(t)
	requests := int64(30_000)
	if full() {
		requests = 100_000
	}
	var ends []frontEnd
	for i := range 4 {
		ends = append(ends, newFrontEnd(t, fmt.Sprintf("end%d", i), 5, nil))
	}
	h := &history{}
	h.live(m.deploy(t, ends[0].dir).Release, ends[0].marker)
	h.live(m.deploy(t, ends[1].dir).Release, ends[1].marker)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := &load{addr: m.listen, history: h, ends: ends}
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() { l.visit(ctx, rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	switches := 0
	for ; switches < 20 && !t.Failed(); switches++ {
		l.waitFor(ctx, requests*int64(switches)/20)
		h.act(t, m, ends, switches)
	}
	l.waitFor(ctx, requests)
	cancel()
	workers.Wait()
	l.check(t, requests, switches)
}

// history is what was live when, as the commands' results tell.
type history struct {
	mu      sync.Mutex
	began   int      // acts begun
	acked   int      // acts acknowledged; releases[acked-1] is live
	markers []string // of the release that each act made live
	names   map[string]string
}

// live records an acknowledged act.
func (h *history) live(release, marker string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.names == nil {
		h.names = map[string]string{}
	}
	if marker == "" {
		marker = h.names[release]
	}
	h.names[release] = marker
	h.markers = append(h.markers, marker)
	h.acked = len(h.markers)
	h.began = h.acked
}

func (h *history) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began++
}

// now returns the number of acts acknowledged and the number begun.
func (h *history) now() (acked, began int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acked, h.began
}

// act performs the n-th switch: deploys of new and known releases, promotes, rollbacks and undos in turn.
func (h *history) act(t *testing.T, m *machine, ends []frontEnd, n int) {
	t.Helper()
	h.begin()
	var b back
	var d deployed
	switch n % 5 {
	case 0: // a new release
		end := ends[(n/5+2)%len(ends)]
		write(t, end.dir+"/note.txt", fmt.Appendf(nil, "%d", n))
		d = m.deploy(t, end.dir)
		h.live(d.Release, end.marker)
	case 1:
		b = m.rollback(t)
		h.live(b.To, "")
	case 2:
		m.run(t, &b, "undo", "--site", "shop")
		h.live(b.To, "")
	case 3:
		m.run(t, &d, "promote", "r1", "--site", "shop")
		h.live(d.Release, "")
	case 4:
		m.run(t, &b, "undo", "--site", "shop")
		h.live(b.To, "")
	}
}

// moment is what a visitor got, and between which acts.
type moment struct {
	acked, began int
	marker       string
}

// load is many visitors on connections that stay open.
type load struct {
	addr    string
	history *history
	ends    []frontEnd
	done    atomic.Int64

	mu       sync.Mutex
	moments  map[moment]int
	failures []string
	failed   int
	waiting  chan struct{} // closed and replaced as requests are done
}

// waitFor returns when n requests are done.
func (l *load) waitFor(ctx context.Context, n int64) {
	for l.done.Load() < n {
		l.mu.Lock()
		if l.waiting == nil {
			l.waiting = make(chan struct{})
		}
		more := l.waiting
		l.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	if len(l.failures) < 10 {
		l.failures = append(l.failures, fmt.Sprintf(format, args...))
	}
}

// visit asks on one connection, for documents and for scripts of the documents it has seen, until ctx ends. It writes and reads
// the connection itself: a client that silently connects again would hide a connection closed under a request.
func (l *load) visit(ctx context.Context, random *rand.Rand) {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.fail("connect: %v", err)
		return
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	var open []frontEnd // pages this visitor has open, the newest last
	for ctx.Err() == nil {
		urlPath := "/"
		if len(open) > 0 && random.IntN(2) == 0 {
			chunks := open[random.IntN(len(open))].chunks
			urlPath = chunks[random.IntN(len(chunks))]
		}
		acked, _ := l.history.now()
		body, err := ask(conn, answers, urlPath)
		_, began := l.history.now()
		if err != nil {
			l.fail("GET %s: %v", urlPath, err)
			return
		}
		if urlPath == "/" {
			marker := markerOf(body)
			l.record(moment{acked, began, marker})
			open = l.opened(open, marker)
		}
		l.count()
	}
}

func (l *load) opened(open []frontEnd, marker string) []frontEnd {
	i := slices.IndexFunc(l.ends, func(f frontEnd) bool { return f.marker == marker })
	if i < 0 || len(open) > 0 && open[len(open)-1].marker == marker {
		return open
	}
	return append(open, l.ends[i])
}

func (l *load) record(m moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.moments == nil {
		l.moments = map[moment]int{}
	}
	l.moments[m]++
}

func (l *load) count() {
	if l.done.Add(1)%100 != 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting != nil {
		close(l.waiting)
		l.waiting = nil
	}
}

// ask sends one request and reads its answer.
func ask(conn net.Conn, answers *bufio.Reader, urlPath string) ([]byte, error) {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/html\r\n\r\n", urlPath, shopHost); err != nil {
		return nil, fmt.Errorf("closed under a request: %w", err)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		return nil, fmt.Errorf("closed under a request: %w", err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	switch {
	case err != nil:
		return nil, fmt.Errorf("cut off: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	case resp.Close:
		return nil, errors.New("the connection is closed after the answer")
	}
	return body, nil
}

// check compares every document with what was live between the acts around its request.
func (l *load) check(t *testing.T, requests int64, switches int) {
	t.Helper()
	for _, f := range l.failures {
		t.Error(f)
	}
	if l.failed > len(l.failures) {
		t.Errorf("and %d failures more", l.failed-len(l.failures))
	}
	if done := l.done.Load(); done < requests || switches < 20 {
		t.Errorf("%d requests over %d switches, want %d over 20", done, switches, requests)
	}
	old, during := 0, 0
	markers := l.history.markers
	for m, n := range l.moments {
		allowed := markers[m.acked-1 : min(m.began, len(markers))]
		if !slices.Contains(allowed, m.marker) {
			old += n
			t.Errorf("%d documents of %q between act %d and %d, want one of %q", n, m.marker, m.acked, m.began, allowed)
		}
		if m.began > m.acked {
			during += n
		}
	}
	seen := map[string]bool{}
	for m := range l.moments {
		seen[m.marker] = true
	}
	t.Logf("%d requests over %d switches: %d failed, %d from the table before; %d documents while a switch was under way; seen: %s",
		l.done.Load(), switches, l.failed, old, during, strings.Join(slices.Sorted(maps.Keys(seen)), " "))
	if len(seen) < 3 {
		t.Errorf("the visitors saw %d front ends only: the switches did nothing", len(seen))
	}
}
