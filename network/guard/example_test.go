package guard_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
)

// On a real host guard.New(nil) takes the place of the fake.
func Example() {
	ctx := context.Background()
	id := uuid.MustParse("7f3a0b1c-0000-4000-8000-000000000001")
	web1 := network.Guest{UUID: id, Ports: []network.Port{{
		Vif: network.VifName(id, 0), Bridge: "xenext", MAC: network.MAC{0, 0x16, 0x3e, 0, 0, 1},
		Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("2001:db8::10")},
	}}}
	var g guard.Manager = guardtest.New(guard.Dom0{
		Uplinks:   map[string]string{"eth0": "is a network card (pci)"},
		Addresses: map[netip.Addr]string{netip.MustParseAddr("203.0.113.1"): "dom0 on xenext"},
	})
	plan, err := g.Apply(ctx, guard.State{Guests: []guard.Guest{guard.Of(web1)}})
	fmt.Print(plan)
	fmt.Println(err)

	web1.Ports[0].Addresses[0] = netip.MustParseAddr("203.0.113.1")
	fmt.Println(g.Set(ctx, guard.Of(web1)))
	// Output:
	// + guard's rules
	// + port x7f3a0b1c.0 of 7f3a0b1c-0000-4000-8000-000000000001
	// + mac 00:16:3e:00:00:01 on x7f3a0b1c.0
	// + address 203.0.113.10 on x7f3a0b1c.0
	// + address 2001:db8::10 on x7f3a0b1c.0
	// <nil>
	// guard: set 7f3a0b1c-0000-4000-8000-000000000001: port x7f3a0b1c.0: 203.0.113.1 is the address of dom0 on xenext: already taken
}
