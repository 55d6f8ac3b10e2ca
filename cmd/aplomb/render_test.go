package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// halfway is a deploy that is sending.
func halfway() progress {
	p := newProgress(phaseRead, phaseAsk, phaseSend, phaseSwitch)
	at := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
	p.apply(event{At: at(0), Phase: phaseRead, State: phaseRunning})
	p.apply(event{At: at(20), Phase: phaseRead, State: phaseDone, Text: "214 files, 3.1 MB, 2 read anew"})
	p.apply(event{At: at(20), Phase: phaseAsk, State: phaseRunning})
	p.apply(event{At: at(28), Phase: phaseAsk, State: phaseDone, Text: "2 files missing"})
	p.apply(event{At: at(28), Phase: phaseSend, State: phaseRunning, Text: "2 files, 4.1 MB"})
	p.phases[2].now = func() string { return "1.2 MB of 4.1 MB" }
	p.phases[2].usual = 400 * time.Millisecond
	return p
}

func TestProgressIsDrawnAtEveryWidth(t *testing.T) {
	t.Parallel()
	now := noon.Add(328 * time.Millisecond)
	for name, s := range map[string]screen{
		"progress-tty-80.txt":  {live: true, tty: true, width: 80},
		"progress-tty-200.txt": {live: true, tty: true, width: 200},
		"progress-plain.txt":   {width: 80},
	} {
		golden(t, name, strings.Join(renderFrame(halfway(), now, s), "\n")+"\n")
	}
}

func TestNoDrawnLineIsWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	for _, width := range []int{60, 80, 120, 200} {
		for _, line := range renderFrame(halfway(), noon.Add(time.Second), screen{width: width}) {
			if n := len([]rune(line)); n > width {
				t.Errorf("width %d: %d characters: %q", width, n, line)
			}
		}
	}
}

func TestTheSameMomentIsDrawnTheSame(t *testing.T) {
	t.Parallel()
	s := screen{live: true, width: 80}
	a := strings.Join(renderFrame(halfway(), noon, s), "\n")
	if b := strings.Join(renderFrame(halfway(), noon, s), "\n"); a != b {
		t.Errorf("two drawings of one moment differ:\n%s\n%s", a, b)
	}
}

// handClock is a clock that moves when it is told to.
type handClock struct{ ms atomic.Int64 }

func (c *handClock) now() time.Time { return noon.Add(time.Duration(c.ms.Load()) * time.Millisecond) }

// deployEvents plays a whole deploy into a view.
func deployEvents(c *call) {
	var clock handClock
	c.now = clock.now
	v := c.progressView(phaseRead, phaseAsk, phaseSend, phaseSwitch)
	v.begin(phaseRead, "dist", func() string { return "3.1 MB read" })
	clock.ms.Add(20)
	v.tell(phaseRead, phaseDone, "214 files, 3.1 MB, 214 read anew")
	v.begin(phaseAsk, "which files are missing", nil)
	clock.ms.Add(8)
	v.tell(phaseAsk, phaseDone, "2 files missing")
	v.usual(phaseSend, 400*time.Millisecond)
	v.begin(phaseSend, "2 files, 4.1 MB", func() string { return "1.2 MB of 4.1 MB" })
	clock.ms.Add(250)
	v.tell(phaseSend, phaseDone, "2 files, 4.1 MB")
	v.begin(phaseSwitch, "making it a release and switching", nil)
	clock.ms.Add(40)
	v.tell(phaseSwitch, phaseDone, "r2 is live")
	v.close()
}

func TestALogHasOneLineForEachChangeOfState(t *testing.T) {
	t.Parallel()
	for name, getenv := range map[string]func(string) string{"log-pipe.txt": env(), "log-no-color.txt": env("NO_COLOR", "1")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			tty := name != "log-pipe.txt"
			c := &call{stderr: &out, screen: newScreen(tty, 80, getenv)}
			deployEvents(c)
			if n := strings.Count(out.String(), "\n"); n > 40 {
				t.Errorf("%d lines, want at most 40", n)
			}
			if strings.Contains(out.String(), "\x1b") {
				t.Error("a log with escapes")
			}
			golden(t, name, out.String())
		})
	}
}

func TestATerminalEndsWithTheLastPictureStanding(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &call{stderr: &out, screen: newScreen(true, 80, env())}
	deployEvents(c)
	golden(t, "progress-end.txt", lastPicture(out.String()))
}

// lastPicture returns what a terminal shows after the last redraw.
func lastPicture(s string) string {
	i := strings.LastIndex(s, "A\r")
	return strings.NewReplacer("\x1b[K", "", "\x1b[J", "").Replace(s[i+2:])
}

func TestJSONProgressIsOneObjectALineOnStdout(t *testing.T) {
	t.Parallel()
	var out, talk bytes.Buffer
	c := &call{stdout: &out, stderr: &talk, screen: newScreen(true, 80, env()), flags: flags{json: true}}
	deployEvents(c)
	if talk.Len() > 0 {
		t.Errorf("stderr has %q", talk.String())
	}
	states := map[string]int{}
	for line := range strings.Lines(out.String()) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		states[e.Phase+" "+string(e.State)]++
		if e.State == phaseDone && e.MS <= 0 {
			t.Errorf("%s took %v ms", e.Phase, e.MS)
		}
	}
	for _, want := range []string{"read running", "read done", "send done", "switch done"} {
		if states[want] != 1 {
			t.Errorf("%q: %d events, want 1", want, states[want])
		}
	}
}

func TestAFailureIsShownInThePhaseThatFailed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &call{stderr: &out, screen: plainScreen(80), now: func() time.Time { return noon }}
	v := c.progressView(phaseRead, phaseAsk)
	v.tell(phaseRead, phaseDone, "")
	v.begin(phaseAsk, "", nil)
	v.fail()
	v.close()
	if !strings.HasSuffix(out.String(), "ask failed\n") {
		t.Errorf("the log ends with %q", out.String())
	}
}
