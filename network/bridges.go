package network

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// checkBridges refuses, before anything is touched, what would need a change
// of links that are not ours.
func (k *kernel) checkBridges(seen observed, state State) error {
	want, coming := state.Bridges, map[string]bool{}
	for _, m := range state.made() {
		coming[m.name] = true
	}
	for _, w := range want {
		b, there := seen.bridges[w.Name]
		if l, ok := seen.links[w.Name]; ok && !there {
			return fmt.Errorf("%s is a %s, not a bridge: %w", w.Name, l.link.Type(), ErrForeign)
		}
		for _, p := range w.Ports {
			if slices.Contains(b.ports, p) {
				continue
			}
			if there && !b.ours {
				return fmt.Errorf("bridge %s lacks port %s: %w", w.Name, p, ErrForeign)
			}
			if _, there := seen.links[p]; !there && coming[p] {
				continue
			}
			if err := k.canTake(seen, p); err != nil {
				return err
			}
		}
		for _, a := range w.Addresses {
			if there && !b.ours && !slices.Contains(b.addresses, a) {
				return fmt.Errorf("bridge %s lacks address %v: %w", w.Name, a, ErrForeign)
			}
		}
	}
	return seen.checkLeftovers(want)
}

// canTake reports whether an interface may be put into a bridge of ours: it is
// in none, or we put it there; and dom0 has no address on it, which would cut
// dom0 off.
func (k *kernel) canTake(seen observed, port string) error {
	l, ok := seen.links[port]
	if !ok {
		return fmt.Errorf("interface %s: %w", port, fs.ErrNotExist)
	}
	if l.master != "" && !seen.own(interfaceFact(port, l.master)) && !seen.own(bondPortFact(port, l.master)) {
		return fmt.Errorf("interface %s is in %s: %w", port, l.master, ErrForeign)
	}
	list, err := dump(func() ([]netlink.Addr, error) { return k.AddrList(l.link, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", port, err)
	}
	for _, a := range list {
		if !a.IP.IsLinkLocalUnicast() {
			return fmt.Errorf("interface %s has dom0's address %v: %w", port, a.IPNet, ErrForeign)
		}
	}
	return nil
}

// checkLeftovers refuses to remove a bridge of ours that holds what is not.
func (o observed) checkLeftovers(want []Bridge) error {
	for _, b := range o.goingBridges(want) {
		for _, p := range o.bridges[b.Name].ports {
			if !strings.HasPrefix(o.links[p].alias, "xenhost:") && !o.own(interfaceFact(p, b.Name)) {
				return fmt.Errorf("bridge %s still holds %s: %w", b.Name, p, ErrForeign)
			}
		}
	}
	return nil
}

// own reports whether a recorded fact was made by us.
func (o observed) own(line string) bool {
	return !o.book.found[line] && slices.ContainsFunc(o.book.host.hostFacts(), func(f fact) bool { return f.line == line })
}

// goingBridges are the bridges that we made and nobody wants any more.
func (o observed) goingBridges(want []Bridge) []Bridge {
	var out []Bridge
	for _, b := range o.actual.Bridges {
		if o.bridges[b.Name].ours && !slices.ContainsFunc(want, func(w Bridge) bool { return w.Name == b.Name }) {
			out = append(out, b)
		}
	}
	return out
}

// takeBridges takes away what we made and is no longer wanted.
func (k *kernel) takeBridges(seen observed, want []Bridge) error {
	for _, b := range seen.actual.Bridges {
		var w Bridge
		if i := slices.IndexFunc(want, func(w Bridge) bool { return w.Name == b.Name }); i >= 0 {
			w = want[i]
		}
		for _, p := range b.Ports {
			if slices.Contains(w.Ports, p) || !seen.own(interfaceFact(p, b.Name)) {
				continue
			}
			if err := k.LinkSetNoMaster(seen.links[p].link); err != nil {
				return fmt.Errorf("take %s out of %s: %w", p, b.Name, err)
			}
		}
		for _, a := range b.Addresses {
			if slices.Contains(w.Addresses, a) || !seen.own(addressFact(a, b.Name)) {
				continue
			}
			if err := k.AddrDel(seen.links[b.Name].link, &netlink.Addr{IPNet: ipNet(a)}); err != nil {
				return fmt.Errorf("remove address %v from %s: %w", a, b.Name, err)
			}
		}
	}
	for _, b := range seen.goingBridges(want) {
		if err := k.LinkDel(seen.links[b.Name].link); err != nil {
			return fmt.Errorf("remove bridge %s: %w", b.Name, err)
		}
	}
	return nil
}

// makeBridges makes what is missing.
//
//	ip link add NAME type bridge
//	ip link set PORT master NAME up
//	ip address add PREFIX dev NAME
func (k *kernel) makeBridges(want []Bridge) error {
	var seen observed
	if err := k.look(&seen); err != nil {
		return err
	}
	for _, w := range want {
		b, there := seen.bridges[w.Name]
		if !there {
			if err := k.makeBridge(w.Name); err != nil {
				return fmt.Errorf("make bridge %s: %w", w.Name, err)
			}
		}
		link, err := k.LinkByName(w.Name)
		if err != nil {
			return fmt.Errorf("bridge %s: %w", w.Name, err)
		}
		for _, p := range w.Ports {
			if slices.Contains(b.ports, p) {
				continue
			}
			if err := k.enslave(seen.links[p].link, link); err != nil {
				return fmt.Errorf("put %s into %s: %w", p, w.Name, err)
			}
		}
		for _, a := range w.Addresses {
			if slices.Contains(b.addresses, a) {
				continue
			}
			if err := k.AddrAdd(link, &netlink.Addr{IPNet: ipNet(a)}); err != nil {
				return fmt.Errorf("add address %v to %s: %w", a, w.Name, err)
			}
		}
	}
	return nil
}

func (k *kernel) makeBridge(name string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := k.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil { // no STP is the kernel's default
		return err
	}
	link, err := k.LinkByName(name)
	if err != nil {
		return err
	}
	if err := k.LinkSetAlias(link, bridgeAlias(name)); err != nil {
		return err
	}
	return k.LinkSetUp(link)
}

func (k *kernel) enslave(port, bridge netlink.Link) error {
	if err := k.LinkSetMaster(port, bridge); err != nil {
		return err
	}
	return k.LinkSetUp(port)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// foundIn tells which facts of next were made by hand: those that were so
// before, and those that are new to us and there already.
func (o observed) foundIn(next State) map[string]bool {
	known := map[string]bool{}
	for _, f := range o.book.host.hostFacts() {
		known[f.line] = true
	}
	out := map[string]bool{}
	for _, f := range o.linked(next.links()).hostFacts() {
		made := o.book.found[f.line]
		if !known[f.line] {
			made = true
		}
		out[f.line] = made
	}
	for _, b := range next.Bridges {
		if o.bridges[b.Name].ours {
			out[bridgeFact(b.Name)] = false
		}
	}
	for _, m := range next.made() {
		if o.links[m.name].alias == madeAlias(m.name) {
			out[m.fact] = false
		}
	}
	return out
}
