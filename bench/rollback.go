package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// smallSite writes a front end of a few files whose document says key.
func (r *run) smallSite(key string) (string, error) {
	dir := filepath.Join(r.dir, "small-"+key)
	assets := filepath.Join(dir, "assets")
	if err := os.MkdirAll(assets, 0o755); err != nil {
		return "", err
	}
	page := fmt.Sprintf("<!doctype html><meta charset=utf-8><title>%s</title><script type=module src=/assets/app-Bq7%sZx1.js></script>", key, key)
	for len(page) < 2000 {
		page += "<p>a line of the page</p>"
	}
	for name, b := range map[string]string{
		"index.html": page,
		filepath.Join("assets", "app-Bq7"+key+"Zx1.js"): "document.body.append('" + key + "')",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// rollbacks measures the command from its start to its exit, and the switch inside the edge.
func (r *run) rollbacks() error {
	s, err := r.up(false)
	if err != nil {
		return err
	}
	defer s.stop()
	many, err := r.manySite()
	if err != nil {
		return err
	}
	if _, err := r.deploy(s, many); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(many, "index.html"), []byte("<!doctype html><title>next</title>"), 0o644); err != nil {
		return err
	}
	if _, err := r.deploy(s, many); err != nil {
		return err
	}
	var whole, routing, bare []float64
	for range max(50, 10*r.rounds) {
		for _, verb := range []string{"rollback", "undo"} {
			var said map[string]any
			ms, err := timed(func() error { said, err = r.aplomb(s, verb, "--site", "shop"); return err })
			if err != nil {
				return err
			}
			if verb == "rollback" {
				whole = append(whole, ms)
			}
			for _, done := range said["undone"].([]any) {
				if d := done.(map[string]any); d["what"] == "routing" {
					routing = append(routing, d["ms"].(float64))
				}
			}
			if ms, err = timed(func() error { return exec.Command("/bin/true").Run() }); err != nil {
				return err
			}
			bare = append(bare, ms)
		}
	}
	m := median(whole)
	r.add("`aplomb rollback`, start to exit, 10,000 files a release, median", number(m)+" ms", "a process that does nothing "+number(median(bare))+" ms", fmt.Sprintf("p99 %s ms", number(quantile(whole, 0.99))), "≤ 100 ms", m <= 100)
	p := quantile(routing, 0.99)
	r.add("switch inside the edge, p99", number(p)+" ms", "", fmt.Sprintf("median %s ms", number(median(routing))), "≤ 5 ms", p <= 5)
	return nil
}
