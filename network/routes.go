package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/ether"
	"github.com/xenhost/xenhost/network/internal/neighbour"
)

const (
	// routeProtocol marks routes that are ours: ip route show proto 86.
	routeProtocol = 86
	// routedGroup is the group of routed vifs, by which rules know them: ip link
	// show group 86.
	routedGroup = 86
)

// routesSeen is what the kernel has for routed guests.
type routesSeen struct {
	ways      map[string]map[way]bool // of vifs, ours
	proxies   map[proxy]bool          // whoever made them
	addresses map[string]map[netip.Addr]bool
}

// lookAtRoutes lists what leads to routed guests. name gives links by index.
//
//	ip route show proto 86; ip -6 route show proto 86; ip neigh show proxy
func (k *kernel) lookAtRoutes(name map[int]string) (routesSeen, error) {
	seen := routesSeen{map[string]map[way]bool{}, map[proxy]bool{}, map[string]map[netip.Addr]bool{}}
	addresses, err := dump(func() ([]netlink.Addr, error) { return k.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return seen, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addresses {
		if ip := addrOf(a.IP); isRouter(ip) {
			set(seen.addresses, name[a.LinkIndex], ip)
		}
	}
	for _, f := range families() {
		if f == v6 && !hasIPv6() {
			continue
		}
		routes, err := dump(func() ([]netlink.Route, error) {
			return k.RouteListFiltered(inet(f), &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
		})
		if err != nil {
			return seen, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			if r.Dst != nil {
				set(seen.ways, name[r.LinkIndex], way{prefixOf(r.Dst), addrOf(r.Gw)})
			}
		}
		list, err := dump(func() ([]netlink.Neigh, error) { return k.NeighProxyList(0, inet(f)) })
		if err != nil {
			return seen, fmt.Errorf("list proxies: %w", err)
		}
		for _, n := range list {
			seen.proxies[proxy{name[n.LinkIndex], addrOf(n.IP)}] = true
		}
	}
	return seen, nil
}

// allRoutes is lookAtRoutes for all links.
func (k *kernel) allRoutes() (routesSeen, error) {
	links, err := dump(k.LinkList)
	if err != nil {
		return routesSeen{}, fmt.Errorf("list links: %w", err)
	}
	name := map[int]string{}
	for _, l := range links {
		name[l.Attrs().Index] = l.Attrs().Name
	}
	return k.lookAtRoutes(name)
}

func set[K, V comparable](m map[K]map[V]bool, key K, v V) {
	if m[key] == nil {
		m[key] = map[V]bool{}
	}
	m[key][v] = true
}

func prefixOf(n *net.IPNet) netip.Prefix {
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addrOf(n.IP), bits)
}

// isRouted reports whether a link is as route makes it, but for the routes.
func (o observed) isRouted(l linkSeen) bool {
	a, has := l.link.Attrs(), o.routes.addresses[l.link.Attrs().Name]
	return a.MasterIndex == 0 && a.Flags&net.FlagUp != 0 && a.Group == routedGroup &&
		has[routers()[0]] && (has[routers()[1]] || !hasIPv6())
}

// routedPort leaves out of a routed port what the kernel does not show.
func (o observed) routedPort(p Port) (Port, bool) {
	vif, exists := o.links[p.Vif]
	if exists && !o.isRouted(vif) {
		return p, false
	}
	shows := func(w way) bool {
		return (!exists || o.routes.ways[p.Vif][w]) &&
			(p.Uplink == "" || w.via.IsValid() || o.routes.proxies[proxy{p.Uplink, w.to.Addr()}])
	}
	gate := p.gate
	p.Networks = slices.DeleteFunc(slices.Clone(p.Networks), func(n netip.Prefix) bool { return !shows(way{n, gate(n)}) })
	p.Addresses = slices.DeleteFunc(slices.Clone(p.Addresses), func(a netip.Addr) bool { return !a.IsLinkLocalUnicast() && !shows(p.wayTo(a)) })
	return p, true
}

// route makes a vif the link of a routed guest. It returns the addresses that
// lead there from now on and did not before.
func (k *kernel) route(p Port, vif netlink.Link, seen routesSeen) (fresh []netip.Addr, err error) {
	if vif.Attrs().MasterIndex != 0 {
		if err := k.LinkSetNoMaster(vif); err != nil {
			return nil, err
		}
	}
	if err := k.LinkSetGroup(vif, routedGroup); err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	if err := guardSettings(p.Vif); err != nil {
		return nil, err
	}
	for i, a := range routers() {
		if i == 1 && !hasIPv6() || seen.addresses[p.Vif][a] {
			continue
		}
		addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, 32)), Scope: int(netlink.SCOPE_LINK)}
		if i == 1 {
			addr = &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, 64)), Flags: unix.IFA_F_NODAD}
		}
		if err := k.AddrReplace(vif, addr); err != nil {
			return nil, fmt.Errorf("address %v: %w", a, err)
		}
	}
	if vif.Attrs().Flags&net.FlagUp == 0 { // or its routes would be refused
		if err := k.LinkSetUp(vif); err != nil {
			return nil, err
		}
	}
	want := p.ways()
	for w := range seen.ways[p.Vif] {
		if !slices.Contains(want, w) {
			if err := k.RouteDel(w.route(vif)); err != nil && !errors.Is(err, unix.ESRCH) {
				return nil, fmt.Errorf("remove route to %v: %w", w.to, err)
			}
		}
	}
	for _, w := range want {
		if seen.ways[p.Vif][w] {
			continue
		}
		if err := k.RouteAdd(w.route(vif)); errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("route to %v: %w", w.to, ErrForeign)
		} else if err != nil {
			return nil, fmt.Errorf("route to %v: %w", w.to, err)
		}
		if !w.via.IsValid() {
			fresh = append(fresh, w.to.Addr())
		}
	}
	return fresh, nil
}

