package shaping

import (
	"bytes"
	"slices"
	"time"

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
	s.Guests = append(s.Guests, g.Normalize())
	s.sort()
	return s
}

// Without returns a normalised copy of s that lacks the guest.
func (s State) Without(id uuid.UUID) State {
	s = s.Normalize()
	s.Guests = slices.DeleteFunc(s.Guests, func(g Guest) bool { return g.UUID == id })
	if len(s.Guests) == 0 {
		s.Guests = nil
	}
	return s
}

func (s State) sort() {
	slices.SortStableFunc(s.Guests, func(a, b Guest) int { return bytes.Compare(a.UUID[:], b.UUID[:]) })
}

// Normalize returns a copy of s, deep and in the one form that Read uses: guests
// ordered by UUID, vifs by name, each once, defaults filled in where they are
// rates and left out where they are not. Two states mean the same if their
// normal forms are equal.
func (s State) Normalize() State {
	out := State{Uplink: s.Uplink}
	if out.Uplink.Dom0 == 0 {
		out.Uplink.Dom0 = out.Uplink.Rate / 10
	}
	for _, g := range s.Guests {
		out.Guests = append(out.Guests, g.Normalize())
	}
	out.sort()
	return out
}

// Normalize returns the guest's part in the form that Read uses.
func (g Guest) Normalize() Guest {
	out := Guest{UUID: g.UUID, Policy: g.Policy.normalize(), Throttle: g.Throttle.normalize()}
	if len(g.Vifs) > 0 {
		out.Vifs = slices.Clone(g.Vifs)
		slices.Sort(out.Vifs)
		out.Vifs = slices.Compact(out.Vifs)
	}
	return out
}

// Until returns s as it is at a time: without the throttles that are over by
// then. next is when the first of the others ends, or the zero Time.
func (s State) Until(now time.Time) (at State, next time.Time) {
	at = s.Normalize()
	for i := range at.Guests {
		t := &at.Guests[i].Throttle
		if t.over(now) {
			*t = Throttle{}
		}
		if !t.Until.IsZero() && (next.IsZero() || t.Until.Before(next)) {
			next = t.Until
		}
	}
	return at, next
}
