package billing_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/billing"
	"github.com/xenhost/xenhost/xen/xentest"
)

// An order from its payment to its end, as a panel calls it.
func Example() {
	dir, err := os.MkdirTemp("", "billing-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	h := host.New(host.Config{ // on a dom0: xl.New, lvm.New, network.New
		Name: "curacao", Domains: xentest.New(nil), Network: networktest.New(nil), StateDir: dir,
		Volumes: lvmtest.New(dir, lvmtest.GroupSpec{Name: "guests"}),
	})
	panel := billing.New(h, billing.Config{StateDir: dir}).As("whmcs")
	ctx := context.Background()

	order := billing.Order{ID: "4711", Customer: "anna", Guest: host.Guest{
		Name: "web1", Memory: 512 << 20, MaxMemory: 2 << 30, Kernel: "/boot/vmlinuz",
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "web1"}, Size: 16 << 20}},
	}}
	g, err := panel.Provision(ctx, order)
	fmt.Println(g.Name, g.UUID, billing.Answer(err))
	again, err := panel.Provision(ctx, order) // the panel had no answer
	fmt.Println(again.UUID == g.UUID, billing.Answer(err))

	ref := order.Ref()
	fmt.Println(billing.Answer(panel.Suspend(ctx, ref, "not paid")))
	fmt.Println(errors.Is(h.Start(ctx, g.UUID), host.ErrSuspended))
	fmt.Println(billing.Answer(panel.Unsuspend(ctx, ref)))
	changes, err := panel.ChangePlan(ctx, ref, host.Plan{Memory: 1 << 30, VCPUs: 2}, nil)
	for _, c := range changes {
		fmt.Println(c.What, c.From, c.To, c.When)
	}
	fmt.Println(billing.Answer(err))
	_, err = panel.Terminate(ctx, ref, billing.Termination{Name: "web2"})
	fmt.Println(billing.Answer(err))
	end, err := panel.Terminate(ctx, ref, billing.Termination{Name: "web1", Grace: 72 * time.Hour})
	fmt.Println(end.Done, billing.Answer(err))
	fmt.Println(billing.Answer(panel.Revive(ctx, ref)))
	end, err = panel.Terminate(ctx, ref, billing.Termination{Name: "web1"})
	fmt.Println(end.Done, billing.Answer(err))
	_, err = panel.Provision(ctx, order)
	fmt.Println(errors.Is(err, billing.ErrTerminated))
	// Output:
	// web1 200d4e94-591e-5bad-bf40-651b548a747e success
	// true success
	// success
	// true
	// success
	// memory 536870912 1073741824 live
	// vcpus 1 2 staged
	// success
	// billing: terminate order 4711: the guest is somebody else's: it is not called "web2"
	// false success
	// success
	// true success
	// true
}
