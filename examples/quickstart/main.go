// Quickstart does the main job on two simulated hosts in this process: three
// guests are provisioned, one is moved to the other host, its mover is killed
// in the worst moment, and the move is ended from the other side. The volumes
// are real files, the guests really write, and the protocol is the one that
// runs over ssh between real hosts.
//
//	go run ./examples/quickstart [--json]
package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/host"
)

func main() {
	var flags cli.Flags
	c := &cobra.Command{Use: "quickstart", Short: "two simulated hosts: provision, forward, move, kill, resume", Args: cobra.NoArgs}
	c.Flags().BoolVar(&flags.JSON, "json", false, "print the final table as JSON, and no story")
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := os.MkdirTemp("", "xenhost-quickstart-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		story := c.OutOrStdout()
		if flags.JSON {
			story = io.Discard
		}
		rows, err := play(c.Context(), dir, story)
		if err != nil {
			return err
		}
		return flags.Print(c.OutOrStdout(), rows, func(w io.Writer) {
			fmt.Fprintln(w, "GUEST\tHOST\tSTATE\tRECORDS\tLOST\tFORWARD")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", r.Guest, r.Host, r.State, r.Records, r.Lost, r.Forward)
			}
		})
	}
	cli.Main(c, nil)
}

// row is a guest at the end.
type row struct {
	Guest   string `json:"guest"`
	Host    string `json:"host"`
	State   string `json:"state"`
	Records uint64 `json:"records"` // that the guest acknowledged as written
	Lost    uint64 `json:"lost"`    // of them, on the disk that it has now
	Forward string `json:"forward"` // where the Internet reaches it
}

// play tells the story on out and returns the final table.
func play(ctx context.Context, dir string, out io.Writer) ([]row, error) {
	say := func(format string, a ...any) { fmt.Fprintf(out, format+"\n", a...) }
	w, err := migratetest.NewWorld(dir, nil)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	curacao, islay := w.Host("curacao"), w.Host("islay")

	say("Two hosts, %s and %s, with a cable between them. Three guests on %[1]s:", curacao.Name(), islay.Name())
	var guests []host.Guest
	for i, name := range []string{"web1", "db1", "mail1"} {
		g := w.Guest(name, 16<<20)
		g.Forwards = []network.Forward{{Proto: network.TCP, Port: uint16(8081 + i), To: netip.AddrPortFrom(g.Nics[0].Addresses[0], 80)}}
		if g, err = w.Provision(ctx, curacao.Name(), g); err != nil {
			return nil, err
		}
		guests = append(guests, g)
		say("  %-6s %s on volume %s, %s:%d goes to %s", g.Name, migrate.Bytes(g.Disks[0].Size), g.Disks[0].Volume, curacao.Name(), g.Forwards[0].Port, g.Forwards[0].To)
	}
	web1 := guests[0]

	link, err := w.Dial(ctx, curacao.Name(), islay.Name())
	if err != nil {
		return nil, err
	}
	var killedAt handover.Step
	plan, err := migrate.PlanMove(ctx, curacao, link, web1.UUID, migrate.Cold, &migrate.Options{OnStep: func(s handover.Step) error {
		if s.Name == handover.Commit { // curacao has given it up, islay has not taken it yet
			killedAt = s
			migratetest.Die()
		}
		say("  %s", s)
		return nil
	}})
	if err != nil {
		return nil, err
	}
	say("\nThe plan, as a dry run prints it:\n\n%s\nIt runs:", plan)
	var moveErr error
	if !migratetest.Kill(func() { _, moveErr = plan.Run(ctx) }) {
		return nil, fmt.Errorf("the mover was not killed: %w", moveErr)
	}
	link.Close() // as the kernel does for a dead process
	say("  *** the mover is killed before %q ***\n", killedAt)

	for _, h := range []*host.Host{curacao, islay} {
		err := h.Start(ctx, web1.UUID)
		if err == nil {
			return nil, fmt.Errorf("%s started the guest in the middle of a move", h.Name())
		}
		say("Could %s start it now?  No: %v", h.Name(), err)
	}

	back, err := w.Dial(ctx, islay.Name(), curacao.Name())
	if err != nil {
		return nil, err
	}
	defer back.Close()
	before := w.Acked(web1.UUID)
	report, err := migrate.Resume(ctx, islay, back, web1.UUID, nil)
	if err != nil {
		return nil, err
	}
	if err := w.Await(ctx, web1.UUID, before); err != nil { // it lives and writes
		return nil, err
	}
	say("\nResume, called on %s: %s, so the guest is on %s.", islay.Name(), report.Why, report.Owner)
	if err := w.Settled(ctx, web1.UUID); err != nil {
		return nil, err
	}
	say("One copy runs, the other is fenced, nothing that a guest acknowledged is lost:\n")
	return table(ctx, w, guests)
}

// table looks at each guest where it is.
func table(ctx context.Context, w *migratetest.World, guests []host.Guest) ([]row, error) {
	var rows []row
	for _, g := range guests {
		on := w.Where(ctx, g.UUID)
		status, err := w.Host(on).Guest(ctx, g.UUID)
		if err != nil {
			return nil, err
		}
		r := row{Guest: g.Name, Host: on, State: "stopped", Records: w.Acked(g.UUID)}
		if status.Domain != nil {
			r.State = string(status.Domain.State)
		}
		last, err := migratetest.Records(status.Volumes[0].Path, g.UUID)
		if err != nil {
			return nil, err
		}
		r.Lost = r.Records - min(r.Records, last)
		if owner, to, ok := w.Machine(on).Network.Lookup(network.TCP, g.Forwards[0].Port); ok && owner == g.UUID {
			r.Forward = fmt.Sprintf("%s:%d -> %s", on, g.Forwards[0].Port, to)
		}
		rows = append(rows, r)
	}
	return rows, nil
}
