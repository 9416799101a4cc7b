package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/google/uuid"
	"github.com/vishvananda/netlink"
)

// vifFree refuses a vif's name that another guest's vif or some other
// interface of the host has.
func (o observed) vifFree(p Port, id uuid.UUID) error {
	l, ok := o.links[p.Vif]
	if !ok || l.alias == "" || l.alias == vifAlias(id, p.Vif) {
		return nil
	}
	return fmt.Errorf("interface %s is marked %q: %w", p.Vif, l.alias, ErrConflict)
}

// plug puts the vifs of a guest that exist into their bridges, or routes them,
// and marks them.
func (k *kernel) plug(g Guest, routes func() (routesSeen, error)) error {
	var seen routesSeen
	fresh := map[netip.Addr]bool{}
	if g.routed() {
		var err error
		if seen, err = routes(); err != nil {
			return err
		}
	}
	for _, p := range g.Ports {
		vif, err := k.LinkByName(p.Vif)
		if absent(err) {
			continue // Xen's script plugs it when the domain starts, or vifhook
		}
		if err != nil {
			return fmt.Errorf("vif %s: %w", p.Vif, err)
		}
		if vif.Attrs().Alias != vifAlias(g.UUID, p.Vif) {
			if err := k.LinkSetAlias(vif, vifAlias(g.UUID, p.Vif)); err != nil {
				return fmt.Errorf("mark vif %s: %w", p.Vif, err)
			}
		}
		if p.Routed {
			new, err := k.route(p, vif, seen)
			if err != nil {
				return fmt.Errorf("route vif %s: %w", p.Vif, err)
			}
			for _, a := range new {
				fresh[a] = true
			}
			continue
		}
		if err := k.bridge(p, vif); err != nil {
			return fmt.Errorf("put vif %s into %s: %w", p.Vif, p.Bridge, err)
		}
	}
	return k.answer(g, fresh, seen)
}

func (k *kernel) bridge(p Port, vif netlink.Link) error {
	bridge, err := k.LinkByName(p.Bridge)
	if err != nil {
		return err
	}
	if vif.Attrs().Group == routedGroup {
		if err := k.unroute(vif); err != nil {
			return err
		}
		vif.Attrs().Flags &^= net.FlagUp
	}
	if vif.Attrs().MasterIndex != bridge.Attrs().Index || vif.Attrs().Flags&net.FlagUp == 0 {
		return k.enslave(vif, bridge)
	}
	return nil
}

// routed reports whether a guest has a routed port.
func (g Guest) routed() bool {
	return slices.ContainsFunc(g.Ports, func(p Port) bool { return p.Routed })
}

// unplug takes the vifs that a guest no longer has out of their bridges, and
// their routes away.
func (k *kernel) unplug(old, now Guest) error {
	for _, p := range old.Ports {
		if slices.ContainsFunc(now.Ports, func(n Port) bool { return n.Vif == p.Vif }) {
			continue
		}
		vif, err := k.LinkByName(p.Vif)
		if absent(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("vif %s: %w", p.Vif, err)
		}
		if vif.Attrs().Alias != vifAlias(old.UUID, p.Vif) {
			continue
		}
		err = k.LinkSetNoMaster(vif)
		if p.Routed {
			err = k.unroute(vif)
		}
		if err != nil {
			return fmt.Errorf("take vif %s out of %s: %w", p.Vif, p.place(), err)
		}
		if err := k.LinkSetAlias(vif, ""); err != nil {
			return fmt.Errorf("unmark vif %s: %w", p.Vif, err)
		}
	}
	return nil
}

func absent(err error) bool {
	var gone netlink.LinkNotFoundError
	return errors.As(err, &gone)
}
