package networktest_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/networktest"
)

// A guest gets a port of the host, and a second one can not have the same.
func Example() {
	ctx := context.Background()
	host := networktest.New(nil) // network.New(nil) on a dom0

	if err := host.Set(ctx, web1()); err != nil {
		fmt.Println(err)
	}
	id, to, _ := host.Lookup(network.TCP, 8080)
	fmt.Println(id, "answers at", to)

	second := web1()
	second.UUID = uuid.MustParse("8a000000-0000-4000-8000-000000000002")
	second.Ports[0].Vif = network.VifName(second.UUID, 0)
	second.Ports[0].MAC[5] = 2
	second.Ports[0].Addresses[0] = netip.MustParseAddr("192.168.0.11")
	second.Forwards[0].To = netip.MustParseAddrPort("192.168.0.11:80")
	err := host.Set(ctx, second)
	fmt.Println(err)
	fmt.Println(errors.Is(err, network.ErrConflict))
	// Output:
	// 7f3a0000-0000-4000-8000-000000000001 answers at 192.168.0.10:80
	// network: set 8a000000-0000-4000-8000-000000000002: forward tcp *:8080 -> 192.168.0.11:80: tcp port 8080 belongs to guest 7f3a0000-0000-4000-8000-000000000001: already taken
	// true
}

// The plan of a whole host is printed first and then done.
func ExampleFake_Apply() {
	ctx := context.Background()
	host := networktest.New(nil)
	want := network.State{
		Bridges:     []network.Bridge{{Name: "xenbr0", Ports: []string{"eth2"}}},
		Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "xenext"}},
	}

	have, _ := host.Read(ctx)
	fmt.Print("dry run:\n", network.Diff(have, want))
	if _, err := host.Apply(ctx, want); err != nil {
		fmt.Println(err)
	}
	plan, err := host.Apply(ctx, want)
	fmt.Println("again:", plan.Empty(), err)
	fmt.Print("\n", host)
	// Output:
	// dry run:
	// + bridge xenbr0
	// + interface eth2 in bridge xenbr0
	// + masquerade 192.168.0.0/16 out xenext
	// again: true <nil>
	//
	// xenbr0 (ours) eth2
	// xenext (by hand) eth0 203.0.113.1/24
	// xenint (by hand) eth1 192.168.0.1/16
	// masquerade 192.168.0.0/16 out xenext
}

// dom0 keeps the ports that it needs itself.
func ExampleFake_Set() {
	host := networktest.New(nil)
	guest := web1()
	guest.Forwards[0].Port = 22
	err := host.Set(context.Background(), guest)
	fmt.Println(err)
	fmt.Println(errors.Is(err, network.ErrReserved))
	// Output:
	// network: set 7f3a0000-0000-4000-8000-000000000001: forward tcp *:22 -> 192.168.0.10:80: dom0 itself needs this port
	// true
}
