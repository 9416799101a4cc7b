// Package gateway lets two hosts serve one private network: guests have one
// default route, an address that moves to the host that lives, and both hosts
// are told of guests that moved between them.
//
//	g := gateway.Gateway{
//		Host: "curacao", Bridge: "xenint", ID: 51, Priority: 150,
//		Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.254/16")},
//		Self: netip.MustParseAddr("192.168.0.1"), Peers: []netip.Addr{netip.MustParseAddr("192.168.0.2")},
//		Uplinks: []string{"xenext"},
//	}
//	for _, f := range gateway.Findings(g, state) { … } // state is the host's network.State
//	os.WriteFile("/etc/keepalived/keepalived.conf", []byte(g.Keepalived()), 0o644)
//
// keepalived elects; this package only writes its configuration. With an
// advertisement a second, the other host takes over three to four seconds after
// the first one died.
//
// After a guest has moved, Announce tells the switches and the neighbours on
// its bridge where it is now:
//
//	// arping -U -s 192.168.0.10 …, and the same for IPv6
//	err := gateway.Announce(ctx, guest, nil)
//
// # What it does not promise
//
// Connections that are translated (masquerades, forwards) do not survive a take-
// over: the other host has no record of them, unless conntrackd runs.
package gateway
