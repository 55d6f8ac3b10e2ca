package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"aplomb"
)

// Endpoint says where a server answers. The server writes it, its user's commands read it.
type Endpoint struct {
	API     string    `json:"api,omitempty"` // the TCP address, as a client on this machine reaches it
	Socket  string    `json:"socket,omitempty"`
	Dir     string    `json:"dir,omitempty"`
	PID     int       `json:"pid,omitempty"`
	Token   Token     `json:"token,omitempty"`
	Started time.Time `json:"started,omitzero"`
}

// String names the endpoint for people.
func (e Endpoint) String() string {
	if e.API != "" {
		return e.API
	}
	return e.Socket
}

// FindEndpoint finds the server that a command is meant for. addr is a TCP address, or a socket's path ("/…" or "unix:…");
// without one, the environment's APLOMB_API is asked, and then the only server of this user that answers. A token in APLOMB_TOKEN
// goes before what is known of a TCP address.
func FindEndpoint(addr string) (Endpoint, error) {
	p := userPlaces(os.Getenv)
	if addr == "" {
		addr = os.Getenv("APLOMB_API")
	}
	ask := p.only
	if addr != "" {
		ask = func() (Endpoint, error) { return p.find(addr) }
	}
	ep, err := ask()
	if _, named := socketPath(addr); named || err != nil {
		return ep, err
	}
	return withGivenToken(ep, os.Getenv("APLOMB_TOKEN"))
}

// socketPath returns the path of a socket that an address names.
func socketPath(addr string) (string, bool) {
	path, ok := strings.CutPrefix(addr, "unix:")
	return path, ok || strings.HasPrefix(addr, "/")
}

func (p places) find(addr string) (Endpoint, error) {
	if path, ok := socketPath(addr); ok {
		return Endpoint{Socket: path}, nil
	}
	addr = strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/")
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return Endpoint{}, aplomb.NewError(aplomb.CodeUsage, "Not an address of the API", err.Error(), "--api 127.0.0.1:9400").
			Because(err).With("Production is unchanged: nothing was asked.")
	}
	addr = reachable(addr)
	best := Endpoint{API: addr}
	for _, dir := range slices.Concat(p.login, p.lasting, p.also) {
		e, err := readEndpoint(filepath.Join(dir, fileName(best)))
		if err != nil {
			continue
		}
		if e.API = addr; alive(e.PID) {
			return e, nil
		}
		if best.Token == "" { // a server in a container has no process here; its TCP door may still answer
			best, best.Socket = e, ""
		}
	}
	if e, ok := p.loginTo(addr); ok {
		return e, nil
	}
	return best, nil
}

// ServiceSocket is the socket of the server that is installed as a service. It lets in root and the service's own user.
const ServiceSocket = "/var/lib/aplomb/api.sock"

// only returns the one server of this user that answers.
func (p places) only() (Endpoint, error) {
	var found []Endpoint
	for _, dir := range slices.Concat(p.login, p.lasting) {
		files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		for _, file := range files {
			e, err := readEndpoint(file)
			if err != nil {
				continue
			}
			switch i := slices.IndexFunc(found, e.sameAs); {
			case i < 0:
				found = append(found, e)
			case strings.HasSuffix(file, loginSuffix) && !alive(found[i].PID):
				found[i] = e // the server that wrote it is gone; what answers there now is another
			}
		}
	}
	if len(found) == 1 {
		return found[0], nil // whether it answers shows soon enough
	}
	answering := slices.DeleteFunc(slices.Clone(found), func(e Endpoint) bool { return !answers(e) })
	switch {
	case len(answering) == 1:
		return answering[0], nil
	case len(answering) == 0:
		service := Endpoint{Socket: ServiceSocket}
		if err := reach(service); err == nil || errors.Is(err, fs.ErrPermission) {
			return service, nil // that it lets others in and not this user shows when it is asked
		}
		return Endpoint{}, noServer("No Aplomb server of this user is known", "none has left word where it answers", Endpoint{}, nil)
	}
	return Endpoint{}, several(answering)
}

// several refuses to choose one of this user's servers.
func several(answering []Endpoint) error {
	slices.SortFunc(answering, func(a, b Endpoint) int { return strings.Compare(a.String(), b.String()) })
	var names []string
	for _, e := range answering {
		names = append(names, fmt.Sprintf("--api %s: data folder %s", e, e.Dir))
	}
	return aplomb.NewError(aplomb.CodeUsage, fmt.Sprintf("%d Aplomb servers of this user answer, and the command does not say which one is meant", len(names)),
		"they are\n"+strings.Join(names, "\n"), "name one: --api "+answering[0].String()).
		With("Production is unchanged: no server was asked for anything.")
}

// sameAs reports whether two endpoints lead to one server.
func (e Endpoint) sameAs(f Endpoint) bool {
	return e.Socket != "" && e.Socket == f.Socket || e.API != "" && e.API == f.API
}

// answers reports whether somebody accepts connections at an endpoint.
func answers(e Endpoint) bool { return reach(e) == nil }

func reach(e Endpoint) error {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	conn, err := dialEndpoint(ctx, e)
	if err != nil {
		return err
	}
	return conn.Close()
}

