package main

import (
	"fmt"
	"path/filepath"
)

// settle finds the data folder and the machine's settings.
func (h *house) settle(f upFlags) (err error) {
	if h.dir == "" {
		if h.dir, err = defaultDir(h.c.getenv); err != nil {
			return err
		}
	}
	if h.dir, err = filepath.Abs(h.dir); err != nil {
		return fmt.Errorf("resolve the data folder: %w", err)
	}
	read, err := loadMachine(h.dir)
	h.machine = read.over(f.machine)
	if err == nil {
		err = h.machine.check()
	}
	if err == nil || !h.hasServed() {
		return err
	}
	var bad error
	if h.machine, bad = leastMachine(read, f.machine); bad != nil {
		return bad // the flags themselves cannot be used
	}
	h.trouble(err)
	return nil
}

// leastMachine makes of settings that cannot all be used those that can: what was read of them, at least without HTTPS, at
// least the flags and the defaults.
func leastMachine(read, flags machineSettings) (machineSettings, error) {
	var err error
	for _, m := range []machineSettings{read, read.withoutHTTPS(), {}} {
		m = m.over(flags)
		if err = m.check(); err == nil {
			return m, nil
		}
	}
	return machineSettings{}, err
}

// hasServed reports whether the edge left anything to be served: then nothing but an address that cannot be listened on, or
// another server of the same folder, keeps this one from serving it.
func (h *house) hasServed() bool {
	files, err := filepath.Glob(filepath.Join(h.dir, "state", "*.json*"))
	return err == nil && len(files) > 0
}
