package guard

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

// Normalize returns a deep copy of s in the one form that Read uses: sorted,
// each thing once, IPv4 addresses as IPv4, networks masked, empty lists nil,
// guests without a port left out, since nothing is kept of them.
func (s State) Normalize() State {
	out := State{Open: s.Open, LetUnknown: s.LetUnknown && !s.Open}
	for _, g := range s.Guests {
		if g = g.Normalize(); len(g.Ports) > 0 {
			out.Guests = append(out.Guests, g)
		}
	}
	slices.SortStableFunc(out.Guests, func(a, b Guest) int { return cmp.Compare(a.UUID.String(), b.UUID.String()) })
	return out
}

// Normalize returns the guest's part in the form that Read uses.
func (g Guest) Normalize() Guest {
	out := Guest{UUID: g.UUID}
	for _, p := range g.Ports {
		own := linkLocal(p.MAC) // is always among them
		p.Addresses = once(p.Addresses, netip.Addr.Unmap, netip.Addr.Compare)
		p.Addresses = none(slices.DeleteFunc(p.Addresses, func(a netip.Addr) bool { return a == own }))
		p.Networks = once(p.Networks, netip.Prefix.Masked, func(a, b netip.Prefix) int {
			return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
		})
		out.Ports = append(out.Ports, p)
	}
	slices.SortStableFunc(out.Ports, func(a, b Port) int { return cmp.Compare(a.Vif, b.Vif) })
	return out
}

// once returns a sorted list of f of each, each once; nil if there is none.
func once[T comparable](list []T, f func(T) T, compare func(a, b T) int) []T {
	var out []T
	for _, v := range list {
		out = append(out, f(v))
	}
	slices.SortFunc(out, compare)
	return slices.Compact(out)
}

// none is nil for an empty list.
func none[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}
