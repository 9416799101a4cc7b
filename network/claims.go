package network

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"
)

// A claim says who has a name or address; guests have a UUID, the host none.
type claim struct {
	id   uuid.UUID
	what string
	made bool // an interface that we make, which may be a port of another
}

// A service is a port that can be forwarded.
type service struct {
	family family
	proto  Proto
	port   uint16
}

// A listener is who has a service, at one address or at all.
type listener struct {
	claim
	listen netip.Addr
	spread bool
}

// claims are the names, addresses and ports that are given away so far.
type claims struct {
	names map[string]claim
	macs  map[MAC]claim
	addrs map[netip.Addr]claim
	nets  map[netip.Prefix]claim // that lead to routed guests
	ports map[service][]listener
	whole map[netip.Addr]claim   // addresses that are forwarded 1:1
	parts map[netip.Addr][]claim // addresses of which single ports are forwarded
}

func newClaims() *claims {
	return &claims{
		names: map[string]claim{}, macs: map[MAC]claim{}, addrs: map[netip.Addr]claim{}, nets: map[netip.Prefix]claim{},
		ports: map[service][]listener{}, whole: map[netip.Addr]claim{}, parts: map[netip.Addr][]claim{},
	}
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
	if err := c.lowers(b.Ports, who); err != nil {
		return err
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

// guest claims what g has. When it is refused, a part may be claimed already;
// drop gives it back.
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
	ways := map[netip.AddrPort]Return{}
	for _, f := range g.Forwards {
		err := f.valid()
		if way, ok := ways[f.To]; err == nil && ok && way != f.Return {
			err = fmt.Errorf("another forward to %v returns another way: %w", f.To, ErrInvalid)
		}
		if err == nil && !own[f.To.Addr()] {
			err = fmt.Errorf("%v is not an address of the guest's ports: %w", f.To.Addr(), ErrInvalid)
		}
		if err == nil {
			err = c.forward(f, who)
		}
		if err != nil {
			return fmt.Errorf("forward %v: %w", f, err)
		}
		ways[f.To] = f.Return
	}
	return nil
}

func (c *claims) port(p Port, who claim) error {
	if err := validName(p.Vif, 11); err != nil {
		return err
	}
	if err := p.validPlace(); err != nil {
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
		if !usable(a) || a.Zone() != "" || p.Routed && isRouter(a) {
			return fmt.Errorf("address %v: %w", a, ErrInvalid)
		}
		if err := take(c.addrs, a, who); err != nil {
			return err
		}
		for n, other := range c.nets {
			if n.Contains(a) && other.id != who.id {
				return taken(fmt.Sprintf("%v of the network %v", a, n), who, other)
			}
		}
	}
	for _, n := range p.Networks {
		if err := c.network(n, p, who); err != nil {
			return fmt.Errorf("network %v: %w", n, err)
		}
	}
	return nil
}

func (c *claims) forward(f Forward, who claim) error {
	if f.Proto == All {
		if parts := c.parts[f.Listen]; len(parts) > 0 {
			return taken("a port of "+f.Listen.String(), who, parts[0])
		}
		return take(c.whole, f.Listen, who)
	}
	if other, ok := c.whole[f.Listen]; ok {
		return taken(f.Listen, who, other)
	}
	mine := listener{who, f.Listen, f.Spread}
	for port := int(f.Port); port <= int(f.last()); port++ {
		for _, other := range c.ports[service{f.family(), f.Proto, uint16(port)}] {
			if other.meets(mine) {
				return taken(fmt.Sprintf("%s port %d", f.Proto, port), who, other.claim)
			}
		}
	}
	for port := int(f.Port); port <= int(f.last()); port++ {
		key := service{f.family(), f.Proto, uint16(port)}
		c.ports[key] = append(c.ports[key], mine)
	}
	if f.Listen.IsValid() {
		c.parts[f.Listen] = append(c.parts[f.Listen], who)
	}
	if n := c.sharers(f); f.Spread && n > spreadSlots {
		return fmt.Errorf("%d guests share it, at most %d: %w", n, spreadSlots, ErrInvalid)
	}
	return nil
}

// meets reports whether two listeners of one service stand in each other's way.
func (l listener) meets(other listener) bool {
	if l.spread && other.spread && l.listen == other.listen && l.id != other.id {
		return false
	}
	return !l.listen.IsValid() || !other.listen.IsValid() || l.listen == other.listen
}

// sharers counts who has the very listener of f.
func (c *claims) sharers(f Forward) int {
	n := 0
	for _, l := range c.ports[service{f.family(), f.Proto, f.Port}] {
		if l.listen == f.Listen {
			n++
		}
	}
	return n
}

// drop gives back what a guest has claimed of g.
func (c *claims) drop(g Guest) {
	for _, p := range g.Ports {
		give(c.names, p.Vif, g.UUID)
		give(c.macs, p.MAC, g.UUID)
		for _, a := range p.Addresses {
			give(c.addrs, a, g.UUID)
		}
		for _, n := range p.Networks {
			give(c.nets, n, g.UUID)
		}
	}
	for _, f := range g.Forwards {
		if f.Proto == All {
			give(c.whole, f.Listen, g.UUID)
			continue
		}
		for port := int(f.Port); port <= int(f.last()); port++ {
			remove(c.ports, service{f.family(), f.Proto, uint16(port)}, func(l listener) bool {
				return l.id == g.UUID && l.listen == f.Listen
			})
		}
		remove(c.parts, f.Listen, func(w claim) bool { return w.id == g.UUID })
	}
}

func give[K comparable](m map[K]claim, key K, id uuid.UUID) {
	if m[key].id == id {
		delete(m, key)
	}
}

// remove takes what is out of a list in m, and the list when it is empty.
func remove[K comparable, V any](m map[K][]V, key K, is func(V) bool) {
	left := slices.DeleteFunc(slices.Clone(m[key]), is)
	if len(left) == 0 {
		delete(m, key)
	} else {
		m[key] = left
	}
}

// valid says what no host takes of a forward, whoever has it.
func (f Forward) valid() error {
	switch {
	case f.Proto != TCP && f.Proto != UDP && f.Proto != All:
		return fmt.Errorf("protocol %q: %w", string(f.Proto), ErrInvalid)
	case f.Return != ReturnGateway && f.Return != ReturnIngress:
		return fmt.Errorf("return %q: %w", string(f.Return), ErrInvalid)
	case f.Listen.IsValid() && (!usable(f.Listen) || f.Listen.Zone() != ""):
		return fmt.Errorf("address %v: %w", f.Listen, ErrInvalid)
	case f.Listen.IsValid() && familyOf(f.Listen) != f.family():
		return fmt.Errorf("from %v to %v: IPv4 and IPv6 do not mix: %w", f.Listen, f.To.Addr(), ErrInvalid)
	case f.Proto == All:
		return f.validWhole()
	case f.Port == 0 || f.To.Port() == 0:
		return fmt.Errorf("port 0: %w", ErrInvalid)
	case f.Last != 0 && f.Last <= f.Port:
		return fmt.Errorf("ports %d to %d: %w", f.Port, f.Last, ErrInvalid)
	case f.Last != 0 && f.To.Port() != f.Port:
		return fmt.Errorf("a range keeps its ports, so it goes to port %d: %w", f.Port, ErrInvalid)
	case f.Last != 0 && f.Spread:
		return fmt.Errorf("a range can not be spread: %w", ErrInvalid)
	}
	return nil
}

func (f Forward) validWhole() error {
	switch {
	case !f.Listen.IsValid():
		return fmt.Errorf("1:1 needs an address to listen on: %w", ErrInvalid)
	case f.Port != 0 || f.Last != 0 || f.To.Port() != 0:
		return fmt.Errorf("1:1 has no ports: %w", ErrInvalid)
	case f.Return != ReturnGateway || f.Spread:
		return fmt.Errorf("1:1 is one guest's, whose gateway is this host: %w", ErrInvalid)
	}
	return nil
}
