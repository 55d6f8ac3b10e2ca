package e2e_test

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadOnlyDataFolderIsServedAndRolledBack promises that a disk that turned read-only, as disks do when they fail, takes
// away neither the site at the next start nor the way back.
func TestReadOnlyDataFolderIsServedAndRolledBack(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("this test mounts a small file system and has to be run by root: sudo go test ./e2e -run TestReadOnly")
	}
	m := newMachine(t)
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", m.dir, "tmpfs", 0, "size=48m,mode=0700"); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(m.dir, 0); err != nil {
			t.Errorf("unmount %s: %v", m.dir, err)
		}
	})
	t.Cleanup(func() { m.kill(t) })
	m.start(t)
	one, two := newFrontEnd(t, "one", 3, nil), newFrontEnd(t, "two", 3, nil)
	m.deploy(t, one.dir)
	m.deploy(t, two.dir)
	m.stop(t)
	if err := syscall.Mount("", m.dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("make it read-only: %v", err)
	}
	m.launch(t)
	select {
	case line := <-m.server.ready:
		if line != "READY degraded" {
			t.Errorf("the server says %q, want READY degraded", line)
		}
	case <-time.After(patience):
		t.Fatalf("not ready:\n%s", m.server.log)
	}
	v := newVisitor(t, shopHost, m.listen)
	if a := v.navigate(t, "/"); a.status != http.StatusOK || markerOf(a.body) != two.marker {
		t.Errorf("the site answers %v, want %q", a, two.marker)
	}
	if o := m.try(t, "deploy", newFrontEnd(t, "three", 3, nil).dir, "--site", "shop"); o.code != 10 {
		t.Errorf("a deploy: %v\nwant exit 10", o)
	}
	if b := m.rollback(t); b.From != "r2" || b.To != "r1" || b.Recorded == nil || *b.Recorded {
		t.Errorf("rollback = %+v, want r2 to r1, not recorded", b)
	}
	if a := v.navigate(t, "/"); a.status != http.StatusOK || markerOf(a.body) != one.marker {
		t.Errorf("after the rollback the site answers %v, want %q", a, one.marker)
	}
	var s struct {
		Live     string
		Unsaved  bool `json:"edge_state_unsaved"`
		Sentence string
	}
	if m.run(t, &s, "status", "--site", "shop"); s.Live != "r1" || !s.Unsaved || !strings.Contains(s.Sentence, "a restart would serve what was before") {
		t.Errorf("status = %+v, want r1, and that a restart would not serve it", s)
	}
}
