package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	backedReleases = 10
	// pacedClients ask a page each, every pacedEvery: a load that leaves the machine room.
	pacedClients = 10
	pacedEvery   = 20 * time.Millisecond
	pacedFor     = 4 * time.Second
)

// backups measures a backup of ten releases beside a copy of the same folders, and what visitors notice of it.
func (r *run) backups() error {
	s, err := r.up(false)
	if err != nil {
		return err
	}
	defer s.stop()
	files := manyFiles / 10
	if r.full {
		files = manyFiles
	}
	for i := range backedReleases {
		dir, err := r.imageSite(i, files)
		if err != nil {
			return err
		}
		if _, err := r.deploy(s, dir); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	var ours, copied []float64
	for i := range r.rounds {
		to := filepath.Join(r.dir, fmt.Sprint("copy-", i))
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		ms, err := r.synced(r.dir, func() error {
			return r.command("cp", "-a", filepath.Join(s.dir, "blobs"), filepath.Join(s.dir, "journal"), to)
		})
		if err != nil {
			return err
		}
		copied = append(copied, ms)
		file := filepath.Join(r.dir, fmt.Sprint("backup-", i))
		if ms, err = r.synced(r.dir, func() error { _, err := r.aplomb(s, "backup", file); return err }); err != nil {
			return err
		}
		ours = append(ours, ms)
	}
	what := fmt.Sprintf("backup of %d releases of %d MB, `sync -f` on both sides", backedReleases, files*fileBytes/1_000_000)
	r.ratio(what, ours, copied, "ms", "`cp -a` of blobs and journal", 1.2)
	return r.served(s)
}

// imageSite writes a front end of which no byte is in another and none compresses.
func (r *run) imageSite(seed, files int) (string, error) {
	dir := filepath.Join(r.dir, fmt.Sprint("images-", seed))
	rnd := rand.NewChaCha8([32]byte{2, byte(seed)})
	b := make([]byte, fileBytes)
	for i := range files {
		folder := filepath.Join(dir, fmt.Sprint(i%100))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", err
		}
		rnd.Read(b)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("image%d-%d.png", seed, i)), b, 0o644); err != nil {
			return "", err
		}
	}
	return dir, os.WriteFile(filepath.Join(dir, "index.html"), fmt.Appendf(nil, "<!doctype html><title>images %d</title>", seed), 0o644)
}

// served measures what visitors wait for at a paced load, with and without backups being made one after the other.
func (r *run) served(s *server) error {
	var quiet, busy []float64
	for range r.rounds {
		ms, err := r.paced(s)
		if err != nil {
			return err
		}
		quiet = append(quiet, quantile(ms, 0.99))
		ctx, stop := context.WithCancel(r.ctx)
		var backing sync.WaitGroup
		var failed error
		backing.Go(func() {
			for ctx.Err() == nil && failed == nil {
				_, failed = r.aplomb(s, "backup", filepath.Join(r.dir, "again"), "--force")
			}
		})
		ms, err = r.paced(s)
		stop()
		backing.Wait()
		if err != nil {
			return err
		}
		if failed != nil {
			return failed
		}
		busy = append(busy, quantile(ms, 0.99))
	}
	r.ratio("served p99 at 500 requests/s while backups are made", busy, quiet, "ms", "without", 1.2)
	return nil
}

// paced asks for pages at a steady rate and returns how long each took from the moment it was due.
func (r *run) paced(s *server) ([]float64, error) {
	all := make([][]float64, pacedClients)
	errs := make([]error, pacedClients)
	var clients sync.WaitGroup
	for i := range pacedClients {
		clients.Go(func() { all[i], errs[i] = pacedClient(s.addr, time.Duration(i)*pacedEvery/pacedClients) })
	}
	clients.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(all...), nil
}

func pacedClient(addr string, after time.Duration) ([]float64, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	br := bufio.NewReader(conn)
	var took []float64
	begun := time.Now().Add(after)
	for due := begun; due.Before(begun.Add(pacedFor)); due = due.Add(pacedEvery) {
		time.Sleep(time.Until(due))
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return nil, err
		}
		resp.Body.Close()
		took = append(took, float64(time.Since(due).Microseconds())/1000)
	}
	return took, nil
}
