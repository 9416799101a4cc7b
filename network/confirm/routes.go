package confirm

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/network"
)

// route is one of dom0's that somebody made: it is gone when its bridge loses
// the address, and nobody else brings it back.
type route struct {
	To       netip.Prefix `json:"to"`
	Via      netip.Addr   `json:"via,omitzero"`
	Dev      string       `json:"dev"`
	From     netip.Addr   `json:"from,omitzero"` // preferred source
	Metric   int          `json:"metric,omitempty"`
	Protocol int          `json:"protocol,omitempty"`
	Scope    int          `json:"scope,omitempty"`
}

func (t Target) handle() (*netlink.Handle, error) {
	if t.NetNS == "" {
		return netlink.NewHandle(unix.NETLINK_ROUTE)
	}
	ns, err := netns.GetFromPath(t.NetNS)
	if err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", t.NetNS, err)
	}
	defer func() { _ = ns.Close() }()
	return netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
}

// routes reads those of the main table through these bridges.
//
//	ip route show dev xenext; ip -6 route show dev xenext
func (t Target) routes(bridges []network.Bridge) ([]route, error) {
	if len(bridges) == 0 {
		return nil, nil
	}
	h, err := t.handle()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	var out []route
	for _, b := range bridges {
		link, err := h.LinkByName(b.Name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			continue // a simulated bridge, or one that is gone
		}
		if err != nil {
			return nil, fmt.Errorf("bridge %s: %w", b.Name, err)
		}
		list, err := h.RouteList(link, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("routes through %s: %w", b.Name, err)
		}
		for _, r := range list {
			if r.Protocol != unix.RTPROT_KERNEL && r.Protocol != unix.RTPROT_RA && r.Type == unix.RTN_UNICAST {
				out = append(out, routeOf(r, b.Name))
			}
		}
	}
	return out, nil
}

func routeOf(r netlink.Route, dev string) route {
	out := route{Dev: dev, Metric: r.Priority, Protocol: int(r.Protocol), Scope: int(r.Scope)}
	out.To = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if r.Family == netlink.FAMILY_V6 {
		out.To = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if r.Dst != nil {
		if a, ok := netip.AddrFromSlice(r.Dst.IP); ok {
			bits, _ := r.Dst.Mask.Size()
			out.To = netip.PrefixFrom(a, bits)
		}
	}
	out.Via, _ = netip.AddrFromSlice(r.Gw)
	out.From, _ = netip.AddrFromSlice(r.Src)
	return out
}

// setRoutes brings back those that are missing.
//
//	ip route add default via 203.0.113.254 dev xenext
func (t Target) setRoutes(want []route) error {
	if len(want) == 0 {
		return nil
	}
	h, err := t.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	var errs []error
	for _, r := range want {
		link, err := h.LinkByName(r.Dev)
		if err != nil {
			errs = append(errs, fmt.Errorf("route to %v: bridge %s: %w", r.To, r.Dev, err))
			continue
		}
		n := &netlink.Route{
			LinkIndex: link.Attrs().Index, Priority: r.Metric,
			Protocol: netlink.RouteProtocol(r.Protocol), Scope: netlink.Scope(r.Scope),
			Dst: &net.IPNet{IP: r.To.Addr().AsSlice(), Mask: net.CIDRMask(r.To.Bits(), r.To.Addr().BitLen())},
		}
		n.Gw, n.Src = r.Via.AsSlice(), r.From.AsSlice()
		if err := h.RouteAdd(n); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("route to %v through %s: %w", r.To, r.Dev, err))
		}
	}
	return errors.Join(errs...)
}

// A way is how dom0 reaches a management address.
type way struct {
	peer netip.Addr
	dev  string
	from netip.Addr
}

// reachable refuses a change that takes away what the way to a management
// address needs.
func (c *Changer) reachable(before snapshot, want State) error {
	if len(c.management) == 0 || before.Network == nil || want.Network == nil {
		return nil
	}
	h, err := c.target.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	name := map[int]string{}
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		name[l.Attrs().Index] = l.Attrs().Name
	}
	for _, peer := range c.management {
		found, err := h.RouteGet(peer.AsSlice())
		if err != nil || len(found) == 0 {
			return fmt.Errorf("%v can not be reached even now: %w", peer, errors.Join(ErrUnroutable, err))
		}
		from, _ := netip.AddrFromSlice(found[0].Src)
		if err := keepsWay(way{peer, name[found[0].LinkIndex], from.Unmap()}, *before.Network, *want.Network); err != nil {
			return err
		}
	}
	return nil
}

// keepsWay is pure: a way leads through a bridge of ours only as long as the
// bridge keeps dom0's address and all of its ports.
func keepsWay(w way, before, want network.State) error {
	here := func(s network.State) (b network.Bridge) {
		if i := slices.IndexFunc(s.Bridges, func(b network.Bridge) bool { return b.Name == w.dev }); i >= 0 {
			b = s.Bridges[i]
		}
		return b
	}
	has := func(b network.Bridge) bool {
		return slices.ContainsFunc(b.Addresses, func(p netip.Prefix) bool { return p.Addr() == w.from })
	}
	old, now := here(before), here(want)
	for _, p := range old.Ports {
		if !slices.Contains(now.Ports, p) {
			return fmt.Errorf("%v is reached through %s, which would lose %s: %w", w.peer, w.dev, p, ErrUnroutable)
		}
	}
	if has(old) && !has(now) {
		return fmt.Errorf("%v is reached from %v on %s, which would go: %w", w.peer, w.from, w.dev, ErrUnroutable)
	}
	return nil
}
