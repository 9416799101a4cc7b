// Bench compares the main paths with what one would otherwise use, side by
// side in one run:
//
//	go run ./internal/bench              lists the scenarios
//	go run ./internal/bench blockcopy    runs one, as a table
//	go run ./internal/bench -json all    runs all, a JSON row a line
//	go run ./internal/bench -size 2G -size 8G blockcopy
//
// A ratio is better the larger it is: how many times the peer's cost ours is
// of. A missed target is printed as missed, and the exit code stays 0: a
// benchmark is no test.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"
)

// Row is one comparison.
type Row struct {
	Scenario string  `json:"scenario"`
	Metric   string  `json:"metric"` // with its unit; less is better
	Ours     float64 `json:"ours"`
	Peer     float64 `json:"peer"`
	PeerName string  `json:"peer_name"`
	Ratio    float64 `json:"ratio"`  // Peer / Ours
	Target   float64 `json:"target"` // of Ratio; 0: none was set
	OK       bool    `json:"ok"`     // Ratio >= Target
	Note     string  `json:"note,omitempty"`
}

// ifMissed says why a target may be missed.
func (r Row) ifMissed(why string) Row {
	if !r.OK {
		r.Note = why
	}
	return r
}

// compare fills in what follows from the numbers.
func compare(scenario, metric, peerName string, ours, peer, target float64) Row {
	r := Row{Scenario: scenario, Metric: metric, Ours: ours, Peer: peer, PeerName: peerName, Target: target}
	if ours > 0 {
		r.Ratio = peer / ours
	}
	r.OK = r.Ratio >= target
	return r
}

// scenario measures one path.
type scenario struct {
	name, about string
	needs       string // what it needs beyond Go, for people
	run         func(context.Context) ([]Row, error)
}

func main() {
	asJSON := flag.Bool("json", false, "print a JSON row a line")
	var sizes sizes
	flag.Var(&sizes, "size", "size of the volumes of blockcopy and replica, as 2G; may be repeated")
	flag.Usage = func() { usage(os.Stderr) }
	flag.Parse()
	if flag.NArg() != 1 {
		usage(os.Stdout)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, scenarios(sizes), flag.Arg(0), *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: bench [-json] [-size SIZE] NAME | all")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range scenarios(nil) {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", s.name, s.about, s.needs)
	}
	t.Flush()
}

func run(ctx context.Context, out io.Writer, all []scenario, name string, asJSON bool) error {
	found := false
	for _, s := range all {
		if s.name != name && name != "all" {
			continue
		}
		found = true
		rows, err := s.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := show(out, rows, asJSON); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("no scenario %q; bench alone lists them", name)
	}
	return nil
}

func show(out io.Writer, rows []Row, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		for _, r := range rows {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SCENARIO\tMETRIC\tOURS\tPEER\t\tRATIO\tTARGET\t")
	for _, r := range rows {
		target, verdict := "-", ""
		if r.Target > 0 {
			target, verdict = fmt.Sprintf(">= %.3g", r.Target), "met"
			if !r.OK {
				verdict = "MISSED"
			}
		}
		if r.Note != "" {
			verdict += ": " + r.Note
		}
		fmt.Fprintf(t, "%s\t%s\t%.4g\t%.4g\t%s\t%.3g\t%s\t%s\n", r.Scenario, r.Metric, r.Ours, r.Peer, r.PeerName, r.Ratio, target, verdict)
	}
	return t.Flush()
}

// timed returns how long f takes.
func timed(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}
