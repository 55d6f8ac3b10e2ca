package journal

import (
	"context"
	"fmt"

	"aplomb"
	"aplomb/ledger"
)

// removedEnd marks the folder of a site that has ended.
const removedEnd = ".removed-"

// SetAside implements ledger.Ledger: the site's folder stays, whole and readable, under another name.
func (j *Journal) SetAside(ctx context.Context, name aplomb.SiteName) (string, error) {
	s, err := j.lookup(name)
	if err != nil {
		return "", err
	}
	if err := s.acquire(ctx); err != nil {
		return "", fmt.Errorf("set %s aside: %w", name, err)
	}
	defer s.release()
	if j.isClosed() {
		return "", ledger.ErrClosed
	}
	s.settle()
	if err := s.refusal(); err != nil {
		return "", err
	}
	s.files.Lock()
	defer s.files.Unlock()
	aside := s.dir + removedEnd + stamp()
	for i := 2; exists(aside); i++ {
		aside = fmt.Sprintf("%s%s%s-%d", s.dir, removedEnd, stamp(), i)
	}
	if exists(s.dir) {
		if err := j.disk.rename(s.dir, aside); err != nil {
			return "", fmt.Errorf("set %s aside: %w", name, spaceless(err))
		}
	}
	if err := j.disk.syncDir(j.dir); err != nil {
		return "", fmt.Errorf("set %s aside: %w", name, spaceless(err))
	}
	if err := s.close(); err != nil {
		j.lg.Warn("segment not closed", "site", name, "err", err)
	}
	j.mu.Lock()
	delete(j.sites, name)
	j.mu.Unlock()
	j.lg.Info("ledger set aside", "site", name, "aside", aside)
	return aside, nil
}
