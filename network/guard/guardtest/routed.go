package guardtest

import (
	"net/netip"
	"slices"

	"github.com/xenhost/xenhost/network"
)

// Machine is a Host to which frames are sent.
type Machine struct {
	V4, V6 netip.Addr
}

// RoutedForged are frames by which a routed guest that is me would send to a
// machine as somebody else, through its router, whose MAC is router. None may
// come there.
func RoutedForged(me, victim Host, router network.MAC, to Machine) []Frame {
	nobody := network.MAC{2, 0, 0, 0, 0, 9}
	none4, none6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	on := func(name string, from network.MAC, ether uint16, packet func(mark []byte) []byte) kind {
		return kind{name, func(mark []byte) []byte { return sent(router, from, ether, packet(mark)) }}
	}
	v4 := func(from netip.Addr, sport uint16) func([]byte) []byte {
		return func(mark []byte) []byte { return ip4(protoUDP, from, to.V4, udp(sport, 4000, mark)) }
	}
	v6 := func(from netip.Addr, next byte, payload ...[]byte) func([]byte) []byte {
		return func(mark []byte) []byte { return ip6(next, from, to.V6, append(slices.Concat(payload...), mark...)) }
	}
	hello := udp(4000, 4000, nil)
	return marked("routed forged", []kind{
		on("IPv4 from the victim's MAC", victim.MAC, typeIP, v4(me.V4, 4000)),
		on("IPv4 from a MAC that nobody has", nobody, typeIP, v4(me.V4, 4000)),
		on("IPv6 from the victim's MAC", victim.MAC, typeIP6, v6(me.V6, protoUDP, hello)),
		on("IPv4 from the victim's address", me.MAC, typeIP, v4(victim.V4, 4000)),
		on("IPv4 from the machine's own address", me.MAC, typeIP, v4(to.V4, 4000)),
		on("IPv4 from an address that nobody has", me.MAC, typeIP, v4(me.V4.Next().Next().Next().Next().Next(), 4000)),
		on("IPv4 from no address", me.MAC, typeIP, v4(none4, 4000)),
		on("IPv4 DHCP server", me.MAC, typeIP, v4(me.V4, 67)),
		on("IPv4 behind a priority tag", me.MAC, 0x8100, func(mark []byte) []byte {
			return slices.Concat(be16(0), be16(typeIP), ip4(protoUDP, victim.V4, to.V4, udp(4000, 4000, mark)))
		}),
		on("IPv6 from the victim's address", me.MAC, typeIP6, v6(victim.V6, protoUDP, hello)),
		on("IPv6 from the machine's own address", me.MAC, typeIP6, v6(to.V6, protoUDP, hello)),
		on("IPv6 from an address that nobody has", me.MAC, typeIP6, v6(netip.MustParseAddr("2001:db8:bad::1"), protoUDP, hello)),
		on("IPv6 from no address", me.MAC, typeIP6, v6(none6, protoUDP, hello)),
		on("IPv6 fragment from the victim's address", me.MAC, typeIP6, v6(victim.V6, 44, fragment(protoUDP), hello)),
		on("IPv6 DHCP server", me.MAC, typeIP6, v6(me.V6, protoUDP, udp(547, 546, nil))),
	})
}

// RoutedHonest are frames of me that must come to the machine.
func RoutedHonest(me Host, router network.MAC, to Machine) []Frame {
	return marked("routed honest", []kind{
		{"IPv4", func(mark []byte) []byte {
			return sent(router, me.MAC, typeIP, ip4(protoUDP, me.V4, to.V4, udp(4000, 4000, mark)))
		}},
		{"IPv6", func(mark []byte) []byte {
			return sent(router, me.MAC, typeIP6, ip6(protoUDP, me.V6, to.V6, udp(4000, 4000, mark)))
		}},
	})
}

// RoutedClaims are questions for the router's addresses that come from the
// victim's: a router that believes them has me as its neighbour of that
// address. They have no Mark: nobody passes them on.
func RoutedClaims(me, victim Host) []Frame {
	r4, r6 := netip.MustParseAddr(network.RouterV4), netip.MustParseAddr(network.RouterV6)
	group := netip.MustParseAddr("ff02::1:ff00:1")
	return []Frame{
		{Name: "ARP request from the victim's address", Bytes: ethernet(me.MAC, typeARP, arp(1, me.MAC, victim.V4, r4))},
		{Name: "neighbour solicitation from the victim's address", Bytes: sent(network.MAC{0x33, 0x33, 0xff, 0, 0, 1}, me.MAC, typeIP6,
			summed(ip6(protoICMP6, victim.V6, group, neighbour(135, r6, me.MAC))))},
	}
}

// sent is a frame to one receiver.
func sent(to, from network.MAC, kind uint16, payload []byte) []byte {
	return slices.Concat(to[:], from[:], be16(kind), payload)
}

// summed puts the checksum into an ICMPv6 packet without extension headers.
func summed(p []byte) []byte {
	body := p[40:]
	sum := uint32(len(body)) + protoICMP6
	for _, part := range [][]byte{p[8:40], body} {
		for pair := range slices.Chunk(part, 2) {
			sum += uint32(pair[0])<<8 | uint32(pair[1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	body[2], body[3] = byte(^sum>>8), byte(^sum)
	return p
}
