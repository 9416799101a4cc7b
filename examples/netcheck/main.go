// Netcheck looks at this host for what makes guests' network fail in ways that
// are hard to see, and changes nothing:
//
//	netcheck           findings, the worst first; exit code 1 if one is an error
//	netcheck --json    with all that was seen
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/network/check"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/xen/host"
)

// report is what netcheck prints.
type report struct {
	Findings []check.Finding `json:"findings"`
	Drops    *guard.Drops    `json:"drops,omitempty"` // what the guard stopped
	Seen     check.Seen      `json:"seen"`
}

func main() {
	var flags cli.Flags
	var rates bool
	c := &cobra.Command{Use: "netcheck", Short: "look for what makes guests' network fail", Args: cobra.NoArgs}
	flags.Add(c)
	c.Flags().BoolVar(&rates, "xen-rates", false, "guests are held to a rate by rate= in their configuration")
	c.RunE = func(c *cobra.Command, _ []string) error {
		h, err := flags.Open()
		if err != nil {
			return err
		}
		r, err := look(c.Context(), h, rates)
		if err != nil {
			return err
		}
		if err := flags.Print(c.OutOrStdout(), r, func(w io.Writer) { table(w, r) }); err != nil {
			return err
		}
		for _, f := range r.Findings {
			if f.Level == check.Error {
				return errors.New("guests are cut off or unprotected: see above")
			}
		}
		return nil
	}
	cli.Main(c, nil)
}

// look reads the host. A part that can not be read is a finding of its own.
func look(ctx context.Context, h *host.Host, rates bool) (r report, err error) {
	opts := &check.Options{Rates: rates}
	if want, err := h.Network().Read(ctx); err == nil {
		opts.Want = &want
	} else {
		r.Findings = append(r.Findings, check.Finding{Level: check.Error, Code: "network-unreadable", What: err.Error(), Do: "put that right first"})
	}
	if r.Seen, err = check.Read(ctx, opts); err != nil {
		return r, err
	}
	r.Findings = append(r.Findings, check.Findings(r.Seen)...)
	if h.Guard() == nil {
		return r, nil
	}
	state, err := h.Guard().Read(ctx)
	if err != nil {
		return r, err
	}
	if state.Open {
		r.Findings = append(r.Findings, check.Finding{Level: check.Error, Code: "guard-open",
			What: "the guard's rules are not there, or changed by another hand: guests can use addresses that are not theirs", Do: "agent boot"})
	}
	drops, err := h.Guard().Drops(ctx)
	r.Drops = &drops
	return r, err
}

func table(w io.Writer, r report) {
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n\t\t→ %s\n", f.Level, f.Code, f.What, f.Do)
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(w, "nothing found")
	}
	if d := r.Drops; d != nil {
		fmt.Fprintf(w, "\nframes that the guard dropped:\tmac %d\tarp %d\tipv4 %d\tipv6 %d\tneighbour %d\tdhcp %d\trouter %d\ttype %d\tunknown vif %d\n",
			d.MAC, d.ARP, d.IPv4, d.IPv6, d.Neighbour, d.DHCP, d.Router, d.Type, d.Unknown)
	}
}
