package rollout

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"aplomb"
)

var update = flag.Bool("update", false, "rewrite the expected lines in testdata")

// TestScripts plays each testdata/*.txt: a line is an event, the indented lines after it are what it led to.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata: %d scripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(text); got != want {
				t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	var out strings.Builder
	p := player{now: time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue
		}
		fmt.Fprintln(&out, line)
		if line == "" || line[0] == '#' {
			continue
		}
		for _, said := range p.run(t, strings.Fields(line)) {
			fmt.Fprintln(&out, "    "+said)
		}
		if err := p.state.Check(); err != nil {
			t.Errorf("after %q: %v", line, err)
		}
	}
	return out.String()
}

type player struct {
	state State
	now   time.Time
}

// run takes one line. "deploy KEY" is short for request, seal, proceed and routed.
func (p *player) run(t *testing.T, words []string) []string {
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	p.now = p.now.Add(time.Minute)
	ev := aplomb.Event{Actor: "mia", At: p.now}
	switch words[0] {
	case "create":
		ev.Kind, ev.Site = aplomb.EventCreate, aplomb.Site{Name: "shop", Hosts: []aplomb.Host{"shop.localhost"}}
	case "wait":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		p.now = p.now.Add(d)
		return nil
	case "deploy":
		said := p.step(aplomb.Event{Kind: aplomb.EventRequest, Actor: "mia", At: p.now})
		said = append(said, p.step(sealed(p.state.N, arg(1), p.now))...)
		said = append(said, p.step(aplomb.Event{Kind: aplomb.EventProceed, Actor: "aplomb", At: p.now})...)
		return append(said, p.step(p.result(aplomb.EventRouted))...)
	case "request":
		ev.Kind = aplomb.EventRequest
	case "seal", "seal-no-live":
		n, err := strconv.ParseInt(arg(1), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ev = sealed(n, arg(2), p.now)
		ev.NoLive = words[0] == "seal-no-live"
	case "abandon":
		n, err := strconv.ParseInt(arg(1), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ev.Kind, ev.Rollout = aplomb.EventAbandoned, n
	case "proceed":
		ev.Kind, ev.Actor = aplomb.EventProceed, "aplomb"
	case "routed":
		ev = p.result(aplomb.EventRouted)
	case "failed":
		ev = p.result(aplomb.EventFailed)
	case "promote", "retire":
		ev.Kind, ev.Release, ev.Why = aplomb.EventKind(words[0]), aplomb.ReleaseID(arg(1)), strings.Join(words[min(2, len(words)):], " ")
	case "rollback":
		ev.Kind = aplomb.EventRollback
		for _, w := range words[1:] { // releases that are not whole
			ev.Releases = append(ev.Releases, aplomb.ReleaseID(w))
		}
	case "undo":
		ev.Kind = aplomb.EventUndo
		ev.Act, _ = strconv.ParseInt(arg(1), 10, 64)
	case "set": // hosts, then what leads to the first of them
		ev.Kind, ev.Site = aplomb.EventSiteSet, p.state.Site
		ev.Site.Hosts, ev.Site.RedirectTo = nil, map[aplomb.Host]aplomb.Host{}
		for _, w := range words[1:] {
			if from, to, ok := strings.Cut(w, ">"); ok {
				ev.Site.RedirectTo[aplomb.Host(from)] = aplomb.Host(to)
			} else {
				ev.Site.Hosts = append(ev.Site.Hosts, aplomb.Host(w))
			}
		}
	case "remove":
		ev.Kind = aplomb.EventSiteRemove
	case "offline":
		ev.Kind, ev.Why, ev.RetryAfter = aplomb.EventOffline, strings.Join(words[1:], " "), 300
	case "online":
		ev.Kind = aplomb.EventOnline
	case "forget": // a path or a release, and the reason
		ev.Kind, ev.Why = aplomb.EventForget, strings.Join(words[min(2, len(words)):], " ")
		if strings.HasPrefix(arg(1), "/") {
			ev.Gone = []string{arg(1)}
		} else {
			ev.Release = aplomb.ReleaseID(arg(1))
		}
	case "note":
		ev.Kind, ev.Why = aplomb.EventNote, strings.Join(words[1:], " ")
	default:
		t.Fatalf("unknown word %q", words[0])
	}
	return p.step(ev)
}

func sealed(n int64, key string, at time.Time) aplomb.Event {
	return aplomb.Event{Kind: aplomb.EventSealed, Actor: "mia", At: at, Rollout: n, Sealed: aplomb.Release{Seal: aplomb.Sum([]byte(key)), Manifest: aplomb.Sum([]byte("m" + key)), By: "mia"}}
}

func (p *player) result(kind aplomb.EventKind) aplomb.Event {
	ev := aplomb.Event{Kind: kind, Actor: "aplomb", At: p.now, Intent: "none"}
	if p.state.Pending != nil {
		ev.Intent = p.state.Pending.Intent.ID
	}
	return ev
}

func (p *player) step(ev aplomb.Event) []string {
	out, err := Step(p.state, ev)
	if err != nil {
		var e *aplomb.Error
		if errors.As(err, &e) {
			return []string{fmt.Sprintf("refused %s: %s: %s; %s", e.Code, e.What, e.Why, e.Do)}
		}
		return []string{"error " + err.Error()}
	}
	p.state = out.State
	said := []string{fmt.Sprintf("%d %s", out.Fact.N, out.Fact.Kind)}
	if out.Fact.Release != "" {
		said[0] += " " + string(out.Fact.Release)
	}
	said[0] += fmt.Sprintf(" by %s: %s", out.Fact.Actor, out.Fact.Why)
	if out.Refused != nil {
		said = append(said, fmt.Sprintf("refused %s: %s", out.Refused.Code, out.Refused.Why))
	}
	for _, in := range out.Commands {
		said = append(said, fmt.Sprintf("intent %s %s from %q to %s urgent=%v", in.ID, in.Kind, in.From, in.Release, in.Urgent))
	}
	return append(said, p.line())
}

// line is the whole state in one line.
func (p *player) line() string {
	var b strings.Builder
	for i := range p.state.Last {
		r := p.state.Releases[aplomb.NewReleaseID(i+1)]
		fmt.Fprintf(&b, "%s %s", r.ID, r.State)
		if r.Why != "" {
			fmt.Fprintf(&b, " (%s)", r.Why)
		}
		b.WriteString(", ")
	}
	var ways []string
	for _, r := range p.state.Rollouts {
		ways = append(ways, fmt.Sprintf("%d %s", r.N, r.Stage))
	}
	targets := []string{}
	for _, r := range p.state.Targets(nil) {
		targets = append(targets, string(r.ID))
	}
	site := ""
	if p.state.Site.Offline != nil {
		site += fmt.Sprintf(", offline since %s", p.state.Site.Offline.Since.Format("15:04"))
	}
	if len(p.state.Site.Gone) > 0 {
		site += fmt.Sprintf(", gone %v", p.state.Site.Gone)
	}
	if p.state.Removed {
		site += ", removed"
	}
	return fmt.Sprintf("= live %q; %srollouts [%s], back to %v%s", p.state.Live, b.String(), strings.Join(ways, ", "), slices.Clip(targets), site)
}
