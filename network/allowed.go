package network

import (
	"fmt"
	"io/fs"
	"strings"
)

// allowed refuses guests on bridges that are neither there nor coming, and
// forwards of ports that dom0 itself needs. What is in force already is not
// asked again.
func (l *Linux) allowed(k *kernel, seen observed, coming map[string]bool, changed []Guest) error {
	var sockets []socket
	asked := false
	for _, g := range changed {
		for _, p := range g.Ports {
			if err := seen.placeIs(p, coming); err != nil {
				return err
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

// placeIs refuses a bridge or an uplink that is neither there nor coming.
func (o observed) placeIs(p Port, coming map[string]bool) error {
	if p.Routed {
		if l, there := o.links[p.Uplink]; p.Uplink != "" && !coming[p.Uplink] && (!there || goes(l.alias)) {
			return fmt.Errorf("uplink %s: %w", p.Uplink, fs.ErrNotExist)
		}
		return nil
	}
	if b, there := o.bridges[p.Bridge]; !coming[p.Bridge] && (!there || b.ours) {
		return fmt.Errorf("bridge %s: %w", p.Bridge, fs.ErrNotExist)
	}
	return nil
}

// goes: an interface that we made is there only as long as it is wanted.
func goes(alias string) bool { return strings.HasPrefix(alias, "xenhost:") }

// coming are the interfaces of a state that we make, or keep as they are.
func (s State) coming() map[string]bool {
	out := map[string]bool{}
	for _, b := range s.Bridges {
		out[b.Name] = true
	}
	for _, m := range s.made() {
		out[m.name] = true
	}
	return out
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
