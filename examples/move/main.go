// Move brings a guest of this host to another one, or ends a move that was
// interrupted. The other host is reached by ssh, where xenhost-agent serves.
//
//	move web1 --to root@islay              a cold move
//	move web1 --to root@islay --live       with its memory: the guest is interrupted for a moment
//	move web1 --to root@islay --two-pass   its writes are followed while it runs, then it boots there
//	move web1 --to root@islay --limit 20M  at 20 MiB a second at most
//	move web1 --to root@islay --dry-run    the steps, the bytes, the downtime
//	move web1 --to root@islay --resume     end an interrupted move, from either host
//	move web1 --dead islay --vouch "powered off"  end it here alone, if islay is dead for ever:
//	                                       you vouch for it that islay is off, or "destroyed"
//
// Exit codes: 0 done, 1 not possible or rolled back (the guest is where it
// was), 2 wrong command line, 3 interrupted (run it again with --resume).
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/xen/host"
)

type options struct {
	cli.Flags
	to, agent      string
	ssh            []string
	dryRun, resume bool
	live, twoPass  bool
	verify         bool
	pause          time.Duration
	limit          cli.Size
	patience       time.Duration
	dead, vouch    string
}

func main() {
	var o options
	c := &cobra.Command{Use: "move NAME|UUID --to USER@HOST", Short: "move a guest to another host", Args: cobra.ExactArgs(1)}
	o.Add(c)
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "the other host, as ssh takes it")
	f.StringVar(&o.agent, "agent", "xenhost-agent serve", "the agent's command there")
	f.StringArrayVar(&o.ssh, "ssh-option", nil, "option for ssh, as -i; may be repeated")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan and change nothing")
	f.BoolVar(&o.live, "live", false, "move its memory too: it does not boot")
	f.BoolVar(&o.twoPass, "two-pass", false, "follow its writes while it runs, for a short stop before it boots there")
	f.BoolVar(&o.verify, "verify-full", false, "read all of its disks again while it is interrupted in a live or two-pass move")
	f.DurationVar(&o.pause, "max-pause", 0, "for how long a live or two-pass move may keep it from its disks (1s, 5s)")
	f.Var(&o.limit, "limit", "how many bytes a second to send at most, as 100M, disks and memory together")
	f.DurationVar(&o.patience, "patience", 0, "for how long to call the other host again when the connection is cut in a copy, which then goes on (0: a cut ends the move)")
	f.BoolVar(&o.resume, "resume", false, "end an interrupted move")
	f.StringVar(&o.dead, "dead", "", "override: end an interrupted move here alone; the name of its other host, which is dead for ever")
	f.StringVar(&o.vouch, "vouch", "", `with --dead, what you vouch for: "powered off" or "destroyed"; with --dry-run see first what it may cost`)
	c.RunE = func(c *cobra.Command, args []string) error {
		if (o.dead == "") != (o.vouch == "") || o.dead != "" && (o.to != "" || o.resume) {
			return cli.Usage("--dead and --vouch go together, and without --to and --resume")
		}
		if o.dead != "" {
			return o.override(c.Context(), c.OutOrStdout(), args[0])
		}
		if o.to == "" {
			return cli.Usage("--to is missing: which host?")
		}
		if o.live && o.twoPass {
			return cli.Usage("--live or --two-pass, not both")
		}
		return o.run(c.Context(), c.OutOrStdout(), args[0])
	}
	cli.Main(c, migrate.ErrInterrupted)
}

func (o *options) run(ctx context.Context, out io.Writer, what string) error {
	here, err := o.Open()
	if err != nil {
		return err
	}
	there, err := o.dial(ctx, here.Name())
	if err != nil {
		return err
	}
	defer there.Close()
	steps := &ladder{out: os.Stderr, bars: cli.IsTerminal(os.Stderr)}
	defer steps.end()
	opts := &migrate.Options{Progress: steps.progress, VerifyFull: o.verify, MaxPause: o.pause, Limit: int64(o.limit), Redial: o.redial(here.Name())}
	if o.resume {
		return o.end(ctx, out, here, there, what, opts)
	}
	g, err := here.Find(ctx, what)
	if err != nil {
		return err
	}
	mode := migrate.Cold
	switch {
	case o.live:
		mode = migrate.Live
	case o.twoPass:
		mode = migrate.TwoPass
	}
	plan, err := migrate.PlanMove(ctx, here, there, g.UUID, mode, opts)
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.Print(out, plan, func(w io.Writer) { fmt.Fprint(w, plan) })
	}
	report, err := plan.Run(ctx)
	steps.end()
	if err != nil {
		return err
	}
	return o.Print(out, report, func(w io.Writer) { table(w, report) })
}

// end resumes a move from whichever host knows the guest.
func (o *options) end(ctx context.Context, out io.Writer, here *host.Host, there *migrate.Remote, what string, opts *migrate.Options) error {
	g, err := here.Find(ctx, what)
	if err != nil {
		if g, err = there.Find(ctx, what); err != nil {
			return err
		}
	}
	report, err := migrate.Resume(ctx, here, there, g.UUID, opts)
	if err != nil {
		return err
	}
	return o.Print(out, report, func(w io.Writer) { table(w, report) })
}

func table(w io.Writer, r migrate.Report) {
	if r.Owner == "" {
		fmt.Fprintf(w, "%s\truns nowhere\t\t%s\n", r.Name, r.Why)
	} else {
		fmt.Fprintf(w, "%s\tis on\t%s\t%s\n", r.Name, r.Owner, r.Why)
	}
	for _, p := range r.Passes {
		hashes := ""
		if p.Asked > 0 {
			hashes = fmt.Sprintf(", the delta by %s of hashes", migrate.Bytes(p.Asked))
		}
		fmt.Fprintf(w, "%s\t%s\tread %s, sent %s%s\tin %s\n", p.Dev, p.What, migrate.Bytes(p.Read), migrate.Bytes(p.Wire), hashes, p.Duration.Round(time.Millisecond))
	}
	for dev, sum := range r.Sums {
		fmt.Fprintf(w, "%s\tsha256\t%s\tequal on both hosts\n", dev, sum)
	}
	if m := r.Memory; m.Bytes > 0 {
		fmt.Fprintf(w, "memory\t\t%s, of them %s zeros\tsent %s\n", migrate.Bytes(m.Bytes), migrate.Bytes(m.Zeros), migrate.Bytes(m.Wire))
	}
	if r.Lost {
		fmt.Fprintf(w, "memory\t\twas lost\tit was started from its disks\n")
	}
	if r.Downtime > 0 && r.Memory.Bytes > 0 {
		fmt.Fprintf(w, "downtime\t\t%s\tit did not boot\n", r.Downtime.Round(10*time.Millisecond))
	} else if r.Downtime > 0 {
		fmt.Fprintf(w, "downtime\t\t%s\tguest's end: %s\n", r.Downtime.Round(10*time.Millisecond), r.Ending)
	}
}
