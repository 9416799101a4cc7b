package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/ether"
)

// A fact is one line of a State, as a plan prints it and as a rule's comment
// keeps it in the kernel:
//
//	bond bond0
//	interface eth2 in bond bond0
//	vlan bond0.7 id 7 on bond0
//	vxlan vx42 id 42 from 192.168.0.1 to 192.168.0.2
//	bridge xenint
//	interface eth1 in bridge xenint
//	address 192.168.0.1/16 on bridge xenint
//	masquerade 192.168.0.0/16 out xenext
//	masquerade 192.168.0.0/16 out xenext as 203.0.113.5
//	guest 7f3a…
//	port x7f3a0000.0 on xenint mac 00:16:3e:00:00:01 of 7f3a…
//	port x7f3a0000.0 routed mac 00:16:3e:00:00:01 of 7f3a…
//	port x7f3a0000.0 routed by xenext mac 00:16:3e:00:00:01 of 7f3a…
//	address 192.168.0.10 on x7f3a0000.0 of 7f3a…
//	network 2001:db8:7::/64 on x7f3a0000.0 of 7f3a…
//	forward tcp *:8080 -> 192.168.0.10:80 of 7f3a…
//	forward tcp *:8080 -> 192.168.0.10:80 return ingress of 7f3a…
//	forward tcp 203.0.113.1:80 -> 192.168.0.10:80 spread of 7f3a…
//	forward udp [2001:db8::1]:5000-5099 -> [fd00::10]:5000 of 7f3a…
//	forward all 203.0.113.5 -> 192.168.0.10 of 7f3a…
//
// A State is the set of its facts: facts and stateOf are each other's inverse.
type fact struct {
	line string
	// key names the thing; a fact with the same key and another line is the
	// same thing changed.
	key string
}

func bridgeFact(name string) string        { return "bridge " + name }
func interfaceFact(name, br string) string { return "interface " + name + " in bridge " + br }
func addressFact(a netip.Prefix, br string) string {
	return "address " + a.String() + " on bridge " + br
}
func masqueradeFact(m Masquerade) string {
	line := m.key()
	if m.As.IsValid() {
		line += " as " + m.As.String()
	}
	return line
}
func (m Masquerade) key() string    { return "masquerade " + m.Source.String() + " out " + m.Out }
func guestFact(id uuid.UUID) string { return "guest " + id.String() }

func portFact(p Port, id uuid.UUID) string {
	where := "on " + p.Bridge
	switch {
	case p.Routed && p.Uplink != "":
		where = "routed by " + p.Uplink
	case p.Routed:
		where = "routed"
	}
	return fmt.Sprintf("port %s %s mac %v of %v", p.Vif, where, p.MAC, id)
}

func forwardFact(f Forward, id uuid.UUID) string {
	return "forward " + f.String() + " of " + id.String()
}

// facts lists a normalised state from the ground up: what a line needs stands
// above it.
func (s State) facts() []fact {
	out := s.hostFacts()
	for _, g := range s.Guests {
		out = append(out, g.facts()...)
	}
	return out
}

// hostFacts are those that no guest has a part in.
func (s State) hostFacts() []fact {
	var out []fact
	add := func(line, key string) { out = append(out, fact{line, key}) }
	for _, b := range s.Bonds {
		add(bondFact(b.Name), bondFact(b.Name))
		for _, p := range b.Ports {
			add(bondPortFact(p, b.Name), bondPortFact(p, b.Name))
		}
	}
	for _, v := range s.VLANs {
		add(v.fact(), "vlan "+v.Name)
	}
	for _, v := range s.VXLANs {
		add(v.fact(), "vxlan "+v.Name)
	}
	for _, b := range s.Bridges {
		add(bridgeFact(b.Name), bridgeFact(b.Name))
		for _, p := range b.Ports {
			add(interfaceFact(p, b.Name), interfaceFact(p, b.Name))
		}
		for _, a := range b.Addresses {
			add(addressFact(a, b.Name), addressFact(a, b.Name))
		}
	}
	for _, m := range s.Masquerades {
		add(masqueradeFact(m), m.key())
	}
	return out
}

// facts of one normalised guest.
func (g Guest) facts() []fact {
	out := []fact{{guestFact(g.UUID), guestFact(g.UUID)}}
	of := " of " + g.UUID.String()
	for _, p := range g.Ports {
		out = append(out, fact{portFact(p, g.UUID), "port " + p.Vif + of})
		for _, a := range p.Addresses {
			line := "address " + a.String() + " on " + p.Vif + of
			out = append(out, fact{line, line})
		}
		for _, n := range p.Networks {
			line := "network " + n.String() + " on " + p.Vif + of
			out = append(out, fact{line, line})
		}
	}
	for _, f := range g.Forwards {
		out = append(out, fact{forwardFact(f, g.UUID), "forward " + string(f.family()) + " " + f.key() + of})
	}
	return out
}

// stateOf builds the state that the lines describe. Lines that are not facts
// are passed over, and so are those whose bridge, guest or port is missing: a
// half-read host shows less, never something else.
func stateOf(lines []string) State {
	w := world{bonds: map[string]*Bond{}, bridges: map[string]*Bridge{}, guests: map[uuid.UUID]*Guest{}, ports: map[portKey]*Port{}}
	lines = slices.Clone(lines)
	slices.SortStableFunc(lines, func(a, b string) int { return rank(a) - rank(b) })
	for _, l := range lines {
		w.add(strings.Split(l, " "))
	}
	return w.state()
}

