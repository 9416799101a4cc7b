package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// vxlanPort is the UDP port of vxlan, as IANA has it.
const vxlanPort = 4789

// madeAlias marks bonds, vlans and vxlans that we made.
func madeAlias(name string) string { return "xenhost:link:" + name }

// shows reports whether a link is what a fact says, but for a bond's ports.
func (o observed) shows(name, fact string) bool {
	seen, ok := o.links[name]
	if !ok {
		return false
	}
	switch l := seen.link.(type) {
	case *netlink.Bond:
		return fact == bondFact(name) && l.Mode == netlink.BOND_MODE_ACTIVE_BACKUP
	case *netlink.Vlan:
		return fact == VLAN{name, o.byIndex[l.ParentIndex], l.VlanId}.fact()
	case *netlink.Vxlan:
		return fact == VXLAN{name, l.VxlanId, addrOf(l.SrcAddr), addrOf(l.Group)}.fact() && l.Port == vxlanPort && !l.Learning
	}
	return false
}

// made are the interfaces of a state, from the ground up.
type made struct {
	name, fact string
	link       func(o observed, attrs netlink.LinkAttrs) netlink.Link
	ports      []string // of a bond
	on         string   // of a vlan
}

func (s State) made() []made {
	var out []made
	for _, b := range s.Bonds {
		out = append(out, made{b.Name, bondFact(b.Name), func(_ observed, attrs netlink.LinkAttrs) netlink.Link {
			bond := netlink.NewLinkBond(attrs)
			bond.Mode, bond.Miimon = netlink.BOND_MODE_ACTIVE_BACKUP, 100
			return bond
		}, b.Ports, ""})
	}
	for _, v := range s.VLANs {
		out = append(out, made{v.Name, v.fact(), func(o observed, attrs netlink.LinkAttrs) netlink.Link {
			attrs.ParentIndex = o.links[v.On].link.Attrs().Index
			return &netlink.Vlan{LinkAttrs: attrs, VlanId: v.ID, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
		}, nil, v.On})
	}
	for _, v := range s.VXLANs {
		out = append(out, made{v.Name, v.fact(), func(_ observed, attrs netlink.LinkAttrs) netlink.Link {
			return &netlink.Vxlan{LinkAttrs: attrs, VxlanId: v.ID, SrcAddr: net.IP(v.Local.AsSlice()), Group: net.IP(v.Remote.AsSlice()), Port: vxlanPort}
		}, nil, ""})
	}
	return out
}

// checkLinks refuses, before anything is touched, what would need a change of
// links that are not ours.
func (k *kernel) checkLinks(seen observed, want State) error {
	coming := map[string]bool{}
	for _, m := range want.made() {
		l, there := seen.links[m.name]
		if there && l.alias != madeAlias(m.name) && !seen.shows(m.name, m.fact) {
			return fmt.Errorf("%s is there and not %s: %w", m.name, m.fact, ErrForeign)
		}
		if m.on != "" && !coming[m.on] && seen.links[m.on].link == nil {
			return fmt.Errorf("interface %s: %w", m.on, fs.ErrNotExist)
		}
		for _, p := range m.ports {
			if slices.Contains(seen.portsOf(m.name), p) {
				continue
			}
			if there && l.alias != madeAlias(m.name) {
				return fmt.Errorf("bond %s lacks port %s: %w", m.name, p, ErrForeign)
			}
			if err := k.canTake(seen, p); err != nil {
				return err
			}
		}
		coming[m.name] = true
	}
	return nil
}

// portsOf lists what is in a bond.
func (o observed) portsOf(bond string) []string {
	var out []string
	for name, l := range o.links {
		if l.master == bond {
			out = append(out, name)
		}
	}
	return out
}

// takeLinks removes what we made and is no longer wanted, or wanted otherwise,
// from the top down.
func (k *kernel) takeLinks(seen observed, want State) error {
	wanted := map[string]made{}
	for _, m := range want.made() {
		wanted[m.name] = m
	}
	for _, m := range slices.Backward(seen.book.host.made()) {
		l, there := seen.links[m.name]
		w := wanted[m.name]
		if !there || l.alias != madeAlias(m.name) {
			continue
		}
		if w.fact != m.fact || !seen.shows(m.name, m.fact) {
			if err := k.LinkDel(l.link); err != nil && !errors.Is(err, unix.ENODEV) { // a vlan goes with what it was on
				return fmt.Errorf("remove %s: %w", m.fact, err)
			}
			continue
		}
		for _, p := range m.ports {
			if slices.Contains(w.ports, p) || seen.links[p].master != m.name {
				continue
			}
			if err := k.LinkSetNoMaster(seen.links[p].link); err != nil {
				return fmt.Errorf("take %s out of bond %s: %w", p, m.name, err)
			}
		}
	}
	return nil
}

// makeLinks makes what is missing.
func (k *kernel) makeLinks(want State) error {
	for _, m := range want.made() {
		var now observed
		if err := k.look(&now); err != nil {
			return err
		}
		if _, there := now.links[m.name]; !there {
			if err := k.makeLink(now, m); err != nil {
				return fmt.Errorf("make %s: %w", m.fact, err)
			}
		}
		bond, err := k.LinkByName(m.name)
		if err != nil {
			return fmt.Errorf("%s: %w", m.fact, err)
		}
		for _, p := range m.ports {
			if now.links[p].master == m.name {
				continue
			}
			if now.links[p].link == nil {
				return fmt.Errorf("interface %s: %w", p, fs.ErrNotExist)
			}
			if err := k.bondPort(now.links[p].link, bond); err != nil {
				return fmt.Errorf("put %s into bond %s: %w", p, m.name, err)
			}
		}
	}
	return nil
}

func (k *kernel) makeLink(now observed, m made) error {
	if m.on != "" {
		on := now.links[m.on].link
		if on == nil {
			return fmt.Errorf("interface %s: %w", m.on, fs.ErrNotExist)
		}
		if err := k.LinkSetUp(on); err != nil { // a vlan is up only on what is up
			return fmt.Errorf("interface %s: %w", m.on, err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = m.name
	if err := k.LinkAdd(m.link(now, attrs)); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("the kernel has no such interfaces: %w", errors.Join(errors.ErrUnsupported, err))
		}
		return err
	}
	link, err := k.LinkByName(m.name)
	if err != nil {
		return err
	}
	if err := k.LinkSetAlias(link, madeAlias(m.name)); err != nil {
		return errors.Join(err, k.LinkDel(link))
	}
	return k.LinkSetUp(link)
}

// bondPort puts an interface into a bond: it must be down for that.
func (k *kernel) bondPort(port, bond netlink.Link) error {
	if err := k.LinkSetDown(port); err != nil {
		return err
	}
	if err := k.LinkSetMaster(port, bond); err != nil {
		return err
	}
	return k.LinkSetUp(port)
}
