// Agent runs in each dom0 that takes part in moves.
//
//	agent serve    answers another host on stdin and stdout; ssh starts it
//	agent boot     after power-on: fence, ask the peers of the settings, network, start what
//	               should run
//	agent run      the same, then stays: restarts guests that nobody else would, keeps
//	               rates in force and ends throttles; the one service that a dom0 needs
//	agent list     what this host has
//
// In the other host's ~/.ssh/authorized_keys it is a forced command:
//
//	command="/usr/local/bin/xenhost-agent serve",restrict ssh-ed25519 AAAA… root@curacao
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/xen/events"
	"github.com/xenhost/xenhost/xen/host"
)

func main() {
	var flags cli.Flags
	root := &cobra.Command{Use: "agent", Short: "the part of xenhost that runs in a dom0"}
	flags.Add(root)
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "answer another host on stdin and stdout", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				h, err := flags.Open()
				if err != nil {
					return err
				}
				return migrate.Serve(c.Context(), h, stdio{os.Stdin, os.Stdout}, &migrate.ServeOptions{Log: flags.Log()})
			}},
		&cobra.Command{Use: "boot", Short: "after power-on: fence, network, start what should run", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				h, err := flags.Open()
				if err != nil {
					return err
				}
				report, err := h.Boot(c.Context())
				printErr := flags.Print(c.OutOrStdout(), report, func(w io.Writer) {
					fmt.Fprintf(w, "fenced\t%d\nstarted\t%d\nrunning\t%d\nunfinished\t%d\nsuperseded\t%d\n",
						len(report.Fenced), len(report.Started), len(report.Running), len(report.Unfinished), len(report.Superseded))
					for _, peer := range report.Unheard {
						fmt.Fprintf(w, "no answer\t%s\n", peer)
					}
				})
				if err != nil {
					return err
				}
				return printErr
			}},
		run(&flags),
		&cobra.Command{Use: "list", Short: "what this host has", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				h, err := flags.Open()
				if err != nil {
					return err
				}
				all, err := h.Guests(c.Context())
				if err != nil {
					return err
				}
				return flags.Print(c.OutOrStdout(), all, func(w io.Writer) { table(w, all) })
			}},
	)
	cli.Main(root, nil)
}

// run is boot, and then all that must be resident, until SIGTERM. It logs on
// stderr.
func run(flags *cli.Flags) *cobra.Command {
	var opts host.SuperviseOptions
	c := &cobra.Command{Use: "run", Short: "as boot, then restart guests that nobody else would, and keep rates", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := flags.Log()
			if log == nil {
				log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			}
			h, err := cli.Open(flags.Settings, log)
			if err != nil {
				return err
			}
			return stay(c.Context(), func(ctx context.Context) error {
				if _, err := h.Boot(ctx); err != nil {
					log.Error("boot", "error", err) // one guest that can not start is no reason to leave the others alone
				}
				bell := events.Xenstore(&events.XenstoreOptions{Log: log})
				defer bell.Close()
				return h.Supervise(ctx, bell, &opts)
			}, h.KeepRates)
		}}
	c.Flags().DurationVar(&opts.Patience, "patience", 30*time.Second, "how long xl's own monitor has to act")
	return c
}

// stay does all works at the same time until one fails, which is its error, or
// ctx ends, which is none.
func stay(ctx context.Context, works ...func(context.Context) error) error {
	all, end := context.WithCancelCause(ctx)
	defer end(nil)
	var wait sync.WaitGroup
	for _, work := range works {
		wait.Go(func() { end(work(all)) })
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(all)
}

func table(w io.Writer, all []host.Status) {
	fmt.Fprintln(w, "NAME\tOWNER\tEPOCH\tDOMAIN\tMEMORY\tUUID")
	for _, s := range all {
		domain := "-"
		if s.Domain != nil {
			domain = fmt.Sprintf("%d %s", s.Domain.ID, s.Domain.State)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", s.Guest.Name, s.Owner.State, s.Owner.Epoch, domain, cli.Bytes(s.Guest.Memory), s.Owner.UUID)
	}
}

// stdio is the connection that ssh gives an agent.
type stdio struct {
	io.Reader
	out *os.File
}

func (s stdio) Write(p []byte) (int, error) { return s.out.Write(p) }

// Close ends both directions.
func (s stdio) Close() error { return s.out.Close() }
