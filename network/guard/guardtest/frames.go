package guardtest

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/xenhost/xenhost/network"
)

// Frame is what a guest sends to everybody on its bridge. Mark is a part of it
// that no other frame has, by which a receiver knows it.
type Frame struct {
	Name  string
	Bytes []byte
	Mark  []byte
}

// kind is a frame that still lacks its mark.
type kind struct {
	name string
	make func(mark []byte) []byte
}

func marked(word string, kinds []kind) []Frame {
	var out []Frame
	for i, k := range kinds {
		mark := fmt.Appendf(nil, "<%s %d>", word, i)
		out = append(out, Frame{Name: k.name, Bytes: k.make(mark), Mark: mark})
	}
	return out
}

func broadcast4() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// Forged are frames by which a guest that is me would take the place of
// victim, of a router or of a DHCP server. None may leave its port.
func Forged(me, victim Host) []Frame {
	on := func(name string, from network.MAC, ether uint16, packet func(mark []byte) []byte) kind {
		return kind{name, func(mark []byte) []byte { return ethernet(from, ether, packet(mark)) }}
	}
	hello := func(mark []byte) []byte { return udp(4000, 4000, mark) }
	arps := func(op uint16, mac network.MAC, sender, target netip.Addr) func([]byte) []byte {
		return func(mark []byte) []byte { return append(arp(op, mac, sender, target), mark...) }
	}
	v4 := func(from netip.Addr, sport, dport uint16) func([]byte) []byte {
		return func(mark []byte) []byte { return ip4(protoUDP, from, broadcast4(), udp(sport, dport, mark)) }
	}
	v6 := func(from netip.Addr, next byte, payload ...[]byte) func([]byte) []byte {
		return func(mark []byte) []byte {
			return ip6(next, from, netip.IPv6LinkLocalAllNodes(), append(slices.Concat(payload...), mark...))
		}
	}
	tagged := func(tag uint16) func([]byte) []byte {
		return func(mark []byte) []byte {
			return slices.Concat(be16(tag), be16(typeIP), ip4(protoUDP, me.V4, broadcast4(), hello(mark)))
		}
	}
	ll, advert := me.LinkLocal(), icmp6(134, make([]byte, 12))
	return marked("forged", slices.Concat(
		[]kind{
			on("IPv4 from the victim's MAC", victim.MAC, typeIP, v4(me.V4, 4000, 4000)),
			on("IPv6 from a MAC that nobody has", network.MAC{2, 0, 0, 0, 0, 9}, typeIP6, v6(me.V6, protoUDP, udp(1, 1, nil))),
			on("ARP reply for the victim's address", me.MAC, typeARP, arps(2, me.MAC, victim.V4, me.V4)),
			on("ARP request from the victim's address", me.MAC, typeARP, arps(1, me.MAC, victim.V4, me.V4)),
			on("gratuitous ARP for the victim's address", me.MAC, typeARP, arps(1, me.MAC, victim.V4, victim.V4)),
			on("ARP with the victim's MAC inside", me.MAC, typeARP, arps(2, victim.MAC, me.V4, victim.V4)),
			on("ARP probe for the victim's address", me.MAC, typeARP, arps(1, me.MAC, netip.IPv4Unspecified(), victim.V4)),
			on("reverse ARP", me.MAC, typeARP, arps(3, me.MAC, me.V4, me.V4)),
			on("IPv4 from the victim's address", me.MAC, typeIP, v4(victim.V4, 4000, 4000)),
			on("IPv4 from no address", me.MAC, typeIP, v4(netip.IPv4Unspecified(), 4000, 4000)),
			on("IPv4 DHCP server", me.MAC, typeIP, v4(me.V4, 67, 68)),
			on("ICMP redirect", me.MAC, typeIP, func(mark []byte) []byte {
				return ip4(1, me.V4, broadcast4(), append([]byte{5, 1, 0, 0, 0, 0, 0, 0}, mark...))
			}),
		},
		[]kind{
			on("IPv6 from the victim's address", me.MAC, typeIP6, v6(victim.V6, protoUDP, udp(4000, 4000, nil))),
			on("IPv6 from the victim's link-local address", me.MAC, typeIP6, v6(victim.LinkLocal(), protoUDP, udp(4000, 4000, nil))),
			on("IPv6 from no address", me.MAC, typeIP6, v6(netip.IPv6Unspecified(), protoUDP, udp(4000, 4000, nil))),
			on("router advertisement", me.MAC, typeIP6, v6(ll, protoICMP6, advert)),
			on("router advertisement behind an extension header", me.MAC, typeIP6, v6(ll, 0, header(60), header(protoICMP6), advert)),
			on("router advertisement in a fragment", me.MAC, typeIP6, v6(ll, 44, fragment(protoICMP6), advert)),
			on("fragment that ends before its transport header", me.MAC, typeIP6, func(mark []byte) []byte {
				// The options promise 16 bytes more than there are.
				options := slices.Concat([]byte{protoICMP6, 4, 1, 22}, mark)
				return ip6(44, ll, netip.IPv6LinkLocalAllNodes(), append(fragment(60), options...))
			}),
			on("ICMPv6 redirect", me.MAC, typeIP6, v6(ll, protoICMP6, icmp6(137, make([]byte, 36)))),
			on("multicast querier", me.MAC, typeIP6, v6(ll, protoICMP6, icmp6(130, make([]byte, 20)))),
			on("neighbour advertisement of the victim's address", me.MAC, typeIP6, v6(me.V6, protoICMP6, neighbour(136, victim.V6, me.MAC))),
			on("neighbour advertisement of the victim's link-local address", me.MAC, typeIP6, v6(ll, protoICMP6, neighbour(136, victim.LinkLocal(), me.MAC))),
			on("neighbour advertisement from the victim's address", me.MAC, typeIP6, v6(victim.V6, protoICMP6, neighbour(136, me.V6, me.MAC))),
			on("neighbour solicitation from the victim's address", me.MAC, typeIP6, v6(victim.V6, protoICMP6, neighbour(135, me.V6, me.MAC))),
			on("duplicate address detection of the victim's address", me.MAC, typeIP6, v6(netip.IPv6Unspecified(), protoICMP6, neighbour(135, victim.V6, me.MAC))),
			on("IPv6 DHCP server", me.MAC, typeIP6, v6(ll, protoUDP, udp(547, 546, nil))),
		},
		[]kind{
			on("802.1Q tag", me.MAC, 0x8100, tagged(100)),
			on("802.1Q priority tag", me.MAC, 0x8100, tagged(0)),
			on("802.1ad tag", me.MAC, 0x88a8, tagged(100)),
			on("two tags", me.MAC, 0x88a8, func(mark []byte) []byte { return slices.Concat(be16(5), be16(0x8100), tagged(7)(mark)) }),
			on("spanning tree", me.MAC, 38, func(mark []byte) []byte { return append([]byte{0x42, 0x42, 3, 0, 0, 0, 0}, mark...) }),
			on("LLDP", me.MAC, 0x88cc, func(mark []byte) []byte { return mark }),
			on("EAPOL", me.MAC, 0x888e, func(mark []byte) []byte { return mark }),
		},
	))
}

