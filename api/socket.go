package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"aplomb"
)

// socketName is the socket's name in the data folder.
const socketName = "api.sock"

// socketListener listens on the socket of a data folder.
type socketListener struct {
	*net.UnixListener
	path string
	made fs.FileInfo // the socket as this process made it
}

// listenSocket makes the socket of a data folder, for its owner alone. A socket that a dead process left is replaced; one that
// answers is left alone. The socket appears under its name only when it can be connected to and has its mode.
func listenSocket(dir string) (*socketListener, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, cannotListen(filepath.Join(dir, socketName), err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, cannotListen(filepath.Join(dir, socketName), err)
	}
	path := filepath.Join(dir, socketName)
	if conn, err := dialSocket(context.Background(), path); err == nil {
		conn.Close()
		return nil, aplomb.NewError(aplomb.CodeLocked, "Not started",
			"another process already answers on "+path, "aplomb status")
	}
	fresh := socketName + "." + strconv.Itoa(os.Getpid())
	if err := os.Remove(filepath.Join(dir, fresh)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, cannotListen(path, err)
	}
	var l *net.UnixListener
	err := throughFolder(dir, fresh, func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, cannotListen(path, err)
	}
	l.SetUnlinkOnClose(false)
	made, err := place(dir, fresh)
	if err != nil {
		l.Close()
		os.Remove(filepath.Join(dir, fresh))
		return nil, cannotListen(path, err)
	}
	return &socketListener{UnixListener: l, path: path, made: made}, nil
}

// place gives a new socket its mode and then its name.
func place(dir, fresh string) (fs.FileInfo, error) {
	from := filepath.Join(dir, fresh)
	if err := os.Chmod(from, 0o600); err != nil {
		return nil, err
	}
	made, err := os.Lstat(from)
	if err != nil {
		return nil, err
	}
	return made, os.Rename(from, filepath.Join(dir, socketName))
}

// remove removes the socket, unless another process has put its own in its place.
func (l *socketListener) remove() {
	if is, err := os.Lstat(l.path); err == nil && os.SameFile(is, l.made) {
		os.Remove(l.path)
	}
}

// Addr returns the socket's name in the data folder.
func (l *socketListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// dialSocket connects to a socket, wherever its folder is.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	var conn net.Conn
	err := throughFolder(filepath.Dir(path), filepath.Base(path), func(short string) (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", short)
		return err
	})
	return conn, err
}

// throughFolder calls use with a name of dir/name that fits a socket's address, which holds about a hundred bytes.
func throughFolder(dir, name string, use func(short string) error) error {
	const most = len(unix.RawSockaddrUnix{}.Path) - 1
	if path := filepath.Join(dir, name); len(path) <= most {
		return use(path)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return use(fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name))
}

type peerKey struct{}

// peer is the process at the other end of a socket.
type peer struct {
	uid int
	err error
}

// withPeer notes who connected through a socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid, err := peerUID(conn)
	return context.WithValue(ctx, peerKey{}, peer{uid, err})
}

// peerUID asks the kernel which user's process connected.
func peerUID(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { cred, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return -1, err
	}
	if asked != nil {
		return -1, fmt.Errorf("ask for the peer: %w", asked)
	}
	return int(cred.Uid), nil
}

// cannotListen says why a door does not open.
func cannotListen(where string, err error) error {
	why := err
	if op, ok := errors.AsType[*net.OpError](err); ok {
		why = op.Err
	}
	return aplomb.NewError(aplomb.CodeListen, "The API cannot listen on "+where, why.Error(),
		"free it, or choose another: aplomb up --dir DIR --api 127.0.0.1:9400").Because(err)
}
