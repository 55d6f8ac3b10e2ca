package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"aplomb"
	"aplomb/blob"
	"aplomb/journal"
	"aplomb/release"
)

// lockFolder opens a data folder that no server uses, for a command that works without one.
func lockFolder(dir, who string) (*journal.FolderLock, error) {
	if info, err := os.Stat(filepath.Join(dir, "journal")); err != nil || !info.IsDir() {
		return nil, aplomb.NewError(aplomb.CodeNoFolder, fmt.Sprintf("%s is not a data folder", dir), "it holds no journal/", "name the folder that aplomb up was given: --dir DIR")
	}
	return journal.Lock(dir, who)
}

// quiet is the log of a command: what matters is in its result.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// verifyFolder walks the chains of a data folder. It works on a copy: opening a journal repairs what a crash left, and who
// verifies must not change a byte.
func (c *call) verifyFolder(ctx context.Context, dir string) (list []release.Verified, err error) {
	lock, err := lockFolder(dir, "aplomb audit verify")
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	copied, err := os.MkdirTemp("", "aplomb-verify-")
	if err != nil {
		return nil, fmt.Errorf("copy the journal: %w", err)
	}
	defer os.RemoveAll(copied)
	if err := os.CopyFS(filepath.Join(copied, "journal"), os.DirFS(filepath.Join(dir, "journal"))); err != nil {
		return nil, fmt.Errorf("copy the journal: %w", err)
	}
	j, err := journal.Open(quiet(), filepath.Join(copied, "journal"), journal.Config{})
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer j.Close()
	sites, err := j.Sites(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the sites: %w", err)
	}
	for _, site := range sites {
		v := release.Verified{Site: site, OK: true}
		if v.Entries, v.Head, err = j.Verify(ctx, site); err != nil {
			v.OK, v.Problem = false, strings.ReplaceAll(err.Error(), copied, dir)
		}
		list = append(list, v)
	}
	return list, nil
}

// recoverFolder recovers one site of a data folder. It opens the same parts as a server does, and lets nobody in.
func (c *call) recoverFolder(ctx context.Context, dir, reason string) (r release.Recovered, err error) {
	site, err := c.namedSite()
	if err != nil {
		return r, err
	}
	lock, err := lockFolder(dir, "aplomb recover")
	if err != nil {
		return r, err
	}
	h := &house{c: c, lg: quiet(), dir: dir, parts: newParts(quiet()), damaged: make(chan blob.Damage, 256)}
	h.machine = h.machine.over(machineSettings{})
	h.parts.opened("lock", lock.Close)
	defer h.parts.stop()
	for _, open := range []func(context.Context) error{h.openBlobs, h.openEdge, h.openLedger, h.openManager} {
		if err := open(ctx); err != nil {
			return r, err
		}
	}
	if site == "" {
		if site, err = onlyDegraded(h.manager.Degraded()); err != nil {
			return r, err
		}
	}
	return h.manager.Recover(ctx, release.Ask{Actor: c.actor(), Why: reason}, site)
}

func onlyDegraded(degraded map[aplomb.SiteName]string) (aplomb.SiteName, error) {
	switch len(degraded) {
	case 0:
		return "", aplomb.NewError(aplomb.CodeHealthy, "nothing is recovered", "the ledger of every site is whole", "aplomb audit verify")
	case 1:
		for site := range degraded {
			return site, nil
		}
	}
	return "", usage("it is not clear which site is meant", countText(len(degraded), "site")+" are degraded", "name one with --site; aplomb status lists them")
}
