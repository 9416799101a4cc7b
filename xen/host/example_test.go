package host_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen/events"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

// A guest reboots after a hot backup, which has cost it the process of xl that
// would start it again.
func ExampleHost_Supervise() {
	dir, err := os.MkdirTemp("", "supervise-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	domains := xentest.New(nil) // on a dom0: xl.New, lvm.New, network.New
	h := host.New(host.Config{
		Name: "curacao", Domains: domains, Volumes: lvmtest.New(dir, lvmtest.GroupSpec{Name: "guests"}),
		Network: networktest.New(nil), StateDir: dir,
	})
	ctx, cancel := context.WithCancel(context.Background())
	g, err := h.Provision(ctx, host.Guest{
		Name: "web1", Memory: 128 << 20, Kernel: "/boot/vmlinuz",
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "web1"}, Size: 8 << 20}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := domains.LoseMonitor(g.UUID); err != nil {
		log.Fatal(err)
	}

	go func() { // on a dom0, another process looks on
		_ = events.Watch(ctx, h.Domains(), events.Every(time.Millisecond), nil, func(e events.Event) {
			fmt.Println(e)
			switch e.Kind {
			case events.Found:
				_ = domains.GuestReboot(g.UUID)
			case events.Rebooted:
				cancel()
			}
		})
	}()
	err = h.Supervise(ctx, events.Every(time.Millisecond), &host.SuperviseOptions{Patience: 500 * time.Millisecond})
	fmt.Println(err)
	// Output:
	// web1: found, domid 1
	// web1: shut down, domid 1 (reboot)
	// web1: gone, domid 1 (reboot)
	// web1: rebooted, domid 1 to 2 (reboot)
	// context canceled
}
