package journal

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReserveTakesItsSpaceAndGivesItBack(t *testing.T) {
	t.Parallel()
	const size = 300 << 10
	path := filepath.Join(t.TempDir(), "reserve")
	for range 2 { // made, then found
		r, err := OpenReserve(path, size)
		if err != nil || !r.Held() {
			t.Fatalf("OpenReserve = %v, held %v", err, r.Held())
		}
		info, err := os.Stat(path)
		if err != nil || taken(info) < size {
			t.Fatalf("the file takes %d bytes, %v, want %d", taken(info), err, size)
		}
	}
	r, err := OpenReserve(path, size)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Free(); err != nil || r.Held() || exists(path) {
		t.Errorf("Free = %v, held %v, file there %v", err, r.Held(), exists(path))
	}
	if err := r.Free(); err != nil {
		t.Errorf("second Free: %v", err)
	}
	if err := r.Refill(); err != nil || !r.Held() || !exists(path) {
		t.Errorf("Refill = %v, held %v, file there %v", err, r.Held(), exists(path))
	}
}

func TestReserveThatTakesNoSpaceIsMadeAgain(t *testing.T) {
	t.Parallel()
	const size = 300 << 10
	path := filepath.Join(t.TempDir(), "reserve")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil { // a hole
		t.Fatal(err)
	}
	if _, err := OpenReserve(path, size); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || taken(info) < size {
		t.Errorf("the file takes %d bytes, %v, want %d", taken(info), err, size)
	}
}

func TestReserveIsWrittenWhereItCannotBeAllocated(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "reserve"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeOut(f, 100_001); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != 100_001 || taken(info) < info.Size() {
		t.Errorf("size %d, takes %d, %v", info.Size(), taken(info), err)
	}
}
