package network

import (
	"errors"
	"fmt"
	"net"
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

// plug puts the vifs of a guest that exist into their bridges and marks them.
func (k *kernel) plug(g Guest) error {
	for _, p := range g.Ports {
		vif, err := k.LinkByName(p.Vif)
		if absent(err) {
			continue // Xen plugs it when the domain starts
		}
		if err != nil {
			return fmt.Errorf("vif %s: %w", p.Vif, err)
		}
		bridge, err := k.LinkByName(p.Bridge)
		if err != nil {
			return fmt.Errorf("bridge %s: %w", p.Bridge, err)
		}
		if vif.Attrs().Alias != vifAlias(g.UUID, p.Vif) {
			if err := k.LinkSetAlias(vif, vifAlias(g.UUID, p.Vif)); err != nil {
				return fmt.Errorf("mark vif %s: %w", p.Vif, err)
			}
		}
		if vif.Attrs().MasterIndex != bridge.Attrs().Index || vif.Attrs().Flags&net.FlagUp == 0 {
			if err := k.enslave(vif, bridge); err != nil {
				return fmt.Errorf("put vif %s into %s: %w", p.Vif, p.Bridge, err)
			}
		}
	}
	return nil
}

// unplug takes the vifs that a guest no longer has out of their bridges.
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
		if err := k.LinkSetNoMaster(vif); err != nil {
			return fmt.Errorf("take vif %s out of %s: %w", p.Vif, p.Bridge, err)
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