// rank orders lines so that what a line needs comes before it.
func rank(line string) int {
	word, _, _ := strings.Cut(line, " ")
	return slices.Index([]string{"bond", "vlan", "vxlan", "bridge", "interface", "masquerade", "guest", "port", "address", "network", "forward"}, word)
}

type portKey struct {
	id  uuid.UUID
	vif string
}

type world struct {
	bonds       map[string]*Bond
	vlans       []VLAN
	vxlans      []VXLAN
	bridges     map[string]*Bridge
	masquerades []Masquerade
	guests      map[uuid.UUID]*Guest
	ports       map[portKey]*Port
}

func (w *world) add(f []string) {
	switch {
	case is(f, "bond", ""):
		w.bonds[f[1]] = &Bond{Name: f[1]}
	case is(f, "interface", "", "in", "bond", ""):
		if b := w.bonds[f[4]]; b != nil {
			b.Ports = append(b.Ports, f[1])
		}
	case is(f, "vlan", "", "id", "", "on", ""):
		if n, err := strconv.Atoi(f[3]); err == nil {
			w.vlans = append(w.vlans, VLAN{Name: f[1], ID: n, On: f[5]})
		}
	case is(f, "vxlan", "", "id", "", "from", "", "to", ""):
		n, err := strconv.Atoi(f[3])
		from, err2 := netip.ParseAddr(f[5])
		to, err3 := netip.ParseAddr(f[7])
		if err == nil && err2 == nil && err3 == nil {
			w.vxlans = append(w.vxlans, VXLAN{Name: f[1], ID: n, Local: from, Remote: to})
		}
	case is(f, "bridge", ""):
		w.bridges[f[1]] = &Bridge{Name: f[1]}
	case is(f, "interface", "", "in", "bridge", ""):
		if b := w.bridges[f[4]]; b != nil {
			b.Ports = append(b.Ports, f[1])
		}
	case is(f, "address", "", "on", "bridge", ""):
		a, err := netip.ParsePrefix(f[1])
		if b := w.bridges[f[4]]; b != nil && err == nil {
			b.Addresses = append(b.Addresses, a)
		}
	case is(f, "masquerade", "", "out", "") || is(f, "masquerade", "", "out", "", "as", ""):
		src, err := netip.ParsePrefix(f[1])
		m := Masquerade{Source: src, Out: f[3]}
		if len(f) > 4 && err == nil {
			m.As, err = netip.ParseAddr(f[5])
		}
		if err == nil {
			w.masquerades = append(w.masquerades, m)
		}
	case is(f, "guest", ""):
		if id, ok := parseID(f[1]); ok {
			w.guests[id] = &Guest{UUID: id}
		}
	case is(f, "port", "", "on", "", "mac", "", "of", ""):
		w.port(Port{Vif: f[1], Bridge: f[3]}, f[5], f[7])
	case is(f, "port", "", "routed", "mac", "", "of", ""):
		w.port(Port{Vif: f[1], Routed: true}, f[4], f[6])
	case is(f, "port", "", "routed", "by", "", "mac", "", "of", ""):
		w.port(Port{Vif: f[1], Routed: true, Uplink: f[4]}, f[6], f[8])
	case is(f, "address", "", "on", "", "of", ""):
		a, err := netip.ParseAddr(f[1])
		id, ok := parseID(f[5])
		if p := w.ports[portKey{id, f[3]}]; p != nil && ok && err == nil {
			p.Addresses = append(p.Addresses, a)
		}
	case is(f, "network", "", "on", "", "of", ""):
		n, err := netip.ParsePrefix(f[1])
		id, ok := parseID(f[5])
		if p := w.ports[portKey{id, f[3]}]; p != nil && ok && err == nil {
			p.Networks = append(p.Networks, n)
		}
	case len(f) > 1 && f[0] == "forward":
		w.forward(f)
	}
}

func (w *world) port(p Port, mac, of string) {
	var err error
	p.MAC, err = ether.Parse(mac)
	id, ok := parseID(of)
	if w.guests[id] != nil && ok && err == nil {
		w.ports[portKey{id, p.Vif}] = &p
	}
}

func (w *world) forward(f []string) {
	end := len(f) - 2
	if end < 4 || f[end] != "of" {
		return
	}
	id, ok := parseID(f[end+1])
	fw, err := parseForward(f[1:end])
	if g := w.guests[id]; ok && err == nil && g != nil {
		g.Forwards = append(g.Forwards, fw)
	}
}

func (w *world) state() State {
	s := State{VLANs: w.vlans, VXLANs: w.vxlans, Masquerades: w.masquerades}
	for _, b := range w.bonds {
		s.Bonds = append(s.Bonds, *b)
	}
	for _, b := range w.bridges {
		s.Bridges = append(s.Bridges, *b)
	}
	for k, p := range w.ports {
		w.guests[k.id].Ports = append(w.guests[k.id].Ports, *p)
	}
	for _, g := range w.guests {
		s.Guests = append(s.Guests, *g)
	}
	return s.Normalize()
}

// is compares words; an empty one in pattern stands for any word.
func is(words []string, pattern ...string) bool {
	if len(words) != len(pattern) {
		return false
	}
	for i, p := range pattern {
		if words[i] == "" || p != "" && p != words[i] {
			return false
		}
	}
	return true
}

// parseID takes the one form that String gives.
func parseID(s string) (uuid.UUID, bool) {
	id, err := uuid.Parse(s)
	return id, err == nil && id.String() == s
}
