// Shape says how fast the guests of this host are.
//
//	shape set web1 --download 100mbit --upload 10mbit --ceil 100mbit
//	shape list                             configured, and measured for a second
//	shape throttle web1 1mbit --for 72h    as when its traffic is used up
//	shape unthrottle web1
//	shape disk web1 xvda --read 50M --write 50M --write-ops 500
//	shape keep                             puts rates back when guests reboot, ends throttles; "agent run" does it too
//
// The host's line to the world stands in its settings:
//
//	{"uplink": {"dev": "eth0", "rate": "950mbit"}}
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/xen/host"
)

func main() {
	var flags cli.Flags
	root := &cobra.Command{Use: "shape", Short: "how fast the guests of this host are"}
	flags.Add(root)
	root.AddCommand(set(&flags), list(&flags), throttle(&flags), unthrottle(&flags), disk(&flags), keep(&flags))
	cli.Main(root, nil)
}

// open composes the host, and finds the guest of that name or UUID if one is
// given.
func open(c *cobra.Command, flags *cli.Flags, name string) (*host.Host, host.Guest, error) {
	h, err := flags.Open()
	if err != nil {
		return nil, host.Guest{}, err
	}
	if h.Shaping() == nil {
		return nil, host.Guest{}, fmt.Errorf("%s names no uplink: %w", flags.Settings, errors.ErrUnsupported)
	}
	if name == "" {
		return h, host.Guest{}, nil
	}
	g, err := h.Find(c.Context(), name)
	return h, g, err
}

func set(flags *cli.Flags) *cobra.Command {
	var want shaping.Policy
	var burst cli.Size
	c := &cobra.Command{Use: "set GUEST", Short: "change a guest's rates; what is not named stays", Args: cobra.ExactArgs(1)}
	f := c.Flags()
	f.Var(&want.Download, "download", "the most that it receives; 0bit is no limit")
	f.Var(&want.Upload, "upload", "what it can always send to the world")
	f.Var(&want.Ceil, "ceil", "the most that it sends while others leave room")
	f.Var(&want.Send, "send", "the most that it sends to anyone, other guests too")
	f.Var(&burst, "burst", "credit for short peaks")
	f.IntVar(&want.Weight, "weight", 1, "its share of what others leave")
	f.IntVar(&want.Priority, "priority", 0, "0 (first) to 7")
	c.RunE = func(c *cobra.Command, args []string) error {
		h, g, err := open(c, flags, args[0])
		if err != nil {
			return err
		}
		want.Burst = int64(burst)
		for name, copy := range map[string]func(){
			"download": func() { g.Rates.Download = want.Download },
			"upload":   func() { g.Rates.Upload = want.Upload },
			"ceil":     func() { g.Rates.Ceil = want.Ceil },
			"send":     func() { g.Rates.Send = want.Send },
			"burst":    func() { g.Rates.Burst = want.Burst },
			"weight":   func() { g.Rates.Weight = want.Weight },
			"priority": func() { g.Rates.Priority = want.Priority },
		} {
			if f.Changed(name) {
				copy()
			}
		}
		if err := g.Rates.Validate(); err != nil {
			return cli.UsageError{Err: err}
		}
		if err := h.SetRates(c.Context(), g.UUID, g.Rates); err != nil {
			return err
		}
		return flags.Print(c.OutOrStdout(), g.Rates, func(w io.Writer) { fmt.Fprintf(w, "%s\t%v\n", g.Name, g.Rates) })
	}
	return c
}

func throttle(flags *cli.Flags) *cobra.Command {
	var until string
	var length time.Duration
	c := &cobra.Command{Use: "throttle GUEST RATE", Short: "hold a guest below its rates for a while", Args: cobra.ExactArgs(2)}
	c.Flags().StringVar(&until, "until", "", "when it ends, as 2026-12-01T00:00:00Z; empty is when it is taken off")
	c.Flags().DurationVar(&length, "for", 0, "how long, as 72h, instead of --until")
	c.RunE = func(c *cobra.Command, args []string) error {
		t, err := parseThrottle(args[1], until, length)
		if err != nil {
			return err
		}
		h, g, err := open(c, flags, args[0])
		if err != nil {
			return err
		}
		if err := h.Throttle(c.Context(), g.UUID, t); err != nil {
			return err
		}
		return flags.Print(c.OutOrStdout(), t, func(w io.Writer) { fmt.Fprintf(w, "%s\t%v\n", g.Name, t) })
	}
	return c
}

func parseThrottle(rate, until string, length time.Duration) (t shaping.Throttle, err error) {
	if t.Rate, err = shaping.ParseRate(rate); err != nil {
		return t, cli.UsageError{Err: err}
	}
	switch {
	case t.Rate == 0:
		return t, cli.Usage("a throttle needs a rate; unthrottle takes it off")
	case until != "" && length != 0:
		return t, cli.Usage("--until and --for say the same thing twice")
	case length < 0:
		return t, cli.Usage("--for %v", length)
	case length != 0:
		t.Until = time.Now().Add(length).UTC().Truncate(time.Second)
	case until != "":
		if t.Until, err = time.Parse(time.RFC3339, until); err != nil {
			return t, cli.UsageError{Err: err}
		}
	}
	return t, nil
}

func unthrottle(flags *cli.Flags) *cobra.Command {
	return &cobra.Command{Use: "unthrottle GUEST", Short: "take a throttle off", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			h, g, err := open(c, flags, args[0])
			if err != nil {
				return err
			}
			return h.Throttle(c.Context(), g.UUID, shaping.Throttle{})
		}}
}

func keep(flags *cli.Flags) *cobra.Command {
	return &cobra.Command{Use: "keep", Short: "put rates back when guests reboot, end throttles; until it is told to end", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := flags.Log()
			if log == nil {
				log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			}
			h, err := cli.Open(flags.Settings, log)
			if err != nil {
				return err
			}
			err = h.KeepRates(c.Context())
			if c.Context().Err() != nil {
				return nil
			}
			return err
		}}
}
