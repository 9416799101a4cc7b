package gateway_test

import (
	"fmt"
	"net/netip"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/gateway"
)

func Example() {
	curacao := gateway.Gateway{
		Host: "curacao", Bridge: "xenint", ID: 51, Priority: 150,
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.254/16")},
		Self:      netip.MustParseAddr("192.168.0.1"), Peers: []netip.Addr{netip.MustParseAddr("192.168.0.2")},
	}
	islay := curacao
	islay.Host, islay.Priority = "islay", 100
	islay.Self, islay.Peers = curacao.Peers[0], []netip.Addr{curacao.Self}
	fmt.Println(curacao.Validate(), gateway.Pair(curacao, islay))
	for _, f := range gateway.Findings(curacao, network.State{}) {
		fmt.Println(f.Code)
	}
	// Output:
	// <nil> <nil>
	// gateway-no-masquerade
}
