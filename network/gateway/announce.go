package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/network"
)

// AnnounceOptions change how Announce works; nil is right for a dom0.
type AnnounceOptions struct {
	// Times is how often each address is announced; 0 is 3.
	Times int
	// Pause between two rounds; 0 is 200 ms.
	Pause time.Duration
	// NetNS is the path of the network namespace; empty is the process's.
	NetNS string
}

// Announce tells everybody on a guest's bridges that its addresses are here
// now, with its MACs: gratuitous ARP for IPv4, unsolicited neighbour
// advertisements for IPv6. Switches learn the way from the frames' sender. Call
// it after a move, when the guest is plugged in.
//
// A guest without addresses is announced by its link-local IPv6 address, for
// the switches.
func Announce(ctx context.Context, g network.Guest, opts *AnnounceOptions) error {
	var o AnnounceOptions
	if opts != nil {
		o = *opts
	}
	if o.Times == 0 {
		o.Times = 3
	}
	if o.Pause == 0 {
		o.Pause = 200 * time.Millisecond
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // it may go to another namespace: never unlocked, the thread ends with the goroutine
		done <- announce(ctx, g, o)
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("gateway: announce %v: %w", g.UUID, err)
	}
	return nil
}

func announce(ctx context.Context, g network.Guest, o AnnounceOptions) (err error) {
	if o.NetNS != "" {
		ns, err := netns.GetFromPath(o.NetNS)
		if err != nil {
			return fmt.Errorf("network namespace %s: %w", o.NetNS, err)
		}
		defer func() { _ = ns.Close() }()
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("network namespace %s: %w", o.NetNS, err)
		}
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	for round := range o.Times {
		if round > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(o.Pause):
			}
		}
		for _, p := range g.Ports {
			link, err := netlink.LinkByName(p.Bridge)
			if err != nil {
				return fmt.Errorf("bridge %s: %w", p.Bridge, err)
			}
			for _, frame := range frames(p) {
				if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}); err != nil {
					return fmt.Errorf("send on %s: %w", p.Bridge, err)
				}
			}
		}
	}
	return ctx.Err()
}

// frames announce one port.
func frames(p network.Port) [][]byte {
	addresses := p.Addresses
	if len(addresses) == 0 {
		m := p.MAC
		addresses = []netip.Addr{netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})}
	}
	var out [][]byte
	for _, a := range addresses {
		if a = a.Unmap(); a.Is4() {
			out = append(out, gratuitousARP(p.MAC, a))
		} else {
			out = append(out, unsolicitedNA(p.MAC, a))
		}
	}
	return out
}

// gratuitousARP is an ARP request of an address for itself (RFC 5227, 3).
func gratuitousARP(mac network.MAC, a netip.Addr) []byte {
	return slices.Concat(
		[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac[:], []byte{8, 6},
		[]byte{0, 1, 8, 0, 6, 4, 0, 1}, mac[:], a.AsSlice(), make([]byte, 6), a.AsSlice(),
		make([]byte, 18), // to the least size of a frame
	)
}

// unsolicitedNA is a neighbour advertisement to all nodes that overrides what
// they know (RFC 4861, 7.2.6).
func unsolicitedNA(mac network.MAC, a netip.Addr) []byte {
	all := netip.IPv6LinkLocalAllNodes()
	body := slices.Concat([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, a.AsSlice(), []byte{2, 1}, mac[:])
	pseudo := slices.Concat(a.AsSlice(), all.AsSlice(), []byte{0, 0, 0, byte(len(body)), 0, 0, 0, 58}, body)
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
		[]byte{0x60, 0, 0, 0, 0, byte(len(body)), 58, 255}, a.AsSlice(), all.AsSlice(), body,
	)
}
