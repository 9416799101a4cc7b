// Package island gives a guest a network of its own that looks to it like the
// one it knows: a bridge with nothing on it but the guest and a router, which
// has the address of the guest's gateway. So a clone runs with the very
// addresses of the guest that it was made of, on the same host, and neither
// meets the other.
//
//	m := island.New(nil)
//	err := m.Set(ctx, island.Island{UUID: id, Out: "xenext", Links: []island.Link{{
//		Gateways:  []netip.Prefix{netip.MustParsePrefix("192.168.0.1/16")},
//		Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.10")},
//	}}})
//	// the domain's vif is island.VifName(id, 0), on island.BridgeName(id, 0)
//	err = m.Remove(ctx, id)
//
// # How it is made
//
// The router is a network namespace, since one routing table can not hold an
// address twice:
//
//	ip link add cb7f3a0c1e.0 type bridge
//	ip netns add xhisland-7f3a0c1e-0000-4000-8000-000000000001
//	ip link add cg7f3a0c1e.0 master cb7f3a0c1e.0 type veth peer in0 netns xhisland-7f3a...
//	ip -n xhisland-7f3a... address add 192.168.0.1/16 dev in0
//	ip link add cu7f3a0c1e type veth peer out netns xhisland-7f3a...
//
// What leaves by out gets an address of Options.Transit there, and that of the
// host's Out interface in dom0.
//
// # What is kept apart
//
// What comes from an island leaves by its Out or not at all: not to dom0, not
// to a guest or another island, also not by way of a forward of the host. Nothing
// begins a connection to it. Dom0 has no address on its bridge, takes no packet
// in from it, and answers no ARP there; a guest that sends frames to the
// bridge's own MAC gets nowhere. This is the table inet xenhost_island, by the
// link group 87.
//
// # What is ours
//
// Links with the alias xenhost:island:UUID, namespaces that are named
// xhisland-UUID, and that table. Nothing else is changed or removed.
//
// # What it does not promise
//
//   - IPv6 beyond the bridge. The guest keeps its addresses and finds no router.
//   - A way out where somebody's FORWARD chain drops what it does not know: let
//     the host's network masquerade Options.Transit there, whose rules let it
//     through (network.Masquerade).
//   - Names: who needs a resolver that is inside finds none. Resolvers of the
//     world work.
//   - A reboot of the host. It leaves nothing; Set makes all of it again.
package island
