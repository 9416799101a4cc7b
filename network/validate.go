package network

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/uuid"
)

// Validate says what a host would refuse about s without looking at a host:
// ErrInvalid for what no host takes, ErrConflict for what two guests want,
// errors.ErrUnsupported for forwards and masquerades of IPv6.
func (s State) Validate() error {
	if err := s.validate(); err != nil {
		return &Error{Op: "validate", Err: err}
	}
	return nil
}

func (s State) validate() error {
	c := newClaims()
	for _, b := range s.Bridges {
		if err := c.bridge(b); err != nil {
			return fmt.Errorf("bridge %q: %w", b.Name, err)
		}
	}
	for _, m := range s.Masquerades {
		if err := validMasquerade(m); err != nil {
			return fmt.Errorf("masquerade %v: %w", m.Source, err)
		}
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

// validateGuest looks at one guest of s only, so that what is wrong with another
// one does not stand in its way.
func (s State) validateGuest(g Guest) error {
	c := newClaims()
	for _, b := range s.Bridges {
		_ = c.bridge(b)
	}
	for _, other := range s.Guests {
		if other.UUID != g.UUID {
			_ = c.guest(other)
		}
	}
	return c.guest(g)
}

// A claim says who has a name or address; guests have a UUID, the host none.
type claim struct {
	id   uuid.UUID
	what string
}

type service struct {
	proto Proto
	port  uint16
}

type listener struct {
	claim
	listen netip.Addr
}

// claims are the names, addresses and ports that are given away so far.
type claims struct {
	names map[string]claim
	macs  map[MAC]claim
	addrs map[netip.Addr]claim
	ports map[service][]listener
}

func newClaims() *claims {
	return &claims{names: map[string]claim{}, macs: map[MAC]claim{}, addrs: map[netip.Addr]claim{}, ports: map[service][]listener{}}
}

// take claims key for who, or tells who has it.
func take[K comparable](m map[K]claim, key K, who claim) error {
	if other, ok := m[key]; ok {
		return taken(key, who, other)
	}
	m[key] = who
	return nil
}

// taken: what one guest wants twice is a mistake, what two want is a conflict.
func taken(what any, who, other claim) error {
	word := ErrConflict
	if who.id == other.id {
		word = ErrInvalid
	}
	return fmt.Errorf("%v belongs to %s: %w", what, other.what, word)
}

func (c *claims) bridge(b Bridge) error {
	who := claim{what: "bridge " + b.Name}
	if err := validName(b.Name, 15); err != nil {
		return err
	}
	if err := take(c.names, b.Name, who); err != nil {
		return err
	}
	for _, p := range b.Ports {
		if err := validName(p, 15); err != nil {
			return err
		}
		if err := take(c.names, p, who); err != nil {
			return err
		}
	}
	for _, a := range b.Addresses {
		if !a.IsValid() || a.Addr().Zone() != "" || !usable(a.Addr()) || a.Addr().IsLinkLocalUnicast() {
			return fmt.Errorf("address %v: %w", a, ErrInvalid)
		}
		if err := take(c.addrs, a.Addr(), who); err != nil {
			return err
		}
	}
	return nil
}

func (c *claims) guest(g Guest) error {
	if g.UUID == uuid.Nil {
		return fmt.Errorf("a guest has no UUID: %w", ErrInvalid)
	}
	if len(g.Ports) > MaxPorts {
		return fmt.Errorf("%d ports, at most %d: %w", len(g.Ports), MaxPorts, ErrInvalid)
	}
	who := claim{id: g.UUID, what: "guest " + g.UUID.String()}
	own := map[netip.Addr]bool{}
	for _, p := range g.Ports {
		if err := c.port(p, who); err != nil {
			return fmt.Errorf("port %q: %w", p.Vif, err)
		}
		for _, a := range p.Addresses {
			own[a] = true
		}
	}
	for _, f := range g.Forwards {
		if err := c.forward(f, who, own); err != nil {
			return fmt.Errorf("forward %v: %w", f, err)
		}
	}
	return nil
}

func (c *claims) port(p Port, who claim) error {
	if err := validName(p.Vif, 11); err != nil {
		return err
	}
	if err := validName(p.Bridge, 15); err != nil {
		return err
	}
	if err := take(c.names, p.Vif, who); err != nil {
		return err
	}
	if p.MAC.IsZero() || p.MAC[0]&1 != 0 {
		return fmt.Errorf("MAC address %q: %w", p.MAC, ErrInvalid)
	}
	if err := take(c.macs, p.MAC, who); err != nil {
		return err
	}
	for _, a := range p.Addresses {
		if !usable(a) || a.Zone() != "" {
			return fmt.Errorf("address %v: %w", a, ErrInvalid)
		}
		if err := take(c.addrs, a, who); err != nil {
			return err
		}
	}
	return nil
}

func (c *claims) forward(f Forward, who claim, own map[netip.Addr]bool) error {
	switch {
	case f.Proto != TCP && f.Proto != UDP:
		return fmt.Errorf("protocol %q: %w", string(f.Proto), ErrInvalid)
	case f.Port == 0 || f.To.Port() == 0:
		return fmt.Errorf("port 0: %w", ErrInvalid)
	case f.Return != ReturnGateway && f.Return != ReturnIngress:
		return fmt.Errorf("return %q: %w", string(f.Return), ErrInvalid)
	case f.To.Addr().Is6() || f.Listen.Is6():
		return fmt.Errorf("IPv6: %w", errors.ErrUnsupported)
	case f.Listen.IsValid() && !usable(f.Listen):
		return fmt.Errorf("address %v: %w", f.Listen, ErrInvalid)
	case !own[f.To.Addr()]:
		return fmt.Errorf("%v is not an address of the guest's ports: %w", f.To.Addr(), ErrInvalid)
	}
	key := service{f.Proto, f.Port}
	for _, other := range c.ports[key] {
		if !other.listen.IsValid() || !f.Listen.IsValid() || other.listen == f.Listen {
			return taken(fmt.Sprintf("%s port %d", f.Proto, f.Port), who, other.claim)
		}
	}
	c.ports[key] = append(c.ports[key], listener{who, f.Listen})
	return nil
}

func validMasquerade(m Masquerade) error {
	switch {
	case !m.Source.IsValid():
		return fmt.Errorf("no source: %w", ErrInvalid)
	case m.Source.Addr().Is6():
		return fmt.Errorf("IPv6: %w", errors.ErrUnsupported)
	case m.Source.Bits() == 0:
		return fmt.Errorf("every address as source: %w", ErrInvalid)
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
