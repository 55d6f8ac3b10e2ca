package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a process under measurement.
type server struct {
	cmd  *exec.Cmd
	addr string // where it serves
	api  string // of aplomb
	dir  string
}

// command runs a program to its end.
func (r *run) command(name string, args ...string) error {
	out, err := exec.CommandContext(r.ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// output is what a program printed.
func (r *run) output(argv []string) (string, error) {
	out, err := exec.CommandContext(r.ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out), nil
}

// freeAddr returns a loopback address nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// pinned puts a command on the first core where taskset is there; the load runs on the other.
func pinned(core string, name string, args ...string) []string {
	if _, err := exec.LookPath("taskset"); err != nil {
		return append([]string{name}, args...)
	}
	return append([]string{"taskset", "-c", core, name}, args...)
}

// up starts aplomb on a new data folder and waits until it serves.
func (r *run) up(oneCore bool, extra ...string) (*server, error) {
	dir, err := os.MkdirTemp(r.dir, "data-")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	api, err := freeAddr()
	if err != nil {
		return nil, err
	}
	argv := append([]string{r.binary, "up", "--dir", dir, "--listen", addr, "--api", api}, extra...)
	if oneCore {
		argv = pinned("0", argv[0], argv[1:]...)
	}
	cmd := exec.CommandContext(r.ctx, argv[0], argv[1:]...)
	if oneCore {
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "..", filepath.Base(dir)+".log"))
	if err != nil {
		return nil, err
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, addr: addr, api: api, dir: dir}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "READY" {
		s.stop()
		return nil, fmt.Errorf("aplomb up said %q: %v; see %s", line, err, log.Name())
	}
	return s, nil
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
}

// aplomb runs one command against a server and returns the last JSON object it printed.
func (r *run) aplomb(s *server, args ...string) (map[string]any, error) {
	cmd := exec.CommandContext(r.ctx, r.binary, append(args, "--api", s.api, "--json")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("aplomb %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var v map[string]any
	if err := json.Unmarshal(lines[len(lines)-1], &v); err != nil {
		return nil, fmt.Errorf("aplomb %s printed %q: %w", strings.Join(args, " "), lines[len(lines)-1], err)
	}
	return v, nil
}

func (r *run) deploy(s *server, dir string) (map[string]any, error) {
	return r.aplomb(s, "deploy", dir, "--site", "shop", "--host", "shop.localhost", "--no-index-ok")
}

// timed returns how long f took, in milliseconds.
func timed(f func() error) (float64, error) {
	began := time.Now()
	err := f()
	return float64(time.Since(began).Microseconds()) / 1000, err
}

// start runs a peer's server on the first core and waits until it takes connections.
func (r *run) start(addr, name string, args ...string) (*server, error) {
	return r.startOn("0", addr, name, args...)
}

func (r *run) startOn(core, addr, name string, args ...string) (*server, error) {
	argv := pinned(core, name, args...)
	cmd := exec.CommandContext(r.ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "HOME="+r.dir, "XDG_DATA_HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s := &server{cmd: cmd, addr: addr}
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return s, nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("%s does not listen on %s: %s", name, addr, said.String())
}

// family lists a process and its children, for servers that work in several.
func family(pid int) []int {
	out := []int{pid}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return out
	}
	for _, w := range strings.Fields(string(b)) {
		if child, err := strconv.Atoi(w); err == nil {
			out = append(out, family(child)...)
		}
	}
	return out
}

// cpuMS is the processor time a server has used, in milliseconds: of all threads, from /proc/PID/schedstat's
// nanoseconds, which count finer than clock ticks.
func (s *server) cpuMS() float64 {
	total := 0.0
	for _, pid := range family(s.cmd.Process.Pid) {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			continue
		}
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if err != nil {
				continue // the thread has ended
			}
			if f := strings.Fields(string(b)); len(f) > 0 {
				ns, _ := strconv.ParseFloat(f[0], 64)
				total += ns / 1e6
			}
		}
	}
	return total
}

// rssMB is the memory a server holds, in MB; pages that its processes share count once each.
func (s *server) rssMB() float64 {
	total := 0.0
	for _, pid := range family(s.cmd.Process.Pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				kb, _ := strconv.ParseFloat(f[1], 64)
				total += kb / 1024
			}
		}
	}
	return total
}
