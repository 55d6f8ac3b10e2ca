package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that is expected to happen at once on a machine with nothing else to do.
const patience = 45 * time.Second

// machine is one person's machine: a data folder, two addresses, and a home. It outlives the servers started on it.
type machine struct {
	dir    string   // the server's data folder
	home   string   // what the person's commands and the server have as $HOME
	listen string   // where sites are served
	api    string   // where commands are taken
	env    []string // added to the server's environment
	binary string
	server *server // the one started last
}

// server is one run of `aplomb up`.
type server struct {
	cmd   *exec.Cmd
	ready chan string   // its READY line, once
	done  chan struct{} // closed when the process has ended
	log   *printed
}

// printed collects what a process prints.
type printed struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *printed) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *printed) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// nextPort counts through ports that the system does not hand out by itself.
var nextPort atomic.Int32

// freeAddr returns a loopback address nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	nextPort.CompareAndSwap(0, int32(12000+os.Getpid()%10000))
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 12000+nextPort.Add(1)%20000)
		l, err := net.Listen("tcp", addr)
		if err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port among a thousand")
	return ""
}

// newMachine returns a machine with nothing on it.
func newMachine(t *testing.T) *machine {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp("", "machine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &machine{
		dir: filepath.Join(root, "D"), home: filepath.Join(root, "home"),
		listen: freeAddr(t), api: freeAddr(t), binary: file,
	}
	if err := os.Mkdir(m.home, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.server != nil {
			m.kill(t)
			if t.Failed() {
				t.Logf("the server's log:\n%s", tail(m.server.log.String(), 6000))
			}
		}
	})
	return m
}

// environ is the environment of everything run on the machine: the test's own must not reach it.
func (m *machine) environ() []string {
	return append([]string{"HOME=" + m.home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "USER=mia", "TMPDIR=" + os.TempDir()}, m.env...)
}

// launch starts a server and returns without waiting for it.
func (m *machine) launch(t *testing.T) *server {
	t.Helper()
	s := &server{ready: make(chan string, 1), done: make(chan struct{}), log: new(printed)}
	s.cmd = exec.Command(m.binary, "up", "--dir", m.dir, "--listen", m.listen, "--api", m.api)
	s.cmd.Env = m.environ()
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start %v: %v", s.cmd.Args, err)
	}
	go func() {
		defer close(s.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(s.log, lines.Text())
			if strings.HasPrefix(lines.Text(), "READY") {
				select {
				case s.ready <- lines.Text():
				default:
				}
			}
		}
		s.cmd.Wait() // its error is the signal we sent, or stands in the log
	}()
	m.server = s
	return s
}

// start starts a server, waits until it says READY, and returns that line.
func (m *machine) start(t *testing.T) string {
	t.Helper()
	s := m.launch(t)
	select {
	case line := <-s.ready:
		return line
	case <-s.done:
		t.Fatalf("%v ended before it was ready:\n%s", s.cmd.Args, s.log)
	case <-time.After(patience):
		m.kill(t)
		t.Fatalf("%v is not ready after %v:\n%s", s.cmd.Args, patience, s.log)
	}
	return ""
}

// kill ends the server as a power cut does, and waits for its end.
func (m *machine) kill(t *testing.T) {
	t.Helper()
	if err := m.server.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("kill -9 %d: %v", m.server.cmd.Process.Pid, err)
	}
	<-m.server.done
}

// stop asks the server to end and checks that it does so with exit code 0.
func (m *machine) stop(t *testing.T) {
	t.Helper()
	if err := m.server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop the server: %v", err)
	}
	select {
	case <-m.server.done:
	case <-time.After(patience):
		t.Fatalf("the server still runs %v after SIGTERM:\n%s", patience, m.server.log)
	}
	if code := m.server.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server stopped with exit code %d, want 0:\n%s", code, m.server.log)
	}
}

// says waits until the server's log has a text.
func (m *machine) says(t *testing.T, text string) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !strings.Contains(m.server.log.String(), text) {
		select {
		case <-again.C:
		case <-limit.C:
			t.Errorf("the server does not say %q", text)
			return
		}
	}
}

// outcome is how a command ended.
type outcome struct {
	args           []string
	code           int
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("aplomb %s: exit %d\n%s%s", strings.Join(o.args, " "), o.code, o.stdout, o.stderr)
}

