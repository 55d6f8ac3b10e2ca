// Bench measures the program as its users meet it, each figure next to what they would use instead, in the same run. It
// prints a table of ratios; single times are the machine's business. It does not judge.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// run is one call of this program: where it works, and what it has found.
type run struct {
	ctx    context.Context
	dir    string // everything is written below it, and removed at the end
	binary string // aplomb
	rounds int
	match  string // of static: only workloads whose name has it
	full   bool   // of backup: releases of 300 MB instead of 30 MB
	rows   []row
}

// row is one line of the table.
type row struct {
	what, ours, anchor, ratio, goal string
	met                             bool
}

var parts = []struct {
	name string
	do   func(*run) error
}{
	{"deploy", (*run).deploys},
	{"rollback", (*run).rollbacks},
	{"load", (*run).load},
	{"static", (*run).static},
	{"proxy", (*run).proxy},
	{"memory", (*run).memory},
	{"backup", (*run).backups},
}

func main() {
	rounds := flag.Int("rounds", 5, "how often each pair is measured; the median counts")
	only := flag.String("only", "", "comma-separated parts: deploy, rollback, load, static, proxy, memory, backup")
	match := flag.String("match", "", "of static: only the workloads whose name has this in it, such as \"h1 304\"")
	full := flag.Bool("full", false, "of backup: ten releases of 300 MB instead of 30 MB")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, *rounds, *only, *match, *full); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, rounds int, only, match string, full bool) error {
	dir, err := os.MkdirTemp("", "aplomb-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &run{ctx: ctx, dir: dir, binary: filepath.Join(dir, "aplomb"), rounds: rounds, match: match, full: full}
	if err := r.command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", r.binary, "./cmd/aplomb"); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	for _, p := range parts {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", p.name)
		if err := p.do(r); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	r.print()
	return nil
}

// add notes one figure; met says whether the goal is reached.
func (r *run) add(what, ours, anchor, ratio, goal string, met bool) {
	r.rows = append(r.rows, row{what, ours, anchor, ratio, goal, met})
	fmt.Fprintf(os.Stderr, "bench: %s: %s, %s: %s (goal %s)\n", what, ours, anchor, ratio, goal)
}

// ratio notes the median of ours over the median of the anchor's.
func (r *run) ratio(what string, ours, anchor []float64, unit, anchorName string, most float64) {
	a, b := median(ours), median(anchor)
	r.add(what, number(a)+" "+unit, fmt.Sprintf("%s %s %s", anchorName, number(b), unit), number(a/b), "≤ "+number(most), a/b <= most)
}

func (r *run) print() {
	fmt.Printf("%s, %s, %d cores, %s\n\n", time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), cpu())
	fmt.Println("| what | Aplomb | anchor in the same run | ratio or count | goal | |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, w := range r.rows {
		word := "**missed**"
		if w.met {
			word = "met"
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", w.what, w.ours, w.anchor, w.ratio, w.goal, word)
	}
}

func cpu() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown processor"
}

func median(v []float64) float64 { return quantile(v, 0.5) }

func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
