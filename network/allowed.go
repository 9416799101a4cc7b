package network

import (
	"fmt"
	"io/fs"
	"slices"
)

// allowed refuses guests on bridges that are neither there nor coming, and
// forwards of ports that dom0 itself needs. What is in force already is not
// asked again.
func (l *Linux) allowed(k *kernel, seen observed, coming []Bridge, changed []Guest) error {
	var sockets []socket
	asked := false
	for _, g := range changed {
		for _, p := range g.Ports {
			comes := slices.ContainsFunc(coming, func(b Bridge) bool { return b.Name == p.Bridge })
			b, there := seen.bridges[p.Bridge]
			if !comes && (!there || b.ours) {
				return fmt.Errorf("bridge %s: %w", p.Bridge, fs.ErrNotExist)
			}
			if err := seen.vifFree(p, g.UUID); err != nil {
				return err
			}
		}
		known := map[Forward]bool{}
		for _, f := range seen.book.guests[g.UUID].Forwards {
			known[f] = true
		}
		for _, f := range g.Forwards {
			if known[f] {
				continue
			}
			if !asked {
				var err error
				if sockets, err = listening(); err != nil {
					return err
				}
				asked = true
			}
			if err := l.spares(k, f, sockets); err != nil {
				return fmt.Errorf("forward %v: %w", f, err)
			}
		}
	}
	return nil
}

// spares refuses what dom0 needs for itself.
func (l *Linux) spares(k *kernel, f Forward, sockets []socket) error {
	if f.Proto == All {
		own, err := k.addresses()
		if p, ok := own[f.Listen]; ok && !p.IsSingleIP() {
			return fmt.Errorf("dom0 is on a network by %v; give the guest a /%d: %w", p, f.Listen.BitLen(), ErrReserved)
		}
		return err
	}
	for _, port := range l.reserved {
		if f.Port <= port && port <= f.last() {
			return fmt.Errorf("port %d: %w", port, ErrReserved)
		}
	}
	for _, s := range sockets {
		if f.takesFrom(s) {
			return fmt.Errorf("port %d: %w", s.port, ErrReserved)
		}
	}
	return nil
}
