package guardtest

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/xenhost/xenhost/network"
)

// Host is who somebody on the bridge is.
type Host struct {
	MAC    network.MAC
	V4, V6 netip.Addr
}

// LinkLocal is the address that follows from the MAC.
func (h Host) LinkLocal() netip.Addr {
	m := h.MAC
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// Ethernet types and protocols that the frames are made of.
const (
	typeARP, typeIP, typeIP6 = 0x0806, 0x0800, 0x86dd
	protoUDP, protoICMP6     = 17, 58
)

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// ethernet is a frame to everybody on the bridge.
func ethernet(from network.MAC, kind uint16, payload []byte) []byte {
	return slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, from[:], be16(kind), payload)
}

// arp is "sender says", for Ethernet and IPv4.
func arp(op uint16, mac network.MAC, sender, target netip.Addr) []byte {
	return slices.Concat(be16(1), be16(typeIP), []byte{6, 4}, be16(op), mac[:], sender.AsSlice(), make([]byte, 6), target.AsSlice())
}

// ip4 is a packet with a right checksum, which br_netfilter asks for.
func ip4(proto byte, from, to netip.Addr, payload []byte) []byte {
	h := slices.Concat([]byte{0x45, 0}, be16(uint16(20+len(payload))), []byte{0, 0, 0, 0, 64, proto, 0, 0}, from.AsSlice(), to.AsSlice())
	var sum uint32
	for pair := range slices.Chunk(h, 2) {
		sum += uint32(binary.BigEndian.Uint16(pair))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum))
	return append(h, payload...)
}

func ip6(next byte, from, to netip.Addr, payload []byte) []byte {
	return slices.Concat([]byte{0x60, 0, 0, 0}, be16(uint16(len(payload))), []byte{next, 255}, from.AsSlice(), to.AsSlice(), payload)
}

func udp(from, to uint16, payload []byte) []byte {
	return slices.Concat(be16(from), be16(to), be16(uint16(8+len(payload))), []byte{0, 0}, payload)
}

// icmp6 has no checksum: the guard does not look at it.
func icmp6(kind byte, body ...[]byte) []byte {
	return append([]byte{kind, 0, 0, 0}, slices.Concat(body...)...)
}

// neighbour is a solicitation (135) or advertisement (136) of target, with the
// sender's MAC as option.
func neighbour(kind byte, target netip.Addr, mac network.MAC) []byte {
	option := byte(1)
	if kind == 136 {
		option = 2
	}
	return icmp6(kind, []byte{0x20, 0, 0, 0}, target.AsSlice(), []byte{option, 1}, mac[:])
}

// header is an extension header of 8 bytes that is followed by next.
func header(next byte) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }

// fragment is a fragment header: the first of more to come.
func fragment(next byte) []byte { return []byte{next, 0, 0, 1, 0, 0, 0, 7} }
