package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){"aplomb": main, "get": getMain, "slowget": slowGetMain, "powerless": powerlessMain, "app": appMain})
}

// leakless runs the tests and fails when a goroutine is left.
type leakless struct{ m *testing.M }

// Run implements testscript.TestingM.
func (l leakless) Run() int {
	code := l.m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// Each script is one promise of the commands, as a person would try it. Its server listens on $LISTEN and takes commands on
// $API; $ASK names both site and server in short.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(e *testscript.Env) error {
			home := e.WorkDir + "/home"
			e.Setenv("HOME", home)
			e.Setenv("XDG_CACHE_HOME", home+"/cache")
			e.Setenv("APLOMB_ACTOR", "mia")
			e.Setenv("LISTEN", freeAddr())
			e.Setenv("API", freeAddr())
			e.Setenv("LISTEN2", freeAddr())
			e.Setenv("TLS", freeAddr())
			e.Setenv("SPARE", freeAddr())
			e.Values[started{}] = &processes{byName: map[string]*process{}}
			return os.MkdirAll(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": cmdStart, "waitline": cmdWaitLine, "signal": cmdSignal, "ended": cmdEnded,
			"exits": cmdExits, "mkfile": cmdMkfile, "mkcert": cmdMkcert, "flip": cmdFlip, "mkfifo": cmdMkfifo, "mklines": cmdMklines,
		},
	})
}

// patience is how long anything may take that is expected to happen at once.
const patience = 20 * time.Second

var nextPort atomic.Int32

// freeAddr returns a loopback address nobody listens on, outside of what the system hands out by itself.
func freeAddr() string {
	nextPort.CompareAndSwap(0, int32(3000+os.Getpid()%6000))
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 3000+nextPort.Add(1)%9000)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
}

// started is the key of a script's processes.
type started struct{}

type processes struct {
	mu     sync.Mutex
	byName map[string]*process
}

// process is a command that a script runs beside itself.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	out   *lines
}

// lines is what a process has printed, on stdout and stderr together.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed and replaced at each write
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.text.Write(b)
}

func (l *lines) read() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String(), l.more
}

// start NAME COMMAND… runs a command beside the script. It is killed at the script's end.
func cmdStart(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: start NAME COMMAND…")
	}
	file, err := lookPath(ts, args[1])
	ts.Check(err)
	p := &process{cmd: exec.Command(file, args[2:]...), ended: make(chan struct{}), out: &lines{more: make(chan struct{})}}
	p.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "PATH", "XDG_CACHE_HOME", "TMPDIR", "APLOMB_ACTOR", "NO_COLOR"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+ts.Getenv(name))
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	ts.Check(p.cmd.Start())
	go func() {
		defer close(p.ended)
		p.cmd.Wait() // its error is an exit code, which "ended" looks at
	}()
	all := ts.Value(started{}).(*processes)
	all.mu.Lock()
	all.byName[args[0]] = p
	all.mu.Unlock()
	ts.Defer(func() {
		p.cmd.Process.Kill()
		<-p.ended
		text, _ := p.out.read()
		ts.Logf("[%s]\n%s", args[0], text)
	})
}

func lookPath(ts *testscript.TestScript, name string) (string, error) {
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		if info, err := os.Stat(dir + "/" + name); err == nil && info.Mode().IsRegular() {
			return dir + "/" + name, nil
		}
	}
	return "", fmt.Errorf("no command %s", name)
}

func processOf(ts *testscript.TestScript, name string) *process {
	all := ts.Value(started{}).(*processes)
	all.mu.Lock()
	defer all.mu.Unlock()
	p := all.byName[name]
	if p == nil {
		ts.Fatalf("no process %s", name)
	}
	return p
}

// waitline NAME PATTERN waits until the process has printed a line that matches.
func cmdWaitLine(ts *testscript.TestScript, _ bool, args []string) {
	p := processOf(ts, args[0])
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	limit := time.After(patience)
	for {
		text, more := p.out.read()
		if pattern.MatchString(text) {
			return
		}
		select {
		case <-more:
		case <-p.ended:
			if text, _ = p.out.read(); pattern.MatchString(text) {
				return
			}
			ts.Fatalf("%s ended without a line like %q:\n%s", args[0], args[1], text)
		case <-limit:
			ts.Fatalf("%s has no line like %q after %v:\n%s", args[0], args[1], patience, text)
		}
	}
}

// signal NAME TERM|INT|USR1 sends a signal.
func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "USR1": syscall.SIGUSR1, "KILL": syscall.SIGKILL}
	ts.Check(processOf(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// ended NAME CODE waits for the process's end and checks its exit code.
func cmdEnded(ts *testscript.TestScript, _ bool, args []string) {
	p := processOf(ts, args[0])
	select {
	case <-p.ended:
	case <-time.After(patience):
		ts.Fatalf("%s still runs after %v", args[0], patience)
	}
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s ended with %s, want exit code %s", args[0], p.cmd.ProcessState, args[1])
	}
}

// exits CODE COMMAND… runs a command that has to end with that exit code.
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s\n%s%s", code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// mkfile FILE BYTES writes a file of that size.
func cmdMkfile(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Repeat([]byte("0123456789abcdef"), n/16), 0o644))
}

// mklines FILE LINE… writes a file of these lines.
func cmdMklines(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(args[1:], "\n")+"\n"), 0o644))
}

func cmdMkfifo(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(syscall.Mkfifo(ts.MkAbs(args[0]), 0o644))
}

// flip FOLDER TEXT damages, by one bit, the first place where a file in the folder holds the text.
func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	found := false
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || found {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		i := bytes.Index(b, []byte(args[1]))
		if i < 0 {
			return nil
		}
		found = true
		b[i] ^= 1
		return os.WriteFile(file, b, 0o600)
	}))
	if !found {
		ts.Fatalf("no file in %s holds %q", args[0], args[1])
	}
}

// mkcert CERT KEY HOST writes a certificate for a host, signed by itself.
func cmdMkcert(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{args[2]}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

// request asks as a visitor of a host does, at an address.
func request(url, host string) (*http.Response, error) {
	client := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, ServerName: host}, // the certificate is the script's own
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return nil, err
	}
	req.Host = host
	return client.Do(req)
}

// getMain is the command get URL HOST: it prints the status and the body.
func getMain() {
	resp, err := request(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, resp.Proto)
	io.Copy(os.Stdout, resp.Body)
	os.Exit(0)
}

// slowGetMain is the command slowget URL HOST: it reads one byte, says BEGUN, and reads the rest once it gets a USR1.
func slowGetMain() {
	goOn := make(chan os.Signal, 1)
	signal.Notify(goOn, syscall.SIGUSR1)
	resp, err := request(os.Args[1], os.Args[2])
	if err == nil {
		defer resp.Body.Close()
		if _, err = io.ReadFull(resp.Body, make([]byte, 1)); err == nil {
			fmt.Println("BEGUN")
			<-goOn
			var rest int64
			rest, err = io.Copy(io.Discard, resp.Body)
			fmt.Println("bytes", rest+1)
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}
