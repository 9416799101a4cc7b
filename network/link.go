package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
)

// Bond is several interfaces of which one carries the traffic and the others
// wait (active-backup, carrier looked at every 100 ms):
//
//	ip link add bond0 type bond mode active-backup miimon 100
//	ip link set eth2 down; ip link set eth2 master bond0
type Bond struct {
	Name  string   `json:"name"` // at most 15 bytes
	Ports []string `json:"ports,omitempty"`
}

// VLAN is the part of an interface's frames that carries a tag:
//
//	ip link add link bond0 name bond0.7 type vlan id 7
type VLAN struct {
	Name string `json:"name"`
	On   string `json:"on"` // the interface that carries the frames
	ID   int    `json:"id"` // 1 to 4094
}

// VXLAN is a network of a tenant that spans this host and one other. It learns
// no addresses from the cable: what is for the other host goes to Remote.
//
//	ip link add vx42 type vxlan id 42 local 192.168.0.1 remote 192.168.0.2 dstport 4789 nolearning
//
// The two hosts have Local and Remote the other way round. 50 bytes of each
// frame are its own (70 with IPv6), so that guests on it need an MTU of 1450 (1430)
// where the cable has 1500.
type VXLAN struct {
	Name   string     `json:"name"`
	ID     int        `json:"id"` // 1 to 16777215
	Local  netip.Addr `json:"local"`
	Remote netip.Addr `json:"remote"`
}

func bondFact(name string) string           { return "bond " + name }
func bondPortFact(name, bond string) string { return "interface " + name + " in bond " + bond }

func (v VLAN) fact() string {
	return "vlan " + v.Name + " id " + strconv.Itoa(v.ID) + " on " + v.On
}

func (v VXLAN) fact() string {
	return fmt.Sprintf("vxlan %s id %d from %v to %v", v.Name, v.ID, v.Local, v.Remote)
}

func (v VLAN) compare(other VLAN) int {
	return cmp.Or(cmp.Compare(v.Name, other.Name), cmp.Compare(v.ID, other.ID), cmp.Compare(v.On, other.On))
}

func (v VXLAN) compare(other VXLAN) int {
	return cmp.Or(cmp.Compare(v.Name, other.Name), cmp.Compare(v.ID, other.ID), v.Local.Compare(other.Local), v.Remote.Compare(other.Remote))
}

func (v VXLAN) unmap() VXLAN {
	v.Local, v.Remote = v.Local.Unmap(), v.Remote.Unmap()
	return v
}

// host is the state without guests, links the part of it that is made of
// interfaces.
func (s State) host() State {
	s.Guests = nil
	return s
}

func (s State) links() State {
	s.Guests, s.Masquerades = nil, nil
	return s
}

// links claims the names and addresses of all interfaces of a state.
func (c *claims) links(s State) error {
	for _, b := range s.Bonds {
		if err := c.interfaces("bond "+b.Name, b.Name, b.Ports); err != nil {
			return fmt.Errorf("bond %q: %w", b.Name, err)
		}
	}
	for _, v := range s.VLANs {
		err := c.interfaces("vlan "+v.Name, v.Name, nil)
		if err == nil {
			err = validName(v.On, 15)
		}
		if err == nil && (v.ID < 1 || v.ID > 4094) {
			err = fmt.Errorf("id %d is not 1 to 4094: %w", v.ID, ErrInvalid)
		}
		tag := "vlan " + strconv.Itoa(v.ID) + " on " + v.On
		if err == nil {
			err = take(c.names, tag, claim{what: "vlan " + v.Name})
		}
		if err != nil {
			return fmt.Errorf("vlan %q: %w", v.Name, err)
		}
	}
	for _, v := range s.VXLANs {
		if err := c.vxlan(v); err != nil {
			return fmt.Errorf("vxlan %q: %w", v.Name, err)
		}
	}
	for _, b := range s.Bridges {
		if err := c.bridge(b); err != nil {
			return fmt.Errorf("bridge %q: %w", b.Name, err)
		}
	}
	return nil
}

func (c *claims) vxlan(v VXLAN) error {
	if err := c.interfaces("vxlan "+v.Name, v.Name, nil); err != nil {
		return err
	}
	switch {
	case v.ID < 1 || v.ID > 1<<24-1:
		return fmt.Errorf("id %d is not 1 to 16777215: %w", v.ID, ErrInvalid)
	case !usable(v.Local) || !usable(v.Remote) || v.Local.Zone()+v.Remote.Zone() != "":
		return fmt.Errorf("from %v to %v: %w", v.Local, v.Remote, ErrInvalid)
	case v.Local.Is4() != v.Remote.Is4() || v.Local == v.Remote:
		return fmt.Errorf("from %v to %v: two addresses of one kind are needed: %w", v.Local, v.Remote, ErrInvalid)
	}
	return take(c.names, "vxlan "+strconv.Itoa(v.ID), claim{what: "vxlan " + v.Name})
}

// interfaces claims the name of an interface that is made, and those of its
// ports.
func (c *claims) interfaces(what, name string, ports []string) error {
	if err := validName(name, 15); err != nil {
		return err
	}
	who := claim{what: what, made: true}
	if err := take(c.names, name, who); err != nil {
		return err
	}
	return c.lowers(ports, who)
}

// lowers claims interfaces as ports of who: no other has them, and they are
// either not ours to make or made for that.
func (c *claims) lowers(ports []string, who claim) error {
	for _, p := range ports {
		if err := validName(p, 15); err != nil {
			return err
		}
		if err := take(c.names, "port "+p, who); err != nil {
			return err
		}
		if other, ok := c.names[p]; ok && !other.made {
			return taken(p, who, other)
		} else if !ok {
			c.names[p] = who
		}
	}
	return nil
}
