package network

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"github.com/google/uuid"
)

// Guest returns the part of one guest.
func (s State) Guest(id uuid.UUID) (Guest, bool) {
	for _, g := range s.Guests {
		if g.UUID == id {
			return g, true
		}
	}
	return Guest{}, false
}

// With returns a normalised copy of s in which g replaces the part of its guest.
func (s State) With(g Guest) State {
	s = s.Without(g.UUID)
	s.Guests = append(s.Guests, g)
	return s.Normalize()
}

// Without returns a normalised copy of s that lacks the guest.
func (s State) Without(id uuid.UUID) State {
	s = s.Normalize()
	s.Guests = slices.DeleteFunc(s.Guests, func(g Guest) bool { return g.UUID == id })
	return s.Normalize()
}

// Normalize returns a copy of s, deep and in the one form that Read uses:
// sorted, each thing once, prefixes masked, IPv4 addresses as
// IPv4, empty lists nil. Two states mean the same if their normal forms are
// equal.
func (s State) Normalize() State {
	out := State{VLANs: sorted(s.VLANs, VLAN.compare)}
	for _, b := range s.Bonds {
		b.Ports = sorted(b.Ports, cmp.Compare[string])
		out.Bonds = append(out.Bonds, b)
	}
	slices.SortStableFunc(out.Bonds, func(a, b Bond) int { return cmp.Compare(a.Name, b.Name) })
	out.VXLANs = sorted(mapped(s.VXLANs, VXLAN.unmap), VXLAN.compare)
	for _, b := range s.Bridges {
		b.Ports = sorted(b.Ports, cmp.Compare[string])
		b.Addresses = sorted(mapped(b.Addresses, unmapPrefix), comparePrefix)
		out.Bridges = append(out.Bridges, b)
	}
	slices.SortStableFunc(out.Bridges, func(a, b Bridge) int { return cmp.Compare(a.Name, b.Name) })
	masquerades := mapped(s.Masquerades, func(m Masquerade) Masquerade {
		m.Source, m.As = unmapPrefix(m.Source).Masked(), m.As.Unmap()
		return m
	})
	out.Masquerades = sorted(masquerades, func(a, b Masquerade) int {
		return cmp.Or(comparePrefix(a.Source, b.Source), cmp.Compare(a.Out, b.Out), a.As.Compare(b.As))
	})
	for _, g := range s.Guests {
		out.Guests = append(out.Guests, g.Normalize())
	}
	slices.SortStableFunc(out.Guests, func(a, b Guest) int { return bytes.Compare(a.UUID[:], b.UUID[:]) })
	return out
}

// Normalize returns the guest's part in the form that Read uses.
func (g Guest) Normalize() Guest {
	out := Guest{UUID: g.UUID}
	for _, p := range g.Ports {
		p.Addresses = sorted(mapped(p.Addresses, netip.Addr.Unmap), netip.Addr.Compare)
		p.Networks = sorted(mapped(p.Networks, func(n netip.Prefix) netip.Prefix { return unmapPrefix(n).Masked() }), comparePrefix)
		out.Ports = append(out.Ports, p)
	}
	slices.SortStableFunc(out.Ports, func(a, b Port) int { return cmp.Compare(a.Vif, b.Vif) })
	forwards := mapped(g.Forwards, func(f Forward) Forward {
		f.Listen = f.Listen.Unmap()
		f.To = netip.AddrPortFrom(f.To.Addr().Unmap(), f.To.Port())
		if f.Last == f.Port {
			f.Last = 0
		}
		return f
	})
	out.Forwards = sorted(forwards, compareForward)
	return out
}

func compareForward(a, b Forward) int {
	if a.Proto != b.Proto {
		return cmp.Compare(a.Proto, b.Proto)
	}
	if a.Port != b.Port {
		return cmp.Compare(a.Port, b.Port)
	}
	order := cmp.Or(a.Listen.Compare(b.Listen), a.To.Compare(b.To), cmp.Compare(a.Last, b.Last), cmp.Compare(a.Return, b.Return))
	if order == 0 && a.Spread != b.Spread {
		order = 1
		if b.Spread {
			order = -1
		}
	}
	return order
}

// equal compares two normalised guests.
func (g Guest) equal(other Guest) bool {
	return g.UUID == other.UUID && slices.Equal(g.Forwards, other.Forwards) &&
		slices.EqualFunc(g.Ports, other.Ports, func(a, b Port) bool {
			return a.Vif == b.Vif && a.Bridge == b.Bridge && a.MAC == b.MAC && slices.Equal(a.Addresses, b.Addresses) &&
				a.Routed == b.Routed && a.Uplink == b.Uplink && slices.Equal(a.Networks, b.Networks)
		})
}

// mapped returns a new list of f of each.
func mapped[T any](list []T, f func(T) T) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// sorted returns a sorted copy, each element once; nil if there is none.
func sorted[T comparable](list []T, compare func(a, b T) int) []T {
	if len(list) == 0 {
		return nil
	}
	out := slices.Clone(list)
	slices.SortStableFunc(out, compare)
	return slices.Compact(out)
}

// unmapPrefix turns ::ffff:192.0.2.0/120 into 192.0.2.0/24.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
