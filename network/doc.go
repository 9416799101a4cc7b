// Package network keeps what a dom0 does for its guests on the network:
// bridges, guests' ports on them, guests that it routes, masquerading, and
// forwards of the host's ports to guests.
//
// # Words
//
// A bridge is a Linux bridge. A guest's port is its place on a bridge, or is
// routed: then it is on none, and dom0 is its router; the vif, the interface
// that sits there, is made by Xen when the domain starts and named by VifName. A forward (DNAT) sends what arrives at a port, at
// ports or at a whole address of the host to a guest. A masquerade (SNAT) lets
// private guests reach the world. A State is all of that for one host; a Plan
// is the difference of two states, line by line.
//
// # How it goes
//
// The whole host at once, as at boot. The lines above each call are what an
// operator would type for the same:
//
//	net := network.New(nil)
//
//	// sysctl net.ipv4.ip_forward=1
//	// iptables -t nat -A POSTROUTING -s 192.168.0.0/16 ! -d 192.168.0.0/16 -o xenext -j MASQUERADE
//	// iptables -I FORWARD -s 192.168.0.0/16 -o xenext -j ACCEPT, and one for the answers
//	plan, err := net.Apply(ctx, network.State{
//		Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "xenext"}},
//	})
//
// One guest, before its domain is created:
//
//	// iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 8080 -j DNAT --to-destination 192.168.0.10:80
//	// ip link set x7f3a0b1c.0 master xenint up (if it is there; else Xen's vif-bridge does it)
//	err = net.Set(ctx, network.Guest{
//		UUID:     id,
//		Ports:    []network.Port{{Vif: network.VifName(id, 0), Bridge: "xenint", MAC: mac, Addresses: addrs}},
//		Forwards: []network.Forward{{Proto: network.TCP, Port: 8080, To: netip.MustParseAddrPort("192.168.0.10:80")}},
//	})
//
// A routed guest has a public address of its own and shares no network with
// others. Its default routes are RouterV4 and RouterV6; examples/vifhook routes
// its vif each time that the domain starts:
//
//	// ip route add 203.0.113.10 dev x7f3a0b1c.0 proto 86
//	// ip neigh add proxy 203.0.113.10 dev xenext, and arping -U for the neighbours there
//	err = net.Set(ctx, network.Guest{UUID: id, Ports: []network.Port{{
//		Vif: network.VifName(id, 0), MAC: mac, Routed: true, Uplink: "xenext",
//		Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("2001:db8::10")},
//		Networks:  []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/64")},
//	}}})
//
// And when it has moved away:
//
//	// iptables -t nat -D ..., conntrack -D --orig-port-dst 8080 --reply-src 192.168.0.10
//	err = net.Remove(ctx, id)
//
// Every call can be repeated. Read and Diff tell beforehand what Apply would do.
//
// # What is ours
//
// With iptables: chains that begin with XH- in the tables nat and filter, and
// the jumps to them in the first place of FORWARD, PREROUTING, OUTPUT and
// POSTROUTING. With nft: the tables xenhost of the families ip and ip6. Probe
// says which of the two a host gets. Bridges with the alias xenhost:br:NAME,
// bonds, VLANs and vxlans with the alias xenhost:link:NAME, and vifs with the
// alias xenhost:UUID:INDEX. Routes of the protocol 86, links of the group 86,
// and the proxy entries of routed guests' addresses on their uplinks.
//
// What is in force is the record that Read reads: a rule of iptables says in
// its comment, in the words of a plan, what it is for; an element of nft's maps
// says whose it is.
//
//	iptables-save -t nat | grep 'xenhost: forward'
//	nft list map ip xenhost port
//
// Nothing else is changed or removed. A bridge that the operator made by hand
// can be named in a State if it has what is wanted of it; it is then used as
// it is. No file keeps anything: after a reboot of the host Apply (or one Set
// for each guest) makes all of it again.
//
// No rule of ours drops anything. The jumps see only what is addressed to the
// host itself, so frames that pass through a bridge are never redirected, also
// when net.bridge.bridge-nf-call-iptables is on.
//
// # How it is made
//
// A State is a set of facts, each of which needs lines: rules of chains, or
// elements of sets. A line is there as long as a fact needs it. Two renderers
// say which lines those are, and a fact is in force if all of its lines are
// there. That is all that a plan, a change of one guest, drift and the way back
// after a refused line are made of.
//
// # What it costs
//
// A Linux remembers what it read. nf_tables counts its changes, by anybody, so
// one message tells whether that still holds; a change of one guest then costs
// what that guest has, on a host with ten thousand forwards as on an empty one,
// and to find nothing to do costs no look at a rule. After a change the count
// must have grown by ours. If it is another, all is read and compared anew, so
// a hand in our rules is found whenever there was one. The first call of a process
// reads all. iptables-legacy has no such count: its text is read before and
// after, and compared by a sum.
//
// What is written is one iptables-restore for each table that differs, or one
// nft -f for both families, however many forwards that are. A new connection
// passes at most 64 + 16 + 64 rules for each protocol in the port tree of iptables (and one rule
// for each whole address), or seven look-ups of nft; an established one none.
//
// # What it does not promise
//
//   - Keeping a guest from using addresses that are not its own: that is the
//     guard's. A routed guest's vif has rp_filter, which is about IPv4 alone.
//   - An answer at once for a routed guest's address: the kernel lets an ARP
//     or neighbour request for another wait up to 0.8 s
//     (net.ipv4.neigh.DEV.proxy_delay). Set announces the address, so that few
//     need to ask.
//   - The port of the device model of a routed HVM guest: it is reached once
//     its own driver runs.
//   - Both tables of iptables at once: filter changes first, and goes back if
//     nat is refused. A process killed between the two leaves filter with rules
//     that let through what nat does not send yet. The next call mends that.
//     nft changes all in one step.
//   - With nft, to forward where another table drops: a packet that the chain
//     FORWARD of iptables drops is lost, whatever we accept. Probe picks nft
//     only where nobody uses iptables.
//   - Making a bridge out of an interface that has dom0's own address:
//     Apply refuses, since it would cut dom0 off.
//   - Switching net.ipv4.ip_forward or net.ipv6.conf.all.forwarding off again.
//     When the latter is switched on, interfaces that take router advertisements
//     (accept_ra 1) go on doing so (accept_ra 2).
//   - Which of several IPv6 addresses a masquerade takes: name one by As, or
//     give the extra ones preferred_lft 0.
//   - A guest that reaches itself by the host's public address while
//     net.bridge.bridge-nf-call-iptables is on: its frame would have to leave
//     by the port that it came in by. It works where that is off, and between
//     two guests always.
//   - A forward without ReturnIngress on a host that is not the guest's
//     gateway: the answers leave by the gateway and are lost.
//   - Working beside rules of ours that another firewall made: every call
//     refuses with ErrForeign.
package network
