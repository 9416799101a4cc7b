package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
)

// routedMAC is what Xen's scripts give to dom0's end of a vif. The guest's
// router has the same one on every host, so that a move does not disturb it.
const routedMAC = "fe:ff:ff:ff:ff:ff"

// route is one call of the script of routed vifs. Only "online" is of any
// meaning: routes go with the vif, and the device model's port is not used.
func (h hook) route(ctx context.Context, args []string) error {
	if !slices.Contains(args, "online") {
		return nil
	}
	if err := h.routed(ctx); err != nil {
		h.tell(ctx, err)
		return err
	}
	return h.run.Run(ctx, dom0.Cmd{Args: []string{"xenstore-write", h.path + "/hotplug-status", "connected"}})
}

func (h hook) routed(ctx context.Context) error {
	if h.path == "" || h.device == "" {
		return errors.New("XENBUS_PATH or vif is not set: this is called by xl")
	}
	vif := h.name(ctx)
	if vif == "" {
		return fmt.Errorf("%s: a routed vif needs a vifname", h.device)
	}
	// The interface is down until its guest is set.
	for _, argv := range [][]string{
		{"ip", "link", "set", h.device, "name", vif},
		{"ip", "link", "set", vif, "address", routedMAC},
	} {
		if err := h.run.Run(ctx, dom0.Cmd{Args: argv}); err != nil {
			return err
		}
	}
	state, err := h.network.Recorded(ctx) // Read leaves out the port of a vif that leads nowhere yet
	if err != nil {
		return err
	}
	for _, g := range state.Guests {
		if slices.ContainsFunc(g.Ports, func(p network.Port) bool { return p.Vif == vif && p.Routed }) {
			if err := h.guarded(ctx); err != nil {
				return err
			}
			return h.network.Set(ctx, g)
		}
	}
	return nil
}
