// Netapply changes this host's network so that nobody is locked out:
//
//	netapply state.json --window 60s   apply until confirmed; prints the line to type next
//	netapply confirm ID                from a new connection: it stays
//	netapply revert                    take it back now
//	netapply boot                      what was confirmed last, after power-on
//	netapply show                      the state as it is: a start for state.json
//
// What would cut the way to the operator's own address (SSH_CONNECTION) is
// refused.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/network/confirm"
)

func main() {
	var flags cli.Flags
	var dir string
	var window time.Duration
	root := &cobra.Command{Use: "netapply FILE", Short: "change the network, and take it back unless confirmed", Args: cobra.ExactArgs(1)}
	flags.Add(root)
	root.PersistentFlags().StringVar(&dir, "dir", "/var/lib/xenhost/network", "what is confirmed and what is pending")
	root.Flags().DurationVar(&window, "window", time.Minute, "time to confirm")

	open := func() (*confirm.Changer, confirm.Target, error) {
		h, err := flags.Open()
		if err != nil {
			return nil, confirm.Target{}, err
		}
		self, err := os.Executable()
		if err != nil {
			return nil, confirm.Target{}, err
		}
		target := confirm.Target{Network: h.Network(), Guard: h.Guard()}
		return confirm.New(target, &confirm.Options{
			Keeper: []string{self, "keep", "--settings", flags.Settings, "--dir", dir},
			Dir:    dir, Window: window, Management: operator(os.Getenv("SSH_CONNECTION")), Log: flags.Log(),
		}), target, nil
	}
	root.RunE = func(c *cobra.Command, args []string) error {
		want, err := read(args[0])
		if err != nil {
			return err
		}
		changer, _, err := open()
		if err != nil {
			return err
		}
		p, err := changer.Apply(c.Context(), want)
		if err != nil {
			return err
		}
		return flags.Print(c.OutOrStdout(), p, func(w io.Writer) {
			fmt.Fprintf(w, "applied, and taken back in %v; from a new connection:\n  %s confirm %v\n", p.Left.Round(time.Second), filepath.Base(os.Args[0]), p.ID)
		})
	}
	verb := func(use, short string, args cobra.PositionalArgs, run func(c *cobra.Command, changer *confirm.Changer, args []string) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, args []string) error {
			changer, _, err := open()
			if err != nil {
				return err
			}
			return run(c, changer, args)
		}}
	}
	keep := verb("keep", "", cobra.NoArgs, func(c *cobra.Command, changer *confirm.Changer, _ []string) error { return changer.Keep(c.Context()) })
	keep.Hidden = true
	root.AddCommand(keep,
		verb("confirm ID", "let the pending change stay", cobra.ExactArgs(1), func(c *cobra.Command, changer *confirm.Changer, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return cli.UsageError{Err: err}
			}
			return changer.Confirm(c.Context(), id)
		}),
		verb("revert", "take the pending change back now", cobra.NoArgs, func(c *cobra.Command, changer *confirm.Changer, _ []string) error {
			return changer.Revert(c.Context())
		}),
		verb("boot", "apply what was confirmed last", cobra.NoArgs, func(c *cobra.Command, changer *confirm.Changer, _ []string) error {
			return changer.Boot(c.Context())
		}),
		&cobra.Command{Use: "show", Short: "print the state as it is", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			_, target, err := open()
			if err != nil {
				return err
			}
			have, err := target.Network.Read(c.Context())
			if err != nil {
				return err
			}
			s := confirm.State{Network: &have}
			if target.Guard != nil {
				guarded, err := target.Guard.Read(c.Context())
				if err != nil {
					return err
				}
				s.Guard = &guarded
			}
			flags.JSON = true
			return flags.Print(c.OutOrStdout(), s, nil)
		}},
	)
	cli.Main(root, nil)
}

// read reads a state; a misspelt key must not go unnoticed.
func read(path string) (want confirm.State, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return want, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&want); err != nil {
		return want, fmt.Errorf("%s: %w", path, err)
	}
	return want, nil
}

// operator is who is logged in by ssh, if anybody: "198.51.100.7 50000 203.0.113.1 22".
func operator(connection string) []netip.Addr {
	from, _, _ := strings.Cut(connection, " ")
	a, err := netip.ParseAddr(from)
	if err != nil {
		return nil
	}
	return []netip.Addr{a.Unmap()}
}