// dialEndpoint connects to the socket where it can be reached, else over TCP.
func dialEndpoint(ctx context.Context, e Endpoint) (net.Conn, error) {
	if e.Socket != "" {
		conn, err := dialSocket(ctx, e.Socket)
		if err == nil {
			return conn, nil
		}
		if e.API == "" {
			return nil, &dialError{err}
		}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", e.API)
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}

// dialError says that nobody was reached, so nothing was sent.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// write writes an endpoint where the user's commands look for it: into the folder that lasts as long as the user is
// logged in, which is this machine's alone, and into one that outlasts it. It returns the files.
func (p places) write(e Endpoint) ([]string, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("write endpoint: %w", err)
	}
	var files []string
	var failed error
	for _, dirs := range [][]string{p.login, p.lasting} {
		for _, dir := range dirs {
			file := filepath.Join(dir, fileName(e))
			err := writeOwn(dir, file, append(body, '\n'))
			if err == nil {
				files = append(files, file)
				break
			}
			failed = errors.Join(failed, err)
		}
	}
	if files == nil {
		return nil, aplomb.NewError(aplomb.CodeListen, "The API's token cannot be written",
			fmt.Sprintf("no folder of this user's own takes it: %v", failed), "set XDG_STATE_HOME to a folder of this user").Because(failed)
	}
	return files, nil
}

func writeOwn(dir, file string, body []byte) error {
	if err := makeOwn(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".endpoint-*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// makeOwn makes a folder that is the user's alone.
func makeOwn(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || !mine(info) {
		return fmt.Errorf("%s: not a folder of this user", dir)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// readEndpoint reads an endpoint's file. One that somebody else wrote, or could have, is as good as absent: it could lead to a
// server that only says that it acted.
func readEndpoint(file string) (Endpoint, error) {
	for _, path := range []string{filepath.Dir(file), file} {
		info, err := os.Lstat(path)
		if err != nil {
			return Endpoint{}, err
		}
		if !mine(info) || info.Mode().Perm()&0o077 != 0 || info.Mode()&fs.ModeSymlink != 0 {
			return Endpoint{}, fmt.Errorf("%s: not this user's alone", path)
		}
	}
	body, err := os.ReadFile(file)
	if err != nil {
		return Endpoint{}, err
	}
	var e Endpoint
	if err := json.Unmarshal(body, &e); err != nil {
		return Endpoint{}, fmt.Errorf("read %s: %w", file, err)
	}
	return e, nil
}

// removeEndpoint removes a file that still says what this server wrote.
func removeEndpoint(file string, e Endpoint) {
	if is, err := readEndpoint(file); err == nil && is.PID == e.PID && is.Token == e.Token {
		os.Remove(file)
	}
}

func mine(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}

func alive(pid int) bool { return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// places are the folders in which an endpoint may stand.
type places struct {
	login   []string // made at login and gone at the last logout; of this machine alone
	lasting []string // there whoever is logged in
	also    []string // looked into for an address that was named, never for "the only server"
}

// userPlaces are this user's places. A server and a command may have been started with different environments: what needs
// none is looked into as well. A HOME that was set to something else keeps servers apart all the same, as tests want it.
func userPlaces(getenv func(string) string) places {
	uid := os.Getuid()
	var p places
	if base := getenv("XDG_RUNTIME_DIR"); ownFolder(base) {
		p.login = append(p.login, filepath.Join(base, "aplomb"))
	}
	if base := getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		p.lasting = append(p.lasting, filepath.Join(base, "aplomb"))
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		p.lasting = append(p.lasting, filepath.Join(home, stateFolder))
	}
	if base := fmt.Sprintf("/run/user/%d", uid); ownFolder(base) {
		p.also = append(p.also, filepath.Join(base, "aplomb"))
	}
	if home := account("/etc/passwd", uid).home; filepath.IsAbs(home) {
		p.also = append(p.also, filepath.Join(home, stateFolder))
	}
	if p.lasting == nil {
		p.lasting, p.also = p.also, nil
	}
	p.lasting = append(p.lasting, filepath.Join(os.TempDir(), fmt.Sprintf("aplomb-%d", uid)))
	return p
}

// stateFolder is where a user's state lies when XDG_STATE_HOME does not say.
const stateFolder = ".local/state/aplomb"

func ownFolder(path string) bool {
	info, err := os.Stat(path)
	return filepath.IsAbs(path) && err == nil && info.IsDir() && mine(info)
}

// fileName names an endpoint's file by the address that a command gives, or by the socket where there is no other door.
func fileName(e Endpoint) string {
	if e.API == "" {
		sum := aplomb.Sum([]byte(e.Socket))
		return "socket-" + hex.EncodeToString(sum[:6]) + ".json"
	}
	host, port, _ := net.SplitHostPort(e.API)
	return strings.ReplaceAll(host, ":", "-") + "_" + port + ".json"
}

// reachable writes an address as a client on this machine reaches it: the same way for ":9400", "localhost:9400" and
// "0.0.0.0:9400", and without asking DNS.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	switch strings.ToLower(host) {
	case "", "localhost", "0.0.0.0", "::":
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
