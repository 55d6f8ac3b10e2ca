package api

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aplomb"
)

func TestTakenPortLeavesTheSocketOpenAndIsNamedAsMissing(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s, _ := bareServer(t, Config{Dir: t.TempDir(), Listen: taken.Addr().String()})
	defer s.Close()
	missing := s.OpenSome()
	if len(missing) != 1 || !isCode(missing[0], aplomb.CodeListen) || !strings.Contains(missing[0].Error(), taken.Addr().String()) {
		t.Errorf("OpenSome = %v, want the port named", missing)
	}
	if got := s.Missing(); len(got) != 1 || got[0] != missing[0] {
		t.Errorf("Missing = %v, want the same", got)
	}
	if conn, err := dialSocket(t.Context(), s.Endpoint().Socket); err != nil {
		t.Errorf("the socket: %v, want it open", err)
	} else {
		conn.Close()
	}
}

func TestSocketThatCannotHaveItsNameLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, socketName, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, _ := bareServer(t, Config{Dir: dir})
	defer s.Close()
	if missing := s.OpenSome(); len(missing) != 1 || !isCode(missing[0], aplomb.CodeListen) {
		t.Errorf("OpenSome = %v, want the socket named", missing)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v; want only what was there", left, err)
	}
}
