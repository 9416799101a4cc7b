package guard

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
)

// Validate says what no host would take: network.ErrInvalid for what is not a
// port, network.ErrConflict for a name, MAC or address that two ports have.
func (s State) Validate() error {
	if err := s.Normalize().validate(); err != nil {
		return &Error{Op: "validate", Err: err}
	}
	return nil
}

func (s State) validate() error {
	if s.Open && len(s.Guests) > 0 {
		return fmt.Errorf("guests without rules: %w", network.ErrInvalid)
	}
	var same network.State // its rules for names, MACs and addresses are ours
	for _, g := range s.Guests {
		n := network.Guest{UUID: g.UUID}
		for _, p := range g.Ports {
			same := network.Port{Vif: p.Vif, Bridge: "any", MAC: p.MAC, Addresses: p.Addresses}
			if p.Routed {
				same.Bridge, same.Routed, same.Networks = "", true, p.Networks
			}
			n.Ports = append(n.Ports, same)
		}
		same.Guests = append(same.Guests, n)
	}
	var failed *network.Error
	if err := same.Validate(); errors.As(err, &failed) {
		return failed.Err
	}
	return s.validNetworks()
}

// validNetworks refuses networks of another size, and those that hold what
// another port has.
func (s State) validNetworks() error {
	type holder struct {
		id  uuid.UUID
		vif string
	}
	holders, routed := map[netip.Prefix]holder{}, map[netip.Prefix]holder{}
	for _, g := range s.Guests {
		for _, p := range g.Ports {
			for _, n := range p.Networks {
				if p.Routed {
					routed[n] = holder{g.UUID, p.Vif}
				}
			}
		}
	}
	for _, g := range s.Guests {
		for _, p := range g.Ports {
			if p.Routed {
				continue
			}
			for _, n := range p.Networks {
				if a := n.Addr(); !n.IsValid() || !a.Is6() || a.Is4In6() || n.Bits() != 64 || a.Zone() != "" ||
					a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
					return fmt.Errorf("port %s: network %v is not an IPv6 network of 64 bits: %w", p.Vif, n, network.ErrInvalid)
				}
				if other, ok := holders[n]; ok {
					return fmt.Errorf("port %s: network %v belongs to %s of %v: %w", p.Vif, n, other.vif, other.id, network.ErrConflict)
				}
				holders[n] = holder{g.UUID, p.Vif}
				for r, other := range routed {
					if r.Overlaps(n) {
						return fmt.Errorf("port %s: network %v meets %v of %s of %v: %w", p.Vif, n, r, other.vif, other.id, network.ErrConflict)
					}
				}
			}
		}
	}
	for _, g := range s.Guests {
		for _, p := range g.Ports {
			for _, a := range p.Addresses {
				if !a.Is6() {
					continue
				}
				if other, ok := holders[netip.PrefixFrom(a, 64).Masked()]; ok && other.vif != p.Vif {
					return fmt.Errorf("port %s: address %v is in a network of %s of %v: %w", p.Vif, a, other.vif, other.id, network.ErrConflict)
				}
			}
		}
	}
	return nil
}

// linkLocal is the address that follows from a MAC (RFC 4291, appendix A).
func linkLocal(m network.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}
