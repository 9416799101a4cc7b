// Nightly keeps replicas of this host's guests on another one, which is reached
// by ssh, where xenhost-agent serves; and makes a replica the guest when its host
// is dead.
//
//	nightly run --to root@islay                      all guests of this host
//	nightly run --to root@islay web1 db1 --limit 50M under one limit, in bytes a second
//	nightly run --to root@islay --dry-run            how much would be read
//	nightly check --to root@islay --max-age 26h      for monitoring: see the exit codes
//	nightly kept                                     on islay: what it keeps, and how old that is
//	nightly promote web1 --dead curacao --vouch "powered off" --dry-run
//	                                                 on islay: what would be lost
//	nightly promote web1 --dead curacao --vouch "powered off"
//
// You vouch for it that the host is off, or "destroyed". When it is back, its
// agent's boot asks its peers and starts nothing that was promoted meanwhile;
// then "move web1 --to root@curacao --resume" on islay ends what it had, "nightly
// run --to root@curacao web1" brings it up to date, and "move" brings the guest
// home.
//
// Exit codes of run and promote: 0 done, 1 not all of it (what is left is what
// was; run it again), 2 wrong command line. Of check, as monitoring plug-ins have
// them: 0 all guests are fresh, 1 one is stale, 2 one has no replica, 3 it is not
// known: the other host does not answer, or the command line is wrong.
//
// # Every night
//
// As /etc/systemd/system/xenhost-nightly.service:
//
//	[Unit]
//	Description=replicas of the guests on islay
//	Wants=network-online.target
//	After=network-online.target
//
//	[Service]
//	Type=oneshot
//	ExecStart=/usr/local/bin/xenhost-nightly run --to root@islay --limit 50M
//	TimeoutStartSec=20h
//	KillSignal=SIGTERM
//	TimeoutStopSec=5min
//
// and as /etc/systemd/system/xenhost-nightly.timer, which
// "systemctl enable --now xenhost-nightly.timer" starts:
//
//	[Unit]
//	Description=replicas every night
//
//	[Timer]
//	OnCalendar=*-*-* 02:00
//	RandomizedDelaySec=30min
//	Persistent=true
//
//	[Install]
//	WantedBy=timers.target
//
// For every ten minutes it is OnUnitInactiveSec=10min and OnBootSec=5min in the
// place of OnCalendar: a run begins when the one before has ended.
package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

type options struct {
	cli.Flags
	to, agent   string
	ssh         []string
	limit, room cli.Size
	parallel    int
	dryRun      bool
	replica.Options
	maxAge      time.Duration
	dead, vouch string
	promote     replica.PromoteOptions
}

func main() { cli.Main(command(&options{}), nil) }

// command is the whole of the command line.
func command(o *options) *cobra.Command {
	root := &cobra.Command{Use: "nightly", Short: "replicas of guests on another host"}
	o.Add(root)
	run := &cobra.Command{Use: "run [GUEST...] --to USER@HOST", Short: "bring the replicas up to date", RunE: o.withPeer(o.run)}
	f := run.Flags()
	f.Var(&o.limit, "limit", "bytes a second to the other host, all guests together, as 50M")
	f.IntVar(&o.parallel, "parallel", 4, "guests at once")
	f.BoolVar(&o.Verify, "verify", false, "read all of every disk again on both hosts, and compare")
	f.BoolVar(&o.IndexOnly, "index-only", false, "keep no snapshots: guests write faster by day, all of their disks is read by night")
	f.Var(&o.room, "room", "room of a snapshot for what the guest writes; the default is enough for all of it")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan and change nothing")
	check := &cobra.Command{Use: "check [GUEST...] --to USER@HOST", Short: "for monitoring: is every replica young enough"}
	check.RunE = func(c *cobra.Command, args []string) error {
		err := o.withPeer(o.check)(c, args)
		var status cli.Status
		if err != nil && !errors.As(err, &status) {
			err = cli.Status{Code: int(replica.Unknown), Err: err}
		}
		return err
	}
	check.Flags().DurationVar(&o.maxAge, "max-age", 26*time.Hour, "how old a generation may be")
	for _, c := range []*cobra.Command{run, check} {
		c.Flags().StringVar(&o.to, "to", "", "the other host, as ssh takes it")
		c.Flags().StringVar(&o.agent, "agent", "xenhost-agent serve", "the agent's command there")
		c.Flags().StringArrayVar(&o.ssh, "ssh-option", nil, "option for ssh, as -i; may be repeated")
	}
	kept := &cobra.Command{Use: "kept", Short: "what this host keeps of others", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		h, err := o.Open()
		if err != nil {
			return err
		}
		return o.kept(c.Context(), c.OutOrStdout(), h)
	}}
	promote := &cobra.Command{Use: "promote GUEST --dead HOST --vouch WORDS", Short: "make a replica the guest: its host is dead", Args: cobra.ExactArgs(1)}
	p := promote.Flags()
	p.StringVar(&o.dead, "dead", "", "the host that runs nothing any more, typed out")
	p.StringVar(&o.vouch, "vouch", "", `what you vouch for of it: "`+string(owner.PoweredOff)+`" or "`+string(owner.Destroyed)+`"`)
	p.BoolVar(&o.promote.Verify, "verify", false, "read all of the disks first, and compare them with what was verified when they came")
	p.BoolVar(&o.promote.Doubtful, "doubtful", false, "also if it is known to differ from its source")
	p.BoolVar(&o.promote.DryRun, "dry-run", false, "say what would be lost, and change nothing")
	promote.RunE = func(c *cobra.Command, args []string) error {
		if o.dead == "" || o.vouch == "" {
			return cli.Usage("--dead and --vouch are missing: which host is it, and what do you vouch for?")
		}
		h, err := o.Open()
		if err != nil {
			return err
		}
		return o.promoted(c.Context(), c.OutOrStdout(), h, args[0])
	}
	root.AddCommand(run, check, kept, promote)
	return root
}

// withPeer composes this host and reaches the other one.
func (o *options) withPeer(f func(ctx context.Context, c *cobra.Command, h *host.Host, peer replica.Peer, guests []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if o.to == "" {
			return cli.Usage("--to is missing: which host?")
		}
		h, err := o.Open()
		if err != nil {
			return err
		}
		peer, err := o.dial(c.Context(), h)
		if err != nil {
			return f(c.Context(), c, h, gone{err}, args)
		}
		defer peer.Close()
		return f(c.Context(), c, h, peer, args)
	}
}

func (o *options) dial(ctx context.Context, h *host.Host) (*migrate.Remote, error) {
	// The connection outlives ctx: a run that is cancelled gives back what it holds.
	conn, err := migrate.Command(context.WithoutCancel(ctx), dom0.Local{Log: o.Log()},
		migrate.SSH(o.to, &migrate.SSHOptions{Agent: strings.Fields(o.agent), Options: o.ssh}))
	if err != nil {
		return nil, err
	}
	return migrate.Dial(ctx, conn, &migrate.DialOptions{Name: h.Name(), Log: o.Log()})
}
