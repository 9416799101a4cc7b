package migratetest_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/xenhost/xenhost/migrate/migratetest"
)

// A panel's test pulls a plug: the guest is where it was, with all its
// records, once the host is back.
func Example() {
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
	guest, err := w.Provision(ctx, "curacao", w.Guest("web1", 4<<20))
	if err != nil {
		log.Fatal(err)
	}

	w.PowerOff("curacao")
	_, err = w.Dial(ctx, "islay", "curacao")
	fmt.Println(err)
	report, err := w.PowerOn(ctx, "curacao")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("started by the boot:", len(report.Started))
	fmt.Println("more records:", w.Await(ctx, guest.UUID, w.Acked(guest.UUID)))
	fmt.Println("on", w.Where(ctx, guest.UUID), w.Settled(ctx, guest.UUID))
	// Output:
	// migratetest: connect islay to curacao: the other host does not answer
	// started by the boot: 1
	// more records: <nil>
	// on curacao <nil>
}
