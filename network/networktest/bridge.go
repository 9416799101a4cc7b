package networktest

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"

	"github.com/xenhost/xenhost/network"
)

// A mark says whose a port or an address of a bridge is.
type mark int

const (
	unseen mark = iota // the operator's, and nobody asked us for it
	found              // the operator's, and part of what we were asked for
	own                // made by us
)

// bridge is one bridge of the simulated host.
type bridge struct {
	ours      bool // made by us
	known     bool // part of what we were asked for
	ports     map[string]mark
	addresses map[netip.Prefix]mark
}

func newBridge(ours bool) *bridge {
	return &bridge{ours: ours, ports: map[string]mark{}, addresses: map[netip.Prefix]mark{}}
}

// read shows what we were asked for, not what else the operator put there.
func (b *bridge) read(name string) network.Bridge {
	return network.Bridge{Name: name, Ports: seen(b.ports), Addresses: seen(b.addresses)}
}

func seen[K comparable](m map[K]mark) []K {
	var out []K
	for k, whose := range m {
		if whose != unseen {
			out = append(out, k)
		}
	}
	return out
}

// checkBridges refuses what would need a change of what is not ours.
func (f *Fake) checkBridges(want network.State) error {
	coming := made(want)
	for _, w := range want.Bridges {
		b := f.bridges[w.Name]
		for _, p := range w.Ports {
			if b != nil && has(b.ports, p) {
				continue
			}
			if b != nil && !b.ours {
				return fmt.Errorf("bridge %s lacks port %s: %w", w.Name, p, network.ErrForeign)
			}
			if _, comes := coming[p]; comes && f.links[p] == nil {
				continue
			}
			if err := f.canTake(p); err != nil {
				return err
			}
		}
		for _, a := range w.Addresses {
			if b != nil && !b.ours && !has(b.addresses, a) {
				return fmt.Errorf("bridge %s lacks address %v: %w", w.Name, a, network.ErrForeign)
			}
		}
	}
	return nil
}

// canTake reports whether an interface may be put into a bridge or bond of ours.
func (f *Fake) canTake(port string) error {
	for name, b := range f.bridges {
		if whose, ok := b.ports[port]; ok && whose != own {
			return fmt.Errorf("interface %s is in bridge %s: %w", port, name, network.ErrForeign)
		} else if ok {
			return nil
		}
	}
	for _, l := range f.links {
		if slices.Contains(l.bond.Ports, port) {
			return nil // ours to take
		}
	}
	if !f.free[port] {
		return fmt.Errorf("interface %s: %w", port, fs.ErrNotExist)
	}
	return nil
}

// setBridges does what checkBridges allowed.
func (f *Fake) setBridges(want []network.Bridge) {
	wanted := map[string]network.Bridge{}
	for _, w := range want {
		wanted[w.Name] = w
	}
	for name, b := range f.bridges {
		w, ok := wanted[name]
		for _, p := range forget(b.ports, w.Ports) {
			f.free[p] = true
		}
		forget(b.addresses, w.Addresses)
		b.known = ok
		if b.ours && !ok {
			for p := range b.ports {
				f.free[p] = true
			}
			delete(f.bridges, name)
		}
	}
	for _, w := range want {
		if f.bridges[w.Name] == nil {
			f.bridges[w.Name] = newBridge(true)
		}
		b := f.bridges[w.Name]
		b.known = true
		for _, p := range w.Ports {
			delete(f.free, p)
			remember(b.ports, p)
		}
		for _, a := range w.Addresses {
			remember(b.addresses, a)
		}
	}
}

// forget takes away what is ours and no longer wanted and returns it; what was
// found stays, and is no longer looked at.
func forget[K comparable](m map[K]mark, wanted []K) []K {
	var gone []K
	for k, whose := range m {
		switch {
		case slices.Contains(wanted, k):
		case whose == own:
			delete(m, k)
			gone = append(gone, k)
		default:
			m[k] = unseen
		}
	}
	return gone
}

// remember notes that k is asked for, and makes it if it is not there.
func remember[K comparable](m map[K]mark, k K) {
	whose, ok := m[k]
	switch {
	case !ok:
		m[k] = own
	case whose == unseen:
		m[k] = found
	}
}

func has[K comparable](m map[K]mark, k K) bool {
	_, ok := m[k]
	return ok
}

func names(m map[string]*bridge) []string { return slices.Sorted(maps.Keys(m)) }
