// Package network keeps what a dom0 does for its guests on the network:
// bridges, guests' ports on them, masquerading, and forwards of the host's
// ports to guests.
//
// # Words
//
// A bridge is a Linux bridge. A guest's port is its place on a bridge; the
// vif, the interface that sits there, is made by Xen when the domain starts
// and named by VifName. A forward (DNAT) sends what arrives at a port of the
// host to a guest. A masquerade (SNAT) lets private guests reach the world. A
// State is all of that for one host; a Plan is the difference of two states,
// line by line.
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
// And when it has moved away:
//
//	// iptables -t nat -D ..., conntrack -D --orig-port-dst 8080 --reply-src 192.168.0.10
//	err = net.Remove(ctx, id)
//
// Every call can be repeated. Read and Diff tell beforehand what Apply would do.
//
// # What is ours
//
// Chains that begin with XH- in the tables nat and filter, the jumps to them
// in the first place of FORWARD, PREROUTING, OUTPUT and POSTROUTING, bridges
// with the alias xenhost:br:NAME, and vifs with the alias xenhost:UUID:INDEX.
// Each rule carries a comment; the comments of the table nat are the record
// that Read reads, in the words of a plan:
//
//	iptables-save -t nat | grep 'xenhost: forward'
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
// # What it costs
//
// A call reads the tables once before and once after its work; what it writes
// is one iptables-restore for each table that differs, however many forwards
// that are. A new connection passes at most 64 + 16 + 128 rules in the port
// tree, an established one none.
//
// # What it does not promise
//
//   - IPv6 forwards and masquerades, port ranges, and keeping a guest from
//     using addresses that are not its own.
//   - Both iptables tables at once: filter changes first, and goes back if nat
//     is refused. A process killed between the two leaves filter with rules
//     that let through what nat does not send yet. The next call mends that.
//   - Making a bridge out of an interface that has dom0's own address:
//     Apply refuses, since it would cut dom0 off.
//   - Switching net.ipv4.ip_forward off again.
//   - A guest that reaches itself by the host's public address while
//     net.bridge.bridge-nf-call-iptables is on: its frame would have to leave
//     by the port that it came in by. It works where that is off, and between
//     two guests always.
//   - A forward without ReturnIngress on a host that is not the guest's
//     gateway: the answers leave by the gateway and are lost.
//   - Working beside rules of ours that the other variant of iptables (legacy
//     or nft) made: every call refuses with ErrForeign.
package network