// Honest are frames of me that must pass.
func Honest(me Host) []Frame {
	on := func(name string, ether uint16, packet func(mark []byte) []byte) kind {
		return kind{name, func(mark []byte) []byte { return ethernet(me.MAC, ether, packet(mark)) }}
	}
	v6 := func(from netip.Addr, next byte, payload []byte) func([]byte) []byte {
		return func(mark []byte) []byte {
			return ip6(next, from, netip.IPv6LinkLocalAllNodes(), append(payload, mark...))
		}
	}
	arps := func(op uint16, sender, target netip.Addr) func([]byte) []byte {
		return func(mark []byte) []byte { return append(arp(op, me.MAC, sender, target), mark...) }
	}
	return marked("honest", []kind{
		on("ARP request", typeARP, arps(1, me.V4, me.V4.Next())),
		on("ARP reply", typeARP, arps(2, me.V4, me.V4.Next())),
		on("ARP probe", typeARP, arps(1, netip.IPv4Unspecified(), me.V4)),
		on("IPv4", typeIP, func(mark []byte) []byte { return ip4(protoUDP, me.V4, broadcast4(), udp(4000, 4000, mark)) }),
		on("DHCP client", typeIP, func(mark []byte) []byte {
			return ip4(protoUDP, netip.IPv4Unspecified(), broadcast4(), udp(68, 67, mark))
		}),
		on("IPv6", typeIP6, v6(me.V6, protoUDP, udp(4000, 4000, nil))),
		on("IPv6 behind an extension header", typeIP6, v6(me.V6, 60, append(header(protoUDP), udp(4000, 4000, nil)...))),
		on("link-local IPv6", typeIP6, v6(me.LinkLocal(), protoUDP, udp(546, 547, nil))),
		on("router solicitation", typeIP6, v6(me.LinkLocal(), protoICMP6, icmp6(133, make([]byte, 4)))),
		on("neighbour solicitation", typeIP6, v6(me.V6, protoICMP6, neighbour(135, me.V6.Next(), me.MAC))),
		on("neighbour advertisement", typeIP6, v6(me.V6, protoICMP6, neighbour(136, me.V6, me.MAC))),
		on("duplicate address detection", typeIP6, v6(netip.IPv6Unspecified(), protoICMP6, neighbour(135, me.V6, me.MAC))),
		on("multicast report", typeIP6, v6(netip.IPv6Unspecified(), protoICMP6, icmp6(143, make([]byte, 4)))),
	})
}