// decode reads the last JSON object of the command's result.
func (o outcome) decode(t *testing.T, into any) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), into); err != nil {
		t.Fatalf("%v\nthe last line is no result: %v", o, err)
	}
}

// command returns a command as the machine's person types it.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, m.binary, append(args, "--api", m.api)...)
	cmd.Env = m.environ()
	cmd.Dir = m.home
	return cmd
}

// try runs a command and returns how it ended.
func (m *machine) try(t *testing.T, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	return ended(t, m.command(ctx, args...), args)
}

func ended(t *testing.T, cmd *exec.Cmd, args []string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Errorf("aplomb %v: %v", args, err)
	}
	return outcome{args, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// run runs a command that has to end with exit code 0, and decodes its result unless into is nil.
func (m *machine) run(t *testing.T, into any, args ...string) {
	t.Helper()
	o := m.try(t, append(args, "--json")...)
	if o.code != 0 {
		t.Fatal(o)
	}
	if into != nil {
		o.decode(t, into)
	}
}

// deployed is what a deploy or promote prints.
type deployed struct {
	Release       string  `json:"release"`
	State         string  `json:"state"`
	Share         float64 `json:"share"`
	From          string  `json:"from"`
	URL           string  `json:"url"`
	FilesUploaded int     `json:"files_uploaded"`
	BytesUploaded int64   `json:"bytes_uploaded"`
	FirstShareMS  float64 `json:"first_share_ms"`
	TookMS        float64 `json:"took_ms"`
	Act           int64   `json:"act"`
}

// back is what a rollback or undo prints.
type back struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Act      int64  `json:"act"`
	Recorded *bool  `json:"recorded"`
	Undone   []struct {
		What string  `json:"what"`
		MS   float64 `json:"ms"`
	} `json:"undone"`
	Pending []string `json:"pending"`
}

// fact is one line of the log.
type fact struct {
	N       int64  `json:"n"`
	Kind    string `json:"kind"`
	Actor   string `json:"actor"`
	Site    string `json:"site"`
	Release string `json:"release"`
	From    string `json:"from"`
	Rollout int64  `json:"rollout"`
	Act     int64  `json:"act"`
}

// isAct says that visitors saw what the fact says.
func (f fact) isAct() bool { return f.Kind == "live" || f.Kind == "rolled-back" || f.Kind == "undone" }

// deploy puts a folder live on the site shop, and checks what every deploy promises.
func (m *machine) deploy(t *testing.T, dir string, more ...string) deployed {
	t.Helper()
	var d deployed
	m.run(t, &d, append([]string{"deploy", dir, "--site", "shop", "--host", shopHost}, more...)...)
	if d.State != "live" || d.Share != 1 || d.Release == "" {
		t.Fatalf("deploy = %+v, want a release that is live", d)
	}
	return d
}

// rollback takes the site shop back.
func (m *machine) rollback(t *testing.T) back {
	t.Helper()
	var b back
	m.run(t, &b, "rollback", "--site", "shop")
	return b
}

// list runs a command that has to end with exit code 0 and prints one JSON object a line.
func list[T any](t *testing.T, m *machine, args ...string) []T {
	t.Helper()
	o := m.try(t, append(args, "--json")...)
	if o.code != 0 {
		t.Fatal(o)
	}
	var all []T
	for line := range strings.Lines(o.stdout) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("aplomb %v: %q: %v", args, line, err)
		}
		all = append(all, v)
	}
	return all
}

// facts returns the log of the site shop.
func (m *machine) facts(t *testing.T) []fact {
	t.Helper()
	return list[fact](t, m, "log", "--site", "shop")
}

// released is one line of the list of releases.
type released struct {
	Release string `json:"release"`
	State   string `json:"state"`
	Files   int    `json:"files"`
}

// lastAct returns the newest fact that visitors saw.
func lastAct(facts []fact) fact {
	for i := len(facts) - 1; i >= 0; i-- {
		if facts[i].isAct() {
			return facts[i]
		}
	}
	return fact{}
}

// verify checks that the chain is intact.
func (m *machine) verify(t *testing.T) {
	t.Helper()
	if o := m.try(t, "audit", "verify", "--json"); o.code != 0 {
		t.Errorf("the chain is not intact: %v", o)
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// accepts says whether somebody listens.
func accepts(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
