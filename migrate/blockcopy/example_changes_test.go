package blockcopy_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// Each night's snapshot is kept until the next one, to tell what has changed
// since; only that is read. The index tells which blocks of it differ indeed.
func ExamplePushOptions() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var volumes lvm.Manager = lvmtest.New(dir, lvmtest.GroupSpec{Name: "guests"}) // or lvm.New
	web1, err := volumes.Create(ctx, lvm.Spec{ID: lvm.ID{Group: "guests", Name: "web1"}, Size: 64 << 20})
	if err != nil {
		log.Fatal(err)
	}
	opts := blockcopy.PushOptions{Index: filepath.Join(dir, "web1.index")}
	night := func(name string) lvm.Volume {
		snapshot, err := volumes.Snapshot(ctx, web1.ID, name, nil)
		if err != nil {
			log.Fatal(err)
		}
		if opts.Since != (blockcopy.Generation{}) { // after the new snapshot, so that nothing is missed
			changed, err := volumes.Changed(ctx, lvm.ID{Group: "guests", Name: "web1-monday"})
			if err != nil {
				log.Fatal(err)
			}
			opts.Changes = blockcopy.Extents(changed)
		}
		source, err := blockcopy.OpenSource(snapshot.Path)
		if err != nil {
			log.Fatal(err)
		}
		defer source.Close()
		here, there := net.Pipe() // or ssh to the other host
		go func() { _ = blockcopy.Serve(ctx, there, blockcopy.Paths{}.Open) }()
		report, err := blockcopy.Push(ctx, here, source, filepath.Join(dir, "copy"), &opts)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("by %s: %d KiB read, %d sent as data\n", report.How, report.Stats.Read>>10, report.Stats.Data>>10)
		opts.Since = report.Generation
		return snapshot
	}
	night("web1-monday")
	write(ctx, volumes, web1.ID)
	night("web1-tuesday")
	// Output:
	// by all: 65536 KiB read, 0 sent as data
	// by changes: 4 KiB read, 4 sent as data
}

func write(ctx context.Context, volumes lvm.Manager, id lvm.ID) {
	device, err := volumes.Open(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	defer device.Close()
	if _, err := device.WriteAt([]byte("an order"), 5<<20); err != nil {
		log.Fatal(err)
	}
	if err := device.Sync(); err != nil {
		log.Fatal(err)
	}
}
