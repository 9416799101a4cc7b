package network

import (
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
// sorted, each thing once, sources of masquerades masked, IPv4 addresses as
// IPv4, empty lists nil. Two states mean the same if their normal forms are
// equal.
func (s State) Normalize() State {
	var out State
	for _, b := range s.Bridges {
		b.Ports = sorted(b.Ports, cmp.Compare[string])
		b.Addresses = sorted(mapped(b.Addresses, unmapPrefix), comparePrefix)
		out.Bridges = append(out.Bridges, b)
	}
	slices.SortStableFunc(out.Bridges, func(a, b Bridge) int { return cmp.Compare(a.Name, b.Name) })
	masquerades := mapped(s.Masquerades, func(m Masquerade) Masquerade {
		m.Source = unmapPrefix(m.Source).Masked()
		return m
	})
	out.Masquerades = sorted(masquerades, func(a, b Masquerade) int {
		return cmp.Or(comparePrefix(a.Source, b.Source), cmp.Compare(a.Out, b.Out))
	})
	for _, g := range s.Guests {
		out.Guests = append(out.Guests, g.Normalize())
	}
	slices.SortStableFunc(out.Guests, func(a, b Guest) int { return cmp.Compare(a.UUID.String(), b.UUID.String()) })
	return out
}

// Normalize returns the guest's part in the form that Read uses.
func (g Guest) Normalize() Guest {
	out := Guest{UUID: g.UUID}
	for _, p := range g.Ports {
		p.Addresses = sorted(mapped(p.Addresses, netip.Addr.Unmap), netip.Addr.Compare)
		out.Ports = append(out.Ports, p)
	}
	slices.SortStableFunc(out.Ports, func(a, b Port) int { return cmp.Compare(a.Vif, b.Vif) })
	forwards := mapped(g.Forwards, func(f Forward) Forward {
		f.Listen = f.Listen.Unmap()
		f.To = netip.AddrPortFrom(f.To.Addr().Unmap(), f.To.Port())
		return f
	})
	out.Forwards = sorted(forwards, func(a, b Forward) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port), a.Listen.Compare(b.Listen),
			a.To.Compare(b.To), cmp.Compare(a.Return, b.Return))
	})
	return out
}

// mapped returns a new list of f of each.
func mapped[T any](list []T, f func(T) T) []T {
	var out []T
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}

// sorted returns a sorted copy, each element once; nil if there is none.
func sorted[T comparable](list []T, compare func(a, b T) int) []T {
	if len(list) == 0 {
		return nil
	}
	return slices.Compact(slices.SortedStableFunc(slices.Values(list), compare))
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
