// Package neighbour tells a network who has an address: gratuitous ARP for
// IPv4, unsolicited neighbour advertisements for IPv6.
package neighbour

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/ether"
)

// Announce sends one frame for each address, that mac has it, on the interface
// with that index in the thread's network namespace.
//
//	arping -U -s ADDRESS …, ndsend ADDRESS …
func Announce(index int, mac ether.Addr, addresses []netip.Addr) (err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	for _, a := range addresses {
		frame := unsolicitedNA(mac, a)
		if a = a.Unmap(); a.Is4() {
			frame = gratuitousARP(mac, a)
		}
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
			return fmt.Errorf("announce %v: %w", a, err)
		}
	}
	return nil
}

// LinkLocal is the address that follows from a MAC (RFC 4291, appendix A).
func LinkLocal(m ether.Addr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// gratuitousARP is an ARP request of an address for itself (RFC 5227, 3).
func gratuitousARP(mac ether.Addr, a netip.Addr) []byte {
	return slices.Concat(
		[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac[:], []byte{8, 6},
		[]byte{0, 1, 8, 0, 6, 4, 0, 1}, mac[:], a.AsSlice(), make([]byte, 6), a.AsSlice(),
		make([]byte, 18), // to the least size of a frame
	)
}

// unsolicitedNA is a neighbour advertisement to all nodes that overrides what
// they know (RFC 4861, 7.2.6).
func unsolicitedNA(mac ether.Addr, a netip.Addr) []byte {
	all := netip.IPv6LinkLocalAllNodes()
	from := a.As16()
	body := slices.Concat([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, from[:], []byte{2, 1}, mac[:])
	pseudo := slices.Concat(from[:], all.AsSlice(), []byte{0, 0, 0, byte(len(body)), 0, 0, 0, 58}, body)
	var sum uint32
	for pair := range slices.Chunk(pseudo, 2) {
		sum += uint32(binary.BigEndian.Uint16(pair))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(body[2:], ^uint16(sum))
	return slices.Concat(
		[]byte{0x33, 0x33, 0, 0, 0, 1}, mac[:], []byte{0x86, 0xdd},
		[]byte{0x60, 0, 0, 0, 0, byte(len(body)), 58, 255}, from[:], all.AsSlice(), body,
	)
}
