// Package pool chooses addresses for guests that nobody has yet. It is pure:
// what is taken is read from a network.State, so there is no second book that
// could say otherwise.
//
//	have, err := net.Read(ctx)
//	ip, err := addresses.Next(have)
//	mac, err := macs.Next(have, id, 0)
//	err = net.Set(ctx, guest) // network.ErrConflict if another was faster: read and choose again
//
// A host knows its own guests. A panel with several hosts that share addresses
// passes the states of all of them.
package pool

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
)

// ErrExhausted: every address of the pool is taken.
var ErrExhausted = errors.New("no address is left")

// Addresses are a pool of IP addresses. The first and the last address of an
// IPv4 prefix shorter than /31 are never given out, nor is the first of an IPv6
// prefix shorter than /127.
type Addresses struct {
	Prefixes []netip.Prefix // of one network, or several; all of them are looked through in this order
	Except   []netip.Addr   // gateways and what else is not for guests
}

// Next is the lowest address that no guest and no bridge of the states has:
// ErrExhausted if there is none, network.ErrInvalid if a prefix is none.
//
// It walks through what is taken, so an IPv6 prefix of any size will do.
func (a Addresses) Next(taken ...network.State) (netip.Addr, error) {
	owners := owners(taken)
	for _, p := range a.Prefixes {
		if !p.IsValid() {
			return netip.Addr{}, fmt.Errorf("pool: prefix %v: %w", p, network.ErrInvalid)
		}
		for ip := p.Masked().Addr(); p.Contains(ip); ip = ip.Next() {
			if _, has := owners[ip]; !has && a.forGuests(p, ip) {
				return ip, nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("pool: %v: %w", a.Prefixes, ErrExhausted)
}

// Check reports whether a guest may have ip: network.ErrInvalid if it is not
// of this pool, network.ErrConflict with the name of who has it. What the guest
// has already it may keep.
func (a Addresses) Check(ip netip.Addr, id uuid.UUID, taken ...network.State) error {
	ip = ip.Unmap()
	in := slices.ContainsFunc(a.Prefixes, func(p netip.Prefix) bool { return p.Contains(ip) && a.forGuests(p, ip) })
	if !in {
		return fmt.Errorf("pool: %v is not for guests: %w", ip, network.ErrInvalid)
	}
	if who, has := owners(taken)[ip]; has && who != "guest "+id.String() {
		return fmt.Errorf("pool: %v belongs to %s: %w", ip, who, network.ErrConflict)
	}
	return nil
}

// forGuests reports whether an address of p can be a guest's.
func (a Addresses) forGuests(p netip.Prefix, ip netip.Addr) bool {
	if slices.Contains(a.Except, ip) {
		return false
	}
	if room := ip.BitLen() - p.Bits(); room < 2 {
		return true
	}
	first := ip == p.Masked().Addr()
	last := ip.Is4() && !p.Contains(ip.Next())
	return !first && !last
}

// owners tells who has an address.
func owners(states []network.State) map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, s := range states {
		for _, b := range s.Bridges {
			for _, a := range b.Addresses {
				out[a.Addr().Unmap()] = "bridge " + b.Name
			}
		}
		for _, g := range s.Guests {
			for _, p := range g.Ports {
				for _, a := range p.Addresses {
					out[a.Unmap()] = "guest " + g.UUID.String()
				}
			}
		}
	}
	return out
}

// MACs are a pool of Ethernet addresses that begin alike.
type MACs struct {
	// Prefix is the first three bytes; zero is Xen's 00:16:3e.
	Prefix [3]byte
}

// Next is the address for a guest's interface. It follows from the guest's
// UUID and the number of the interface, so that it is the same whenever it is
// asked for; where another guest has it, another one does.
func (m MACs) Next(id uuid.UUID, index int, taken ...network.State) (network.MAC, error) {
	if m.Prefix == [3]byte{} {
		m.Prefix = [3]byte{0x00, 0x16, 0x3e}
	}
	if m.Prefix[0]&1 != 0 {
		return network.MAC{}, fmt.Errorf("pool: %x is for groups: %w", m.Prefix, network.ErrInvalid)
	}
	others := map[network.MAC]bool{}
	for _, s := range taken {
		for _, g := range s.Guests {
			for _, p := range g.Ports {
				if g.UUID != id || p.Vif != network.VifName(id, index) {
					others[p.MAC] = true
				}
			}
		}
	}
	if len(others) >= 1<<24 {
		return network.MAC{}, fmt.Errorf("pool: %x: %w", m.Prefix, ErrExhausted)
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(id[:], uint64(index)))
	for n := binary.BigEndian.Uint32(sum[:]); ; n++ {
		mac := network.MAC{m.Prefix[0], m.Prefix[1], m.Prefix[2], byte(n >> 16), byte(n >> 8), byte(n)}
		if !others[mac] {
			return mac, nil
		}
	}
}
