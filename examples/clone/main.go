// Clone tries something on a copy of a guest that shares nothing with it but
// what both have not written:
//
//	clone make web1 --name web1-trial --out xenext --gateway 192.168.0.1/16 --lifetime 4h
//	clone list
//	clone promote web1-trial      # the copy becomes the guest; the old disks are kept
//	clone rollback web1           # and the way back
//	clone forget web1             # or: all is well, remove the old disks
//	clone discard web1-trial
//	clone sweep                   # from a timer: ends what has expired or was left by a crash
package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate/clone"
	"github.com/xenhost/xenhost/xen/host"
)

func main() {
	var flags cli.Flags
	c := &cobra.Command{Use: "clone", Short: "copies of guests, to try something on"}
	flags.Add(c)
	c.AddCommand(makeCommand(&flags), listCommand(&flags), sweepCommand(&flags),
		on(&flags, "promote CLONE", "give the guest the clone's disks, and keep its old ones", func(ctx context.Context, h *host.Host, g host.Guest, out io.Writer) error {
			p, err := clone.Promote(ctx, h, g.UUID)
			if err != nil {
				return err
			}
			return flags.Print(out, p, func(w io.Writer) {
				fmt.Fprintf(w, "%s\t%s\n", p.Guest.Name, p.Guest.UUID)
				for _, v := range p.Rollback {
					fmt.Fprintf(w, "kept\t%s\n", v)
				}
			})
		}),
		on(&flags, "discard CLONE", "end a clone", func(ctx context.Context, h *host.Host, g host.Guest, _ io.Writer) error {
			return clone.Discard(ctx, h, g.UUID)
		}),
		on(&flags, "guard CLONE", "watch a clone until it is gone, and discard it before it runs full", func(ctx context.Context, h *host.Host, g host.Guest, _ io.Writer) error {
			return clone.Guard(ctx, h, g.UUID, nil)
		}),
		on(&flags, "rollback GUEST", "give a guest back its disks from before a promotion", func(ctx context.Context, h *host.Host, g host.Guest, _ io.Writer) error {
			return h.Rollback(ctx, g.UUID)
		}),
		on(&flags, "forget GUEST", "remove the disks from before a promotion", func(ctx context.Context, h *host.Host, g host.Guest, _ io.Writer) error {
			return h.ForgetRollback(ctx, g.UUID)
		}),
	)
	cli.Main(c, nil)
}

// on is a command about one guest, by its name or UUID.
func on(flags *cli.Flags, use, short string, do func(context.Context, *host.Host, host.Guest, io.Writer) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		h, err := flags.Open()
		if err != nil {
			return err
		}
		g, err := h.Find(c.Context(), args[0])
		if err != nil {
			return err
		}
		return do(c.Context(), h, g, c.OutOrStdout())
	}}
}

func makeCommand(flags *cli.Flags) *cobra.Command {
	var (
		opts     clone.Options
		room     cli.Size
		gateways []string
		cmdline  string
	)
	c := on(flags, "make GUEST", "make a clone of a guest and start it", func(ctx context.Context, h *host.Host, g host.Guest, out io.Writer) error {
		for _, text := range gateways {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return cli.UsageError{Err: err}
			}
			opts.Gateways = append(opts.Gateways, []netip.Prefix{p})
		}
		opts.Room = int64(room)
		opts.Change = func(c *host.Guest) {
			if cmdline != "" {
				c.Cmdline = cmdline
			}
		}
		made, err := clone.Make(ctx, h, g.UUID, &opts)
		if err != nil {
			return err
		}
		return flags.Print(out, made, func(w io.Writer) { row(w, made) })
	})
	f := c.Flags()
	f.StringVar(&opts.Name, "name", "", "the clone's name; empty is the guest's and -clone")
	f.DurationVar(&opts.Lifetime, "lifetime", 24*time.Hour, "how long it is left alone by sweep")
	f.StringVar(&opts.Out, "out", "", "interface by which it reaches the world; empty is not at all")
	f.StringArrayVar(&gateways, "gateway", nil, "what an interface of the guest has as its router, as 192.168.0.1/16; one for each interface, in their order")
	f.Var(&room, "room", "how much of each disk may change; 0 is all of it")
	f.StringVar(&cmdline, "cmdline", "", "other kernel arguments")
	f.BoolVar(&opts.Stopped, "stopped", false, "do not start it")
	return c
}

func listCommand(flags *cli.Flags) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "the clones of this host", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		h, err := flags.Open()
		if err != nil {
			return err
		}
		all, err := clone.List(c.Context(), h)
		if err != nil {
			return err
		}
		return flags.Print(c.OutOrStdout(), all, func(w io.Writer) {
			for _, one := range all {
				row(w, one)
			}
		})
	}}
}

func row(w io.Writer, c clone.Clone) {
	fmt.Fprintf(w, "%s\t%s\tof %s\t%s\tuntil %s\n", c.Name, c.UUID, c.Of, c.State, c.Expires.Format(time.RFC3339))
}

func sweepCommand(flags *cli.Flags) *cobra.Command {
	return &cobra.Command{Use: "sweep", Short: "end what has expired or was left by a crash", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		h, err := flags.Open()
		if err != nil {
			return err
		}
		r, err := clone.Sweep(c.Context(), h, time.Now())
		print := func(w io.Writer) {
			for what, list := range map[string][]clone.Clone{"expired": r.Expired, "unfinished": r.Unfinished, "full": r.Full, "promoted": r.Promoted} {
				for _, one := range list {
					fmt.Fprintf(w, "%s\t%s\t%s\n", what, one.Name, one.UUID)
				}
			}
			for _, id := range r.Islands {
				fmt.Fprintf(w, "island\t%s\n", id)
			}
		}
		if said := flags.Print(c.OutOrStdout(), r, print); err == nil {
			err = said
		}
		return err
	}}
}
