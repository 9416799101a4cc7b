package guard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/xenhost/xenhost/network"
)

// Dom0 is what dom0 itself has on the network. A port that names any of it
// would shut dom0 out, or let a guest take its place, and is refused.
type Dom0 struct {
	// Uplinks are interfaces that are no guest's vif, with what they are.
	Uplinks map[string]string
	// Addresses of dom0 and of the routers that its default routes lead to.
	Addresses map[netip.Addr]string
	// MACs of dom0's own interfaces.
	MACs map[network.MAC]string
}

// Refuse says why the guard can not have p: network.ErrForeign for an
// interface that is not a vif, network.ErrConflict for an address of dom0's.
func (d Dom0) Refuse(p Port) error {
	if what, ok := d.Uplinks[p.Vif]; ok {
		return fmt.Errorf("port %s: %s: %w", p.Vif, what, network.ErrForeign)
	}
	if what, ok := d.MACs[p.MAC]; ok {
		return fmt.Errorf("port %s: %v is the MAC of %s: %w", p.Vif, p.MAC, what, network.ErrConflict)
	}
	for _, a := range p.Addresses {
		if what, ok := d.Addresses[a]; ok {
			return fmt.Errorf("port %s: %v is the address of %s: %w", p.Vif, a, what, network.ErrConflict)
		}
	}
	for _, n := range p.Networks {
		for a, what := range d.Addresses {
			if n.Contains(a) {
				return fmt.Errorf("port %s: network %v has the address of %s: %w", p.Vif, n, what, network.ErrConflict)
			}
		}
	}
	return nil
}

func (d Dom0) refuse(guests []Guest) error {
	for _, g := range guests {
		for _, p := range g.Ports {
			if err := d.Refuse(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// vifMAC is what Xen gives dom0's end of a vif, so it is nobody's.
const vifMAC = "fe:ff:ff:ff:ff:ff"

// survey reads what dom0 has.
//
//	ip -d link; ip address; ip route
func survey(h *netlink.Handle) (Dom0, error) {
	d := Dom0{Uplinks: map[string]string{}, Addresses: map[netip.Addr]string{}, MACs: map[network.MAC]string{}}
	links, err := again(h.LinkList)
	if err != nil {
		return d, fmt.Errorf("list links: %w", err)
	}
	addresses, err := again(func() ([]netlink.Addr, error) { return h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return d, fmt.Errorf("list addresses: %w", err)
	}
	routes, err := again(func() ([]netlink.Route, error) { return h.RouteList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return d, fmt.Errorf("list routes: %w", err)
	}
	name := map[int]string{}
	for _, l := range links {
		name[l.Attrs().Index] = l.Attrs().Name
		if what := uplink(l); what != "" {
			d.Uplinks[l.Attrs().Name] = what
		}
	}
	for _, a := range addresses {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok || ip.IsLinkLocalUnicast() || ip.IsLoopback() {
			continue
		}
		d.Addresses[ip.Unmap()] = "dom0 on " + name[a.LinkIndex]
		d.Uplinks[name[a.LinkIndex]] = fmt.Sprintf("has dom0's address %v", a.IPNet)
	}
	for _, r := range routes {
		// Only the way out: a guest may well be dom0's router to what is behind it.
		if gw, ok := netip.AddrFromSlice(r.Gw); ok && (r.Dst == nil || r.Dst.IP.IsUnspecified()) {
			d.Addresses[gw.Unmap()] = "dom0's router"
			d.Uplinks[name[r.LinkIndex]] = fmt.Sprintf("leads to dom0's router %v", gw)
		}
	}
	for _, l := range links {
		if mac := l.Attrs().HardwareAddr; len(mac) == 6 && mac.String() != vifMAC && d.Uplinks[l.Attrs().Name] != "" {
			d.MACs[network.MAC(mac)] = "dom0's " + l.Attrs().Name
		}
	}
	return d, nil
}

// uplink says what an interface is that can not be a vif; empty if it may be
// one. netback's devices have the bus xen-backend; the device model's are taps;
// what else is in a bridge is one of the host's own, unless it has the MAC that
// Xen's scripts give to vifs.
func uplink(l netlink.Link) string {
	switch bus := l.Attrs().ParentDevBus; {
	case bus == "xen-backend":
		return ""
	case bus != "":
		return "is a network card (" + bus + ")"
	case l.Attrs().MasterIndex != 0 && !strings.HasPrefix(l.Type(), "tun") && l.Attrs().HardwareAddr.String() != vifMAC:
		return "is a port of a bridge, and no vif"
	}
	switch l.Type() {
	case "device", "tuntap", "tun", "veth", "vif", "dummy":
	default:
		return "is a " + l.Type()
	}
	if l.Attrs().Flags&net.FlagLoopback != 0 {
		return "is the loopback"
	}
	return ""
}

// again asks for a list once more when it changed while it was read, as it
// does when a domain starts; netlink then gives only a part.
func again[T any](list func() (T, error)) (all T, err error) {
	for range 20 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return all, err
}
