package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const pageSize = 4096

// TestDiskFull fills the disk of the data folder to every last page at which a deploy could meet its end. Whatever happens
// then, the site is served, a deploy that fails leaves production as it was, and a rollback works with no byte left.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("this test mounts a small file system and has to be run by root: sudo go test ./e2e -run TestDiskFull")
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
	d := &fullDisk{m: m, v: newVisitor(t, shopHost, m.listen), markers: map[string]string{}, filler: filepath.Join(m.dir, "filler")}
	for range 3 {
		d.deploy(t)
	}

	full, fit := 0, 0
	for pages := 0; pages < 60 && fit < 3; pages += 1 + pages/12 {
		if d.deployWith(t, pages) {
			fit++
		} else {
			full++
		}
		if !d.rollbackWithNothingLeft(t) {
			t.Error("the rollback was not recorded, although room is kept for it")
		}
		if pages%4 == 0 {
			d.restartWithNothingLeft(t)
		}
		left := d.live
		d.rollbackWithNothingLeft(t) // the room kept is spent now: it may go unrecorded, not undone
		if pages%3 == 0 {
			d.restartWithNothingLeft(t) // nor forgotten
		}
		d.promoteWithNothingLeft(t, left)
		d.free(t)
		d.m.stop(t)
		d.m.start(t) // room is kept again
		d.deploy(t)
		d.deploy(t)
		if t.Failed() {
			t.Fatalf("with %d pages left", pages)
		}
	}
	t.Logf("%d deploys found the disk full, %d found room", full, fit)
	if full < 6 || fit == 0 {
		t.Errorf("%d deploys found the disk full and %d found room: not every write was met", full, fit)
	}
	m.verify(t)
}

// fullDisk is a machine whose data folder is on a disk that can be filled to the last page.
type fullDisk struct {
	m       *machine
	v       *visitor
	filler  string
	next    int
	markers map[string]string // of releases
	live    string
}

// deploy puts a new front end live, which has to work.
func (d *fullDisk) deploy(t *testing.T) {
	t.Helper()
	f := d.frontEnd(t)
	r := d.m.deploy(t, f.dir)
	d.markers[r.Release], d.live = f.marker, r.Release
	d.check(t)
}

func (d *fullDisk) frontEnd(t *testing.T) frontEnd {
	t.Helper()
	d.next++
	return newFrontEnd(t, fmt.Sprintf("end%d", d.next), 3, nil)
}

// check asks for the site: it shows the live release, and status says so.
func (d *fullDisk) check(t *testing.T) {
	t.Helper()
	if a := d.v.navigate(t, "/"); a.status != http.StatusOK || markerOf(a.body) != d.markers[d.live] {
		t.Errorf("the site answers %v, want %s, marker %q", a, d.live, d.markers[d.live])
	}
	var s struct{ Live string }
	if d.m.run(t, &s, "status", "--site", "shop"); s.Live != d.live {
		t.Errorf("status says %q is live, want %s", s.Live, d.live)
	}
}

// deployWith tries a deploy with so many pages left, and says whether it went live.
func (d *fullDisk) deployWith(t *testing.T, pages int) bool {
	t.Helper()
	d.fill(t, pages)
	f := d.frontEnd(t)
	o := d.m.try(t, "deploy", f.dir, "--site", "shop", "--json")
	switch o.code {
	case 0:
		var r deployed
		o.decode(t, &r)
		d.markers[r.Release], d.live = f.marker, r.Release
	case 3:
	default:
		t.Errorf("a deploy with %d pages left: %v\nwant exit 3", pages, o)
	}
	d.check(t)
	return o.code == 0
}

// rollbackWithNothingLeft takes production back with the disk filled to the last byte, and says whether that was recorded.
func (d *fullDisk) rollbackWithNothingLeft(t *testing.T) bool {
	t.Helper()
	d.fill(t, 0)
	b := d.m.rollback(t)
	if b.From != d.live || d.markers[b.To] == "" || b.To == d.live {
		t.Errorf("rollback = %+v, want from %s to one before", b, d.live)
	}
	d.live = b.To
	d.check(t)
	return b.Recorded == nil || *b.Recorded
}

// promoteWithNothingLeft tries to go forward again. Whether it works or not, its exit code says what visitors see.
func (d *fullDisk) promoteWithNothingLeft(t *testing.T, release string) {
	t.Helper()
	o := d.m.try(t, "promote", release, "--site", "shop", "--reason", "it was fine", "--json")
	if o.code == 0 {
		d.live = release
	}
	if d.check(t); t.Failed() {
		t.Log(o)
	}
}

// restartWithNothingLeft ends the server and starts it again with the disk still full.
func (d *fullDisk) restartWithNothingLeft(t *testing.T) {
	t.Helper()
	d.m.kill(t)
	d.m.start(t)
	d.check(t)
}

// fill fills the disk so that only so many pages are left.
func (d *fullDisk) fill(t *testing.T, pages int) {
	t.Helper()
	d.free(t)
	f, err := os.Create(d.filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for _, chunk := range []int{1 << 20, pageSize} {
		zeros := make([]byte, chunk)
		for err = nil; err == nil; {
			var n int
			n, err = f.WriteAt(zeros, size)
			size += int64(n)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(max(0, size-int64(pages)*pageSize)); err != nil {
		t.Fatal(err)
	}
}

// free gives the disk its room back.
func (d *fullDisk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.filler); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}
