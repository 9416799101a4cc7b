package migratetest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
)

// A panel's test lets the mover of a live move die in the worst moment: the
// source has given the guest away, the target has not taken it. Resume ends it.
func Example_live() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w, err := migratetest.NewWorld(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	guest, err := w.Provision(ctx, "curacao", w.Guest("web1", 1<<20))
	if err != nil {
		log.Fatal(err)
	}
	killed := migratetest.Kill(func() {
		islay, err := w.Dial(ctx, "curacao", "islay")
		if err != nil {
			log.Fatal(err)
		}
		plan, err := migrate.PlanMove(ctx, w.Host("curacao"), islay, guest.UUID, migrate.Live, &migrate.Options{
			OnStep: func(s handover.Step) error {
				if s.Name == handover.Commit {
					migratetest.Die()
				}
				return nil
			},
		})
		if err != nil {
			log.Fatal(err)
		}
		_, err = plan.Run(ctx)
		fmt.Println("never reached:", err)
	})
	fmt.Println("killed:", killed)
	w.Cut() // its connections die with it
	w.Mend()

	islay, err := w.Dial(ctx, "curacao", "islay")
	if err != nil {
		log.Fatal(err)
	}
	report, err := migrate.Resume(ctx, w.Host("curacao"), islay, guest.UUID, nil)
	fmt.Println(report.Way, errors.Join(err, w.Settled(ctx, guest.UUID)))
	fmt.Println("more records:", w.Await(ctx, guest.UUID, w.Acked(guest.UUID)), "on", w.Where(ctx, guest.UUID))
	// Output:
	// killed: true
	// forward <nil>
	// more records: <nil> on islay
}
