package clone_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/migrate/clone"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/island/islandtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

// An upgrade is tried on a clone, which has the guest's address on a network of
// its own. It went well, so the clone becomes the guest; a second one is
// forgotten, and its time runs out.
func Example() {
	dir, err := os.MkdirTemp("", "clone-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	islands, net := islandtest.New("xenext"), networktest.New(nil)
	h := host.New(host.Config{ // on a dom0: xl.New, lvm.New, network.New, island.New
		Name: "curacao", Domains: xentest.New(nil), Volumes: lvmtest.New(dir, lvmtest.GroupSpec{Name: "guests"}),
		Network: net, Islands: islands, StateDir: dir,
	})
	ctx := context.Background()
	_, err = net.Apply(ctx, network.State{Bridges: []network.Bridge{{Name: "xenint", Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.1/16")}}}})
	if err != nil {
		log.Fatal(err)
	}
	web1, err := h.Provision(ctx, host.Guest{
		UUID: uuid.MustParse("7f3a0c1e-0000-4000-8000-000000000001"),
		Name: "web1", Memory: 128 << 20, Kernel: "/boot/vmlinuz",
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "web1"}, Size: 8 << 20}},
		Nics:  []host.Nic{{Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}, Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.10")}}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	opts := clone.Options{Name: "web1-trial", Out: "xenext", Lifetime: 4 * time.Hour, Now: func() time.Time { return noon }}
	trial, err := clone.Make(ctx, h, web1.UUID, &opts)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(trial.Name, trial.State, trial.Disks, "until", trial.Expires.Format(time.TimeOnly))
	i, _ := islands.Island(trial.UUID)
	fmt.Println("inside:", i.Links[0].Addresses, "by", i.Links[0].Gateways, "and out by", i.Out)

	p, err := clone.Promote(ctx, h, trial.UUID) // and the guest boots from the clone's disk
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Guest.Name, "started:", p.Started, "kept:", p.Rollback)
	if err := h.ForgetRollback(ctx, web1.UUID); err != nil { // all is well
		log.Fatal(err)
	}

	if _, err := clone.Make(ctx, h, web1.UUID, &opts); err != nil {
		log.Fatal(err)
	}
	r, err := clone.Sweep(ctx, h, noon.Add(5*time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("expired:", r.Expired[0].Name)
	volumes, err := h.Volumes().Volumes(ctx, "guests")
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range volumes {
		fmt.Println("left:", v.ID)
	}
	// Output:
	// web1-trial running [guests/web1-trial-xvda] until 16:00:00
	// inside: [192.168.0.10] by [192.168.0.1/16] and out by xenext
	// web1 started: true kept: [guests/web1-rollback]
	// expired: web1-trial
	// left: guests/web1
}
