package island

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/google/uuid"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/network"
)

// group is the link group of all links of islands in dom0.
const group = 87

// out is the router's interface to dom0, in0 and so on are those on bridges.
const out = "out"

func inName(link int) string { return "in" + strconv.Itoa(link) }

// clear removes what there is of an island but for the bridges that want has.
func (l *Linux) clear(h *netlink.Handle, seen seen, want Island) error {
	keep := map[string]bool{}
	for n := range want.Links {
		keep[BridgeName(want.UUID, n)] = true
	}
	for name := range seen.parts {
		if keep[name] {
			continue
		}
		link, err := h.LinkByName(name)
		if gone(err) {
			continue
		}
		if err == nil {
			err = h.LinkDel(link)
		}
		if err != nil && !gone(err) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return removeRouter(want.UUID)
}

func gone(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing) || errors.Is(err, unix.ENODEV)
}

// removeRouter removes the namespace, also one that was only half made.
func removeRouter(id uuid.UUID) error {
	path := routerPath(id)
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) { // EINVAL: nothing is mounted there
		return fmt.Errorf("remove namespace %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// build makes the links and the router. The alias that tells that all is there
// comes last.
func (l *Linux) build(ctx context.Context, h *netlink.Handle, want Island) error {
	router, err := newRouter(want.UUID)
	if err != nil {
		return fmt.Errorf("make namespace %s: %w", RouterName(want.UUID), err)
	}
	defer func() { _ = router.Close() }()
	for n := range want.Links {
		bridge, err := makeBridge(h, want.UUID, n)
		if err == nil {
			err = makeVeth(h, want.UUID, plugName(want.UUID, n), inName(n), router, bridge.Attrs().Index)
		}
		if err != nil {
			return err
		}
	}
	var transit netip.Addr
	if want.Out != "" {
		if transit, err = l.makeUplink(h, want, router); err != nil {
			return err
		}
	}
	if err := inside(routerPath(want.UUID), func() error { return arrange(want, transit) }); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	if err := l.writeRouterRules(ctx, want); err != nil {
		return err
	}
	bridge, err := h.LinkByName(BridgeName(want.UUID, 0))
	if err != nil {
		return err
	}
	return h.LinkSetAlias(bridge, doneAlias(want))
}

// newRouter makes a named namespace on a thread of its own.
func newRouter(id uuid.UUID) (ns netns.NsHandle, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: it is in the new namespace now
		ns, err = netns.NewNamed(RouterName(id))
	}()
	<-done
	return ns, err
}

// makeBridge makes a bridge that dom0 has no part in, or finds it.
func makeBridge(h *netlink.Handle, id uuid.UUID, n int) (netlink.Link, error) {
	name := BridgeName(id, n)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group = name, group
	if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make bridge %s: %w", name, err)
	}
	link, err := h.LinkByName(name)
	if err != nil {
		return nil, err
	}
	for _, s := range []struct{ file, value string }{
		{"ipv6/conf/" + name + "/disable_ipv6", "1"}, {"ipv4/conf/" + name + "/forwarding", "0"},
		{"ipv4/conf/" + name + "/rp_filter", "1"}, {"ipv4/conf/" + name + "/arp_ignore", "8"},
	} {
		if err := sysctl(s.file, s.value); err != nil {
			return nil, err
		}
	}
	if err := h.LinkSetAlias(link, alias(id)); err != nil {
		return nil, err
	}
	return link, h.LinkSetUp(link)
}

// sysctl writes a file below /proc/sys/net, of the namespace of the thread. A
// kernel without IPv6 has no such files.
func sysctl(file, value string) error {
	err := os.WriteFile(filepath.Join("/proc/sys/net", file), []byte(value), 0o644)
	if errors.Is(err, fs.ErrNotExist) && file[:4] == "ipv6" {
		return nil
	}
	return err
}

// makeVeth makes a pair of which the peer is in the router.
func makeVeth(h *netlink.Handle, id uuid.UUID, name, peer string, router netns.NsHandle, bridge int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group, attrs.MasterIndex = name, group, bridge
	err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer, PeerNamespace: netlink.NsFd(int(router))})
	if err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	if err := sysctl("ipv6/conf/"+name+"/disable_ipv6", "1"); err != nil {
		return err
	}
	if err := h.LinkSetAlias(link, alias(id)); err != nil {
		return err
	}
	return h.LinkSetUp(link)
}

// makeUplink makes the router's way to dom0 and returns dom0's address on it.
// The router's is the next one.
func (l *Linux) makeUplink(h *netlink.Handle, want Island, router netns.NsHandle) (netip.Addr, error) {
	seen, err := l.look(h, want.UUID)
	if err != nil {
		return netip.Addr{}, err
	}
	a := l.transit.Masked().Addr()
	for seen.transit[a] {
		a = a.Next().Next()
	}
	if !l.transit.Contains(a.Next()) {
		return netip.Addr{}, fmt.Errorf("every address of %v is taken: %w", l.transit, network.ErrConflict)
	}
	name := uplinkName(want.UUID)
	if err := makeVeth(h, want.UUID, name, out, router, 0); err != nil {
		return netip.Addr{}, err
	}
	link, err := h.LinkByName(name)
	if err == nil {
		err = h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, 31))})
	}
	if err == nil {
		err = sysctl("ipv4/ip_forward", "1")
	}
	return a, err
}

// arrange gives the router its addresses and ways. It runs in its namespace.
func arrange(want Island, transit netip.Addr) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := sysctl("ipv4/ip_forward", "1"); err != nil {
		return err
	}
	for n, l := range want.Links {
		link, err := up(h, inName(n), l.Gateways)
		if err != nil {
			return err
		}
		for _, a := range l.Addresses {
			if a = a.Unmap(); !a.Is4() {
				continue
			}
			err := h.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Scope: unix.RT_SCOPE_LINK, Dst: ipNet(netip.PrefixFrom(a, 32))})
			if err != nil {
				return fmt.Errorf("route to %v: %w", a, err)
			}
		}
	}
	if want.Out == "" {
		return nil
	}
	link, err := up(h, out, []netip.Prefix{netip.PrefixFrom(transit.Next(), 31)})
	if err == nil {
		err = h.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: transit.AsSlice()})
	}
	return err
}

func up(h *netlink.Handle, name string, addresses []netip.Prefix) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if err != nil {
		return nil, err
	}
	if err := sysctl("ipv6/conf/"+name+"/disable_ipv6", "1"); err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if err := h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(a)}); err != nil {
			return nil, fmt.Errorf("address %v: %w", a, err)
		}
	}
	return link, h.LinkSetUp(link)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
