package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"aplomb"
)

// The test binary plays other processes: a writer that is killed, one that holds a lock, one on a small disk.
const (
	roleEnv = "APLOMB_TEST_ROLE"
	dirEnv  = "APLOMB_TEST_DIR"
)

func play(role string) int {
	dir := os.Getenv(dirEnv)
	var err error
	switch role {
	case "append":
		err = appendForEver(dir)
	case "lock":
		err = holdLock(dir)
	case "full":
		err = fillDisk(dir)
	default:
		err = fmt.Errorf("unknown role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// appendForEver appends to one site and prints each n once it is acknowledged.
func appendForEver(dir string) error {
	j, err := Open(quiet(), dir, Config{SegmentFacts: 7, Recent: 5})
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := j.Load(ctx, "shop")
	if err != nil && !errors.Is(err, aplomb.ErrNotFound) {
		return err
	}
	h := s.Head
	for {
		if h, err = j.Append(ctx, "shop", h, noteOf(h.N+1), writesOf(h.N+1)); err != nil {
			return err
		}
		if _, err := os.Stdout.WriteString(strconv.FormatInt(h.N, 10) + "\n"); err != nil {
			return err
		}
	}
}

// holdLock takes the lock, says so or why not, and holds it until its input ends.
func holdLock(dir string) error {
	l, err := Lock(dir, "aplomb up")
	if err != nil {
		fmt.Println(err)
		return nil
	}
	defer l.Close()
	fmt.Println("locked")
	var b [1]byte
	os.Stdin.Read(b[:])
	return nil
}
