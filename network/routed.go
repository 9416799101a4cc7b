package network

import (
	"fmt"
	"net/netip"
)

// routers are dom0's addresses on the vif of a routed guest.
func routers() [2]netip.Addr {
	return [2]netip.Addr{netip.MustParseAddr(RouterV4), netip.MustParseAddr(RouterV6)}
}

func isRouter(a netip.Addr) bool { return a == routers()[0] || a == routers()[1] }

// validPlace: a port is on a bridge, or routed.
func (p Port) validPlace() error {
	switch {
	case p.Routed && p.Bridge != "":
		return fmt.Errorf("it is on bridge %s and routed: %w", p.Bridge, ErrInvalid)
	case p.Routed && p.Uplink != "":
		return validName(p.Uplink, 15)
	case p.Routed:
		return nil
	case p.Uplink != "" || len(p.Networks) > 0:
		return fmt.Errorf("only a routed port has an uplink or networks: %w", ErrInvalid)
	}
	return validName(p.Bridge, 15)
}

// network claims one of p's networks: nobody else has a part of it.
func (c *claims) network(n netip.Prefix, p Port, who claim) error {
	a := n.Addr()
	if !n.IsValid() || n.Bits() == 0 || !usable(a) || a.IsLinkLocalUnicast() || n != n.Masked() {
		return ErrInvalid
	}
	if !p.gate(n).IsValid() {
		return fmt.Errorf("the port has no address of its kind for the way there: %w", ErrInvalid)
	}
	for other, has := range c.nets {
		if other.Overlaps(n) {
			return taken(other, who, has)
		}
	}
	for a, has := range c.addrs {
		if n.Contains(a) && has.id != who.id {
			return taken(a, who, has)
		}
	}
	return take(c.nets, n, who)
}

// gate is the address of the guest by way of which a network of it is reached.
func (p Port) gate(n netip.Prefix) netip.Addr {
	for _, a := range p.Addresses {
		if a.Is4() == n.Addr().Is4() && !a.IsLinkLocalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

// A way is a route to a guest: on its link, or through one of its addresses.
type way struct {
	to  netip.Prefix
	via netip.Addr
}

// ways are the routes of a routed port. What is local to the link has none.
func (p Port) ways() []way {
	var out []way
	if !p.Routed {
		return nil
	}
	for _, a := range p.Addresses {
		if !a.IsLinkLocalUnicast() {
			out = append(out, p.wayTo(a))
		}
	}
	for _, n := range p.Networks {
		out = append(out, way{n, p.gate(n)})
	}
	return out
}

func (p Port) wayTo(a netip.Addr) way { return way{netip.PrefixFrom(a, a.BitLen()), netip.Addr{}} }

// A proxy is an address that dom0 answers for on an interface.
type proxy struct {
	on      string
	address netip.Addr
}

// proxies of routed ports that have an uplink.
func (g Guest) proxies() []proxy {
	var out []proxy
	for _, p := range g.Ports {
		if p.Uplink == "" {
			continue
		}
		for _, w := range p.ways() {
			if !w.via.IsValid() {
				out = append(out, proxy{p.Uplink, w.to.Addr()})
			}
		}
	}
	return out
}

// place is the interface that a port's address is behind.
func (p Port) place() string {
	if p.Routed {
		return p.Vif
	}
	return p.Bridge
}

// families of a routed port, which packets are passed on of.
func (p Port) families() []family {
	has := map[family]bool{}
	for _, w := range p.ways() {
		has[familyOf(w.to.Addr())] = true
	}
	var out []family
	for _, f := range families() {
		if has[f] {
			out = append(out, f)
		}
	}
	return out
}
