package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// gone is a peer that does not answer, and why.
type gone struct{ err error }

// Name implements replica.Peer.
func (g gone) Name() string { return "" }

// Keep implements replica.Peer.
func (g gone) Keep(context.Context, uuid.UUID) (replica.Keeper, error) { return nil, g.err }

// Kept implements replica.Peer.
func (g gone) Kept(context.Context) ([]replica.Kept, error) { return nil, g.err }

// find returns the UUIDs of guests; none is nil, which is all.
func find(ctx context.Context, h *host.Host, names []string) (guests []uuid.UUID, err error) {
	for _, name := range names {
		g, err := h.Find(ctx, name)
		if err != nil {
			return nil, err
		}
		guests = append(guests, g.UUID)
	}
	return guests, nil
}

func (o *options) run(ctx context.Context, c *cobra.Command, h *host.Host, peer replica.Peer, names []string) error {
	if g, ok := peer.(gone); ok {
		return g.err
	}
	guests, err := find(ctx, h, names)
	if err != nil {
		return err
	}
	o.Limit, o.Room = replica.NewLimit(int64(o.limit)), int64(o.room)
	group := replica.Group{Host: h, Peer: peer, Parallel: o.parallel, Options: o.Options}
	if o.dryRun {
		return o.plan(ctx, c.OutOrStdout(), group, guests)
	}
	if cli.IsTerminal(os.Stderr) {
		group.Done = func(r replica.Result) { fmt.Fprintln(os.Stderr, line(r)) }
	}
	results, err := group.Run(ctx, guests)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
		}
	}
	if err := o.Print(c.OutOrStdout(), results, func(w io.Writer) {
		for _, r := range results {
			fmt.Fprintln(w, line(r))
		}
	}); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d guests have no new generation", failed, len(results))
	}
	return nil
}

// line is one guest's run, for people.
func line(r replica.Result) string {
	name := r.Report.Name
	if name == "" {
		name = r.Report.UUID.String()
	}
	if r.Err != nil {
		return fmt.Sprintf("%s\tfailed\t%v", name, r.Err)
	}
	var read int64
	how := ""
	for _, d := range r.Report.Disks {
		read += d.Stats.Read
		how = string(d.How)
	}
	text := fmt.Sprintf("%s\tgeneration %d\tby %s, read %s, sent %s\tin %s", name, r.Report.Generation.Number, how,
		cli.Bytes(read), cli.Bytes(r.Report.Sent), r.Report.Duration.Round(time.Millisecond))
	for _, n := range r.Report.Notes {
		text += "\n\t\t" + n
	}
	return text
}

func (o *options) plan(ctx context.Context, out io.Writer, g replica.Group, guests []uuid.UUID) error {
	if guests == nil {
		all, err := g.Host.Guests(ctx)
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.Owner.State == owner.Running {
				guests = append(guests, s.Owner.UUID)
			}
		}
	}
	var plans []*replica.Plan
	for _, id := range guests {
		p, err := replica.PlanCopy(ctx, g.Host, g.Peer, id, &g.Options)
		if err != nil {
			return err
		}
		plans = append(plans, p)
	}
	return o.Print(out, plans, func(w io.Writer) {
		for _, p := range plans {
			fmt.Fprint(w, p)
		}
	})
}

func (o *options) check(ctx context.Context, c *cobra.Command, h *host.Host, peer replica.Peer, names []string) error {
	guests, err := find(ctx, h, names)
	if err != nil {
		return err
	}
	all, err := replica.Check(ctx, h, peer, guests, o.maxAge)
	worst := replica.Worst(all)
	if err != nil {
		worst = replica.Unknown
	}
	printErr := o.Print(c.OutOrStdout(), all, func(w io.Writer) {
		for _, g := range all {
			fmt.Fprintf(w, "%s\t%s\tgeneration %d\t%s old\t%s\n", g.Name, g.State, g.Number, g.Age.Round(time.Second), g.Why)
		}
	})
	if worst == replica.Fresh {
		return printErr
	}
	return cli.Status{Code: int(worst), Err: errors.Join(err, printErr, fmt.Errorf("the worst is %s", worst))}
}

func (o *options) kept(ctx context.Context, out io.Writer, h *host.Host) error {
	all, err := replica.List(ctx, h)
	if err != nil {
		return err
	}
	return o.Print(out, all, func(w io.Writer) {
		for _, k := range all {
			what := "\tits first copy has not ended"
			if g := k.Generation; g != nil {
				what = fmt.Sprintf("generation %d\t%s old\t%s", g.Number, k.Age(time.Now()).Round(time.Second), g.Doubt)
			}
			fmt.Fprintf(w, "%s\tof %s\t%s\n", k.Name, k.Peer, what)
		}
	})
}

func (o *options) promoted(ctx context.Context, out io.Writer, h *host.Host, name string) error {
	g, err := h.Find(ctx, name)
	if err != nil {
		return err
	}
	p, err := replica.Promote(ctx, h, g.UUID, replica.Proof{Host: o.dead, Vouch: owner.Vouch(o.vouch)}, &o.promote)
	if err != nil {
		return err
	}
	return o.Print(out, p, func(w io.Writer) { fmt.Fprint(w, p) })
}
