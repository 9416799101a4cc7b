package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/vishvananda/netlink"
)

// observed is the host as one look at it shows.
type observed struct {
	book    *book // what the tables say
	clean   bool  // they hold exactly the lines that the book needs
	have    lines // as read, if they do not
	links   map[string]linkSeen
	byIndex map[int]string // names of links
	bridges map[string]bridgeSeen
	routes  routesSeen
	actual  State // what of the book is in force and in place
}

type linkSeen struct {
	link   netlink.Link
	master string // the bridge that it is in
	alias  string
}

type bridgeSeen struct {
	ours      bool
	ports     []string
	addresses []netip.Prefix
}

func bridgeAlias(name string) string { return "xenhost:br:" + name }

// vifAlias marks a guest's vif, so that counters of interfaces can be told by
// guest.
func vifAlias(id uuid.UUID, vif string) string {
	_, index, _ := strings.Cut(vif, ".")
	return "xenhost:" + id.String() + ":" + index
}

// observe looks at the tables and at all links.
func (l *Linux) observe(ctx context.Context, k *kernel) (observed, error) {
	seen, err := l.recall(ctx)
	if err != nil {
		return seen, err
	}
	if err := k.look(&seen); err != nil {
		return seen, err
	}
	if slices.ContainsFunc(seen.book.state().Guests, Guest.routed) {
		if seen.routes, err = k.lookAtRoutes(seen.byIndex); err != nil {
			return seen, err
		}
	}
	seen.actual = seen.linked(seen.inPlace())
	return seen, nil
}

// look lists the links and the addresses.
func (k *kernel) look(seen *observed) error {
	list, err := dump(k.LinkList)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	addresses, err := dump(func() ([]netlink.Addr, error) { return k.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	seen.links, seen.bridges = map[string]linkSeen{}, map[string]bridgeSeen{}
	name := map[int]string{}
	for _, link := range list {
		name[link.Attrs().Index] = link.Attrs().Name
		if link.Type() == "bridge" {
			ours := link.Attrs().Alias == bridgeAlias(link.Attrs().Name)
			seen.bridges[link.Attrs().Name] = bridgeSeen{ours: ours}
		}
	}
	seen.byIndex = name
	for _, link := range list {
		master := name[link.Attrs().MasterIndex]
		seen.links[link.Attrs().Name] = linkSeen{link, master, link.Attrs().Alias}
		if b, ok := seen.bridges[master]; ok {
			b.ports = append(b.ports, link.Attrs().Name)
			seen.bridges[master] = b
		}
	}
	for _, a := range addresses {
		ip, ok := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if b, is := seen.bridges[name[a.LinkIndex]]; is && ok {
			b.addresses = append(b.addresses, netip.PrefixFrom(ip.Unmap(), bits))
			seen.bridges[name[a.LinkIndex]] = b
		}
	}
	return nil
}

// lookAt looks at the links that guests have to do with, and no others: a host
// may have thousands.
func (k *kernel) lookAt(seen *observed, guests ...Guest) error {
	seen.links, seen.bridges = map[string]linkSeen{}, map[string]bridgeSeen{}
	name := map[int]string{}
	for _, g := range guests {
		for _, p := range g.Ports {
			if p.Routed {
				if err := k.lookAtUplink(seen, name, p.Uplink); err != nil {
					return err
				}
				continue
			}
			if bridge, err := k.LinkByName(p.Bridge); err == nil {
				name[bridge.Attrs().Index] = p.Bridge
				if bridge.Type() == "bridge" {
					seen.bridges[p.Bridge] = bridgeSeen{ours: bridge.Attrs().Alias == bridgeAlias(p.Bridge)}
				}
			} else if !absent(err) {
				return fmt.Errorf("bridge %s: %w", p.Bridge, err)
			}
		}
	}
	for _, g := range guests {
		for _, p := range g.Ports {
			vif, err := k.LinkByName(p.Vif)
			if absent(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("vif %s: %w", p.Vif, err)
			}
			master := name[vif.Attrs().MasterIndex]
			if vif.Attrs().MasterIndex != 0 && master == "" {
				master = "another"
			}
			seen.links[p.Vif] = linkSeen{vif, master, vif.Attrs().Alias}
			name[vif.Attrs().Index] = p.Vif
		}
	}
	seen.byIndex = name
	if slices.ContainsFunc(guests, Guest.routed) {
		routes, err := k.lookAtRoutes(name)
		seen.routes = routes
		return err
	}
	return nil
}

// lookAtUplink notes the interface on which dom0 answers for a guest, if it is
// there.
func (k *kernel) lookAtUplink(seen *observed, name map[int]string, uplink string) error {
	if uplink == "" {
		return nil
	}
	link, err := k.LinkByName(uplink)
	if absent(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("uplink %s: %w", uplink, err)
	}
	name[link.Attrs().Index] = uplink
	seen.links[uplink] = linkSeen{link: link, alias: link.Attrs().Alias}
	return nil
}

// addrOf is the address that netlink gives.
func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// dump asks the kernel for a list again when it changed while it was read, as
// it does when a domain starts; netlink then gives only a part.
func dump[T any](list func() (T, error)) (T, error) {
	for range 20 {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return list()
}

// linkedLinks is linked for bonds, vlans and vxlans.
func (o observed) linkedLinks(s State) State {
	bonds := s.Bonds
	s.Bonds = nil
	for _, b := range bonds {
		if o.shows(b.Name, bondFact(b.Name)) {
			b.Ports = slices.DeleteFunc(b.Ports, func(p string) bool { return o.links[p].master != b.Name })
			s.Bonds = append(s.Bonds, b)
		}
	}
	s.VLANs = slices.DeleteFunc(s.VLANs, func(v VLAN) bool { return !o.shows(v.Name, v.fact()) })
	s.VXLANs = slices.DeleteFunc(s.VXLANs, func(v VXLAN) bool { return !o.shows(v.Name, v.fact()) })
	return s
}

// linked leaves out what the links do not show.
func (o observed) linked(s State) State {
	s = s.Normalize()
	s = o.linkedLinks(s)
	bridges := s.Bridges
	s.Bridges = nil
	for _, b := range bridges {
		have, ok := o.bridges[b.Name]
		if !ok {
			continue
		}
		b.Ports = slices.DeleteFunc(b.Ports, func(p string) bool { return !slices.Contains(have.ports, p) })
		b.Addresses = slices.DeleteFunc(b.Addresses, func(a netip.Prefix) bool { return !slices.Contains(have.addresses, a) })
		s.Bridges = append(s.Bridges, b)
	}
	for i := range s.Guests {
		g := &s.Guests[i]
		ports := g.Ports
		g.Ports = nil
		for _, p := range ports {
			vif, exists := o.links[p.Vif]
			there := !exists || vif.master == p.Bridge
			if p.Routed {
				p, there = o.routedPort(p)
			}
			if there {
				g.Ports = append(g.Ports, p)
			}
		}
	}
	return s.Normalize()
}
