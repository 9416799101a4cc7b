package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// A tool is the state of one call.
type tool struct {
	json, verbose bool
}

func command() *cobra.Command {
	t := &tool{}
	root := &cobra.Command{
		Use:           "lab",
		Short:         "real Xen hosts under QEMU",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().BoolVar(&t.json, "json", false, "print JSON")
	root.PersistentFlags().BoolVarP(&t.verbose, "verbose", "v", false, "tell each command that runs")
	root.AddCommand(
		t.build(), t.up(), t.status(), t.ssh(), t.put(), t.get(), t.test(),
		t.hosts("save [HOST...]", "keep the running state for the next up", (*xenlab.Lab).Save),
		t.host("kill HOST", "power failure: the host is gone at once", (*xenlab.Host).Kill),
		t.host("boot HOST", "power on: a cold boot from the disks as they are", (*xenlab.Host).Boot),
		t.down(), t.reset(),
	)
	return root
}

func (t *tool) options() *xenlab.Options {
	level := slog.LevelInfo
	if t.verbose {
		level = slog.LevelDebug
	}
	return &xenlab.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
}

// take opens the lab for a command that changes it.
func (t *tool) take(cmd *cobra.Command, do func(*xenlab.Lab) error) error {
	l, err := xenlab.Open(cmd.Context(), "", t.options())
	if err != nil {
		return err
	}
	defer l.Close()
	return do(l)
}

// join opens it for a command that looks at hosts, or talks to one.
func (t *tool) join(host string, do func(*xenlab.Host) error) error {
	l, err := xenlab.Join("", t.options())
	if err != nil {
		return err
	}
	h, err := l.Host(host)
	if err != nil {
		return err
	}
	if !h.Running() {
		return fmt.Errorf("lab: %s has no power", host)
	}
	return do(h)
}

// print prints v as JSON, or as text.
func (t *tool) print(cmd *cobra.Command, v any, text string) error {
	if !t.json {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
		return err
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}
