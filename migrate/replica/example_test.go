package replica_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Two nights, and the morning on which curacao is dead.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w, err := migratetest.NewWorld(dir, nil) // in a program: host.New, and migrate.Dial over ssh
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	curacao, islay := w.Host("curacao"), w.Host("islay")
	web1, err := curacao.Provision(ctx, w.Guest("web1", 4<<20), &host.ProvisionOptions{Stopped: true})
	if err != nil {
		log.Fatal(err)
	}
	peer, err := w.Dial(ctx, "curacao", "islay")
	if err != nil {
		log.Fatal(err)
	}
	nights := replica.Group{Host: curacao, Peer: peer, Options: replica.Options{Limit: replica.NewLimit(50 << 20)}}
	for range 2 {
		results, err := nights.Run(ctx, nil)
		if err != nil {
			log.Fatal(err)
		}
		for _, r := range results {
			fmt.Printf("%s: generation %d by %s, error: %v\n", r.Report.Name, r.Report.Generation.Number, r.Report.Disks[0].How, r.Err)
		}
	}
	health, err := replica.Check(ctx, curacao, peer, nil, 26*time.Hour)
	fmt.Println(replica.Worst(health), err)

	w.PowerOff("curacao")
	fmt.Println(islay.Start(ctx, web1.UUID))
	promoted, err := replica.Promote(ctx, islay, web1.UUID, replica.Proof{Host: "curacao", Vouch: owner.PoweredOff}, nil)
	fmt.Println(promoted.Generation.Number, promoted.Epoch, err)
	fmt.Println(islay.Start(ctx, web1.UUID))
	// Output:
	// web1: generation 1 by all, error: <nil>
	// web1: generation 2 by changes, error: <nil>
	// fresh <nil>
	// host: start web1: this host does not own the guest: a replica of what runs on curacao is kept here; promote it if curacao is gone
	// 2 2 <nil>
	// <nil>
}
