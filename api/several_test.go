package api

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aplomb"
)

func TestWhereSeveralServersAnswerNoneIsChosen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := places{lasting: []string{dir}}
	var sockets []string
	for _, name := range []string{"b", "a", "gone"} {
		data := filepath.Join(t.TempDir(), name)
		if name != "gone" {
			l, err := listenSocket(data)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}
		e := Endpoint{Socket: filepath.Join(data, socketName), Dir: data}
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeOwn(dir, filepath.Join(dir, fileName(e)), body); err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, e.Socket)
	}
	_, err := p.only()
	e, ok := errors.AsType[*aplomb.Error](err)
	if !ok || e.Code != aplomb.CodeUsage || e.Production == "" || !strings.HasPrefix(e.Do, "name one: --api ") {
		t.Fatalf("only() = %+v, want a refusal", err)
	}
	for _, socket := range sockets[:2] {
		if want := "--api " + socket + ": data folder " + filepath.Dir(socket); !strings.Contains(e.Why, want) {
			t.Errorf("why = %q, want it to name %q", e.Why, want)
		}
	}
	if strings.Contains(e.Why, sockets[2]) {
		t.Errorf("why = %q names a server that does not answer", e.Why)
	}
	if err := os.RemoveAll(filepath.Dir(sockets[0])); err != nil {
		t.Fatal(err)
	}
	if got, err := p.only(); err != nil || got.Socket != sockets[1] {
		t.Errorf("only() = %v, %v, want the one that answers", got, err)
	}
}