func (w way) route(vif netlink.Link) *netlink.Route {
	r := &netlink.Route{LinkIndex: vif.Attrs().Index, Dst: ipNet(w.to), Protocol: routeProtocol}
	if w.via.IsValid() {
		r.Gw, r.Flags = w.via.AsSlice(), int(netlink.FLAG_ONLINK)
	} else if w.to.Addr().Is4() {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}

// guardSettings: what comes from a routed guest has an address that leads
// there (IPv4; the guard sees to IPv6), and it is nobody's router.
//
//	sysctl net.ipv4.conf.VIF.rp_filter=1 net.ipv6.conf.VIF.accept_ra=0
func guardSettings(vif string) error {
	for file, value := range map[string]string{
		"/proc/sys/net/ipv4/conf/" + vif + "/rp_filter": "1\n",
		"/proc/sys/net/ipv6/conf/" + vif + "/accept_ra": "0\n",
	} {
		if err := os.WriteFile(file, []byte(value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// unroute is the reverse of route. The link is down then: a vif that belongs
// to nobody carries nothing.
func (k *kernel) unroute(vif netlink.Link) error {
	if vif.Attrs().Group != routedGroup {
		return nil
	}
	if err := k.LinkSetDown(vif); err != nil { // takes the routes along
		return err
	}
	if err := k.LinkSetGroup(vif, 0); err != nil {
		return err
	}
	list, err := dump(func() ([]netlink.Addr, error) { return k.AddrList(vif, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	for _, a := range list {
		if isRouter(addrOf(a.IP)) {
			if err := k.AddrDel(vif, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return err
			}
		}
	}
	return nil
}

// withhold ends the answers for addresses that guests no longer have here.
func (k *kernel) withhold(old []Guest, next map[string]bool) error {
	for _, g := range old {
		for _, p := range g.proxies() {
			if next[p.String()] {
				continue
			}
			link, err := k.LinkByName(p.on)
			if absent(err) {
				continue // and its proxies with it
			}
			if err == nil {
				err = k.NeighDel(p.neigh(link))
			}
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("proxy %v: %w", p, err)
			}
		}
	}
	return nil
}

// proxiesOf are the proxies of guests, by what they print.
func proxiesOf(guests []Guest) map[string]bool {
	out := map[string]bool{}
	for _, g := range guests {
		for _, p := range g.proxies() {
			out[p.String()] = true
		}
	}
	return out
}

func (p proxy) String() string { return p.address.String() + " on " + p.on }

func (p proxy) neigh(link netlink.Link) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: link.Attrs().Index, Family: inet(familyOf(p.address)), State: netlink.NUD_PERMANENT, Flags: netlink.NTF_PROXY, IP: p.address.AsSlice()}
}

// answer lets dom0 answer for a guest's addresses, and tells the network of
// those that are fresh.
func (k *kernel) answer(g Guest, fresh map[netip.Addr]bool, seen routesSeen) error {
	for _, p := range g.proxies() {
		if seen.proxies[p] && !fresh[p.address] {
			continue
		}
		link, err := k.LinkByName(p.on)
		if err != nil {
			return fmt.Errorf("uplink %s: %w", p.on, err)
		}
		if p.address.Is6() {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+p.on+"/proxy_ndp", []byte("1\n"), 0); err != nil {
				return err
			}
		}
		if err := k.NeighSet(p.neigh(link)); err != nil {
			return fmt.Errorf("proxy %v: %w", p, err)
		}
		if !fresh[p.address] || link.Attrs().Flags&net.FlagUp == 0 {
			continue
		}
		mac, err := ether.Parse(link.Attrs().HardwareAddr.String())
		if err == nil {
			err = neighbour.Announce(link.Attrs().Index, mac, []netip.Addr{p.address})
		}
		if err != nil {
			return fmt.Errorf("proxy %v: %w", p, err)
		}
	}
	return nil
}
