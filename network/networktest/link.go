package networktest

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/xenhost/xenhost/network"
)

// link is one bond, vlan or vxlan of the simulated host; all are made by us.
type link struct {
	bond  network.Bond
	vlan  network.VLAN
	vxlan network.VXLAN
}

func (l *link) same(other *link) bool {
	return other != nil && l.bond.Name == other.bond.Name && l.vlan == other.vlan && l.vxlan == other.vxlan
}

func (l *link) read(s *network.State) {
	switch {
	case l.bond.Name != "":
		s.Bonds = append(s.Bonds, network.Bond{Name: l.bond.Name, Ports: slices.Clone(l.bond.Ports)})
	case l.vlan.Name != "":
		s.VLANs = append(s.VLANs, l.vlan)
	default:
		s.VXLANs = append(s.VXLANs, l.vxlan)
	}
}

// made are the links of a state by name.
func made(s network.State) map[string]*link {
	out := map[string]*link{}
	for _, b := range s.Bonds {
		out[b.Name] = &link{bond: network.Bond{Name: b.Name, Ports: slices.Clone(b.Ports)}}
	}
	for _, v := range s.VLANs {
		out[v.Name] = &link{vlan: v}
	}
	for _, v := range s.VXLANs {
		out[v.Name] = &link{vxlan: v}
	}
	return out
}

// exists reports whether the host has an interface of that name.
func (f *Fake) exists(name string) bool {
	if f.bridges[name] != nil || f.links[name] != nil || f.free[name] {
		return true
	}
	for _, b := range f.bridges {
		if has(b.ports, name) {
			return true
		}
	}
	return slices.ContainsFunc(f.bondPorts(), func(p string) bool { return p == name })
}

func (f *Fake) bondPorts() []string {
	var out []string
	for _, l := range f.links {
		out = append(out, l.bond.Ports...)
	}
	return out
}

// checkLinks refuses what would need a change of what is not ours.
func (f *Fake) checkLinks(want network.State) error {
	wanted := made(want)
	for name, l := range wanted {
		if f.exists(name) && f.links[name] == nil {
			return fmt.Errorf("%s is there: %w", name, network.ErrForeign)
		}
		if on := l.vlan.On; on != "" && !f.exists(on) && wanted[on] == nil {
			return fmt.Errorf("interface %s: %w", on, fs.ErrNotExist)
		}
		for _, p := range l.bond.Ports {
			if err := f.canTake(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeLinks removes those that are not wanted, or wanted otherwise.
func (f *Fake) takeLinks(want network.State) {
	wanted := made(want)
	for name, l := range f.links {
		w := wanted[name]
		stays := w != nil && l.same(w)
		for _, p := range l.bond.Ports {
			if !stays || !slices.Contains(w.bond.Ports, p) {
				f.free[p] = true
			}
		}
		if stays {
			continue
		}
		delete(f.links, name)
		delete(f.free, name)
		for _, b := range f.bridges {
			delete(b.ports, name)
		}
	}
}

// makeLinks makes what is missing.
func (f *Fake) makeLinks(want network.State) {
	for name, l := range made(want) {
		if f.links[name] == nil {
			f.free[name] = true
		}
		for _, p := range l.bond.Ports {
			delete(f.free, p)
			for _, b := range f.bridges {
				delete(b.ports, p)
			}
		}
		f.links[name] = l
	}
}
