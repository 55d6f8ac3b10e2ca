package main

import (
	"io"
	"strings"
	"sync"
	"time"
)

// phaseState says how far a phase is.
type phaseState string

// The states of a phase, as lines and JSON name them.
const (
	phasePending phaseState = "pending"
	phaseRunning phaseState = "running"
	phaseDone    phaseState = "done"
	phaseSkipped phaseState = "skipped"
	phaseFailed  phaseState = "failed"
)

// event is one change of state of a phase: a line of a log, a line of NDJSON, and what a drawing is made of.
type event struct {
	At    time.Time  `json:"at"`
	Phase string     `json:"phase"`
	State phaseState `json:"state"`
	Text  string     `json:"text,omitempty"`
	MS    float64    `json:"ms,omitempty"` // how long the phase took, when it has ended
}

// phase is one line of progress.
type phase struct {
	name         string
	state        phaseState
	begun, ended time.Time
	text         string
	// now tells how far a running phase is; nil where it has nothing to tell.
	now func() string
	// usual is how long it took at the median of the last deploys; 0 where that is not known.
	usual time.Duration
}

// progress is everything that a drawing shows.
type progress struct{ phases []phase }

func newProgress(names ...string) progress {
	p := progress{}
	for _, name := range names {
		p.phases = append(p.phases, phase{name: name, state: phasePending})
	}
	return p
}

// apply takes an event in and returns it with what follows from it.
func (p *progress) apply(e event) event {
	for i := range p.phases {
		f := &p.phases[i]
		if f.name != e.Phase {
			continue
		}
		f.state, f.text = e.State, e.Text
		if e.State == phaseRunning {
			f.begun = e.At
			continue
		}
		f.ended = e.At
		if !f.begun.IsZero() {
			e.MS = float64(e.At.Sub(f.begun).Microseconds()) / 1000
		}
	}
	return e
}

// frameEvery is how often a drawing is renewed while nothing happens but time.
const frameEvery = 100 * time.Millisecond

// progressView shows progress in the way that suits the reader: a drawing, lines, or JSON.
type progressView struct {
	out    io.Writer
	screen screen
	json   bool
	clock  func() time.Time

	// mu guards the rest.
	mu    sync.Mutex
	p     progress
	drawn int

	stop chan struct{}
	done sync.WaitGroup
}

// progressView starts to show progress; close ends it.
func (c *call) progressView(names ...string) *progressView {
	v := &progressView{out: c.stderr, screen: c.screen, json: c.flags.json, clock: c.now, p: newProgress(names...), stop: make(chan struct{})}
	if v.json {
		v.out = c.stdout
		return v
	}
	if v.screen.live {
		v.done.Go(v.redraw)
	}
	return v
}

func (v *progressView) redraw() {
	tick := time.NewTicker(frameEvery)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-tick.C:
			v.mu.Lock()
			v.draw()
			v.mu.Unlock()
		}
	}
}

// tell shows a change of state.
func (v *progressView) tell(phase string, state phaseState, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.p.apply(event{At: v.clock(), Phase: phase, State: state, Text: text})
	switch {
	case v.json:
		writeJSON(v.out, e)
	case v.screen.live:
		v.draw()
	default:
		io.WriteString(v.out, lineOf(e)+"\n")
	}
}

// begin shows that a phase runs; now, which may be nil, tells how far it is.
func (v *progressView) begin(phase, text string, now func() string) {
	v.mu.Lock()
	for i := range v.p.phases {
		if v.p.phases[i].name == phase {
			v.p.phases[i].now = now
		}
	}
	v.mu.Unlock()
	v.tell(phase, phaseRunning, text)
}

// note shows a line that stays.
func (v *progressView) note(phase, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := event{At: v.clock(), Phase: phase, State: phaseDone, Text: text}
	switch {
	case v.json:
		writeJSON(v.out, e)
	case v.screen.live:
		io.WriteString(v.out, overwrite(v.drawn, []string{phase + ": " + text}))
		v.drawn = 0
		v.draw()
	default:
		io.WriteString(v.out, lineOf(e)+"\n")
	}
}

// usual says how long a phase took the last times.
func (v *progressView) usual(phase string, d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.p.phases {
		if v.p.phases[i].name == phase {
			v.p.phases[i].usual = d
		}
	}
}

// fail marks the phase that runs as failed, so that the last picture does not claim otherwise.
func (v *progressView) fail() {
	v.mu.Lock()
	running := ""
	for _, f := range v.p.phases {
		if f.state == phaseRunning {
			running = f.name
		}
	}
	v.mu.Unlock()
	if running != "" {
		v.tell(running, phaseFailed, "")
	}
}

// close draws for the last time and leaves the lines standing.
func (v *progressView) close() {
	close(v.stop)
	v.done.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.screen.live && !v.json && v.drawn > 0 {
		v.draw()
	}
}

// draw replaces the lines drawn before in one write, so that no half picture is ever seen. The caller holds mu.
func (v *progressView) draw() {
	frame := renderFrame(v.p, v.clock(), v.screen)
	io.WriteString(v.out, overwrite(v.drawn, frame))
	v.drawn = len(frame)
}

// overwrite returns what replaces the last drawn lines of a terminal by others.
func overwrite(drawn int, frame []string) string {
	var b strings.Builder
	if drawn > 0 {
		b.WriteString(cursorUp(drawn))
	}
	for _, line := range frame {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	return b.String()
}
