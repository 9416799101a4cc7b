package network

import (
	"fmt"
	"net/netip"

	"github.com/google/uuid"
)

// Validate says what a host would refuse about s without looking at a host:
// ErrInvalid for what no host takes, ErrConflict for what two guests want.
func (s State) Validate() error {
	if err := s.validate(); err != nil {
		return &Error{Op: "validate", Err: err}
	}
	return nil
}

func (s State) validate() error {
	c := newClaims()
	if err := c.links(s); err != nil {
		return err
	}
	ways := map[string]bool{}
	for _, m := range s.Masquerades {
		if err := validMasquerade(m); err != nil {
			return fmt.Errorf("masquerade %v: %w", m.Source, err)
		}
		if ways[m.key()] {
			return fmt.Errorf("%s is named twice: %w", m.key(), ErrInvalid)
		}
		ways[m.key()] = true
	}
	seen := map[uuid.UUID]bool{}
	for _, g := range s.Guests {
		if seen[g.UUID] {
			return fmt.Errorf("guest %v is named twice: %w", g.UUID, ErrInvalid)
		}
		seen[g.UUID] = true
		if err := c.guest(g); err != nil {
			return err
		}
	}
	return nil
}

func validMasquerade(m Masquerade) error {
	switch {
	case !m.Source.IsValid():
		return fmt.Errorf("no source: %w", ErrInvalid)
	case m.Source.Bits() == 0:
		return fmt.Errorf("every address as source: %w", ErrInvalid)
	case m.As.IsValid() && (!usable(m.As) || m.As.Is4() != m.Source.Addr().Is4()):
		return fmt.Errorf("as %v: %w", m.As, ErrInvalid)
	}
	return validName(m.Out, 15)
}

// usable: an address that one machine can have and be reached by.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// validName allows what the kernel, Xen's scripts and iptables all read alike.
func validName(name string, limit int) error {
	ok := len(name) > 0 && len(name) <= limit && name[0] != '-' && name[0] != '.'
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if !ok {
		return fmt.Errorf("interface name %q (1 to %d letters, digits, dots, dashes): %w", name, limit, ErrInvalid)
	}
	return nil
}
