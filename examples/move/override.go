package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// override ends a move on this host alone.
func (o *options) override(ctx context.Context, out io.Writer, what string) error {
	here, err := o.Open()
	if err != nil {
		return err
	}
	g, err := here.Find(ctx, what)
	if err != nil {
		return err
	}
	steps := &ladder{out: os.Stderr, bars: cli.IsTerminal(os.Stderr)}
	plan, err := migrate.PlanOverride(ctx, here, g.UUID, owner.Override{Host: o.dead, Vouch: owner.Vouch(o.vouch)}, &migrate.Options{Progress: steps.progress})
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.Print(out, plan, func(w io.Writer) { fmt.Fprint(w, plan) })
	}
	fmt.Fprint(os.Stderr, plan)
	report, err := plan.Run(ctx)
	if err != nil {
		return err
	}
	return o.Print(out, report, func(w io.Writer) { table(w, report) })
}
