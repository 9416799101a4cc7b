package guard

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// An element is one of a set of the table. Elements with equal fields are the
// same.
type element struct {
	in  kind
	set string
	vif string
	// value is what vif is tied to, in the form that network.MAC, netip.Addr
	// and netip.Prefix print; empty in the set ports.
	value string
	owner string // comment: the guest's UUID, in the set ports
}

// elements are those of a normalised state.
func (s State) elements() []element {
	var out []element
	for _, k := range kinds() {
		out = append(out, s.of(k)...)
	}
	return out
}

// of are those of one table.
func (s State) of(k kind) []element {
	if !s.needs(k) {
		return nil
	}
	var out []element
	if !s.LetUnknown {
		for _, name := range ours() {
			out = append(out, element{in: k, set: "ours", vif: name})
		}
	}
	for _, g := range s.Guests {
		for _, p := range g.Ports {
			for _, vif := range p.vifs(k) {
				out = append(out, element{in: k, set: "ports", vif: vif, owner: g.UUID.String()})
				out = append(out, p.elements(k, vif)...)
			}
		}
	}
	return out
}

// emulated is what xl adds to a vif's name for the port of the device model.
const emulated = "-emu"

// vifs are the names of a port in a table. The device model's port of a routed
// guest is not used.
func (p Port) vifs(k kind) []string {
	switch {
	case p.Routed && k != bridge:
		return []string{p.Vif}
	case !p.Routed && k == bridge:
		return []string{p.Vif, p.Vif + emulated}
	}
	return nil
}

func (p Port) elements(k kind, vif string) []element {
	out := []element{{in: k, set: "macs", vif: vif, value: p.MAC.String()}}
	if k != arp {
		out = append(out, element{in: k, set: "v6", vif: vif, value: linkLocal(p.MAC).String()})
	}
	for _, a := range p.Addresses {
		if a.Is4() {
			out = append(out, element{in: k, set: "v4", vif: vif, value: a.String()})
		} else if k != arp {
			out = append(out, element{in: k, set: "v6", vif: vif, value: a.String()})
		}
	}
	for _, n := range p.Networks {
		switch {
		case k == bridge:
			out = append(out, element{in: k, set: "net6", vif: vif, value: n.String()})
		case k == inet && n.Addr().Is4():
			out = append(out, element{in: k, set: "v4net", vif: vif, value: n.String()})
		case k == inet:
			out = append(out, element{in: k, set: "v6net", vif: vif, value: n.String()})
		}
	}
	return out
}

// text is the element in nft's words.
func (e element) text() string {
	s := `"` + e.vif + `"`
	switch e.set {
	case "macs", "v4", "v4net", "v6net":
		s += " . " + e.value
	case "v6":
		s += " . 0x" + hex.EncodeToString(netip.MustParseAddr(e.value).AsSlice())
	case "net6":
		s += " . 0x" + hex.EncodeToString(netip.MustParsePrefix(e.value).Addr().AsSlice()[:8])
	}
	if e.owner != "" {
		s += ` comment "` + e.owner + `"`
	}
	return s
}

// change writes one command for each set: "add" or "delete" these elements.
func change(w io.Writer, verb string, elements []element) {
	type place struct {
		in  kind
		set string
	}
	bySet := map[place][]string{}
	var sets []place
	for _, e := range elements {
		at := place{e.in, e.set}
		if bySet[at] == nil {
			sets = append(sets, at)
		}
		bySet[at] = append(bySet[at], e.text())
	}
	for _, at := range sets {
		fmt.Fprintf(w, "%s element %s %s %s { %s }\n", verb, at.in, table, at.set, strings.Join(bySet[at], ", "))
	}
}

// stateOf is the state that these elements are of. What no state has is left
// out, and told by comparing with the state's own elements.
func stateOf(elements []element) State {
	ports := map[string]*Port{}
	owners := map[string]string{}
	s := State{LetUnknown: true}
	for _, e := range elements {
		switch {
		case e.set == "ours":
			s.LetUnknown = false
		case e.set == "ports" && !strings.HasSuffix(e.vif, emulated):
			ports[e.vif] = &Port{Vif: e.vif, Routed: e.in != bridge}
			owners[e.vif] = e.owner
		}
	}
	for _, e := range elements {
		if p := ports[e.vif]; p != nil {
			p.learn(e)
		}
	}
	guests := map[string]*Guest{}
	for vif, p := range ports {
		g := guests[owners[vif]]
		if g == nil {
			g = &Guest{}
			_ = g.UUID.UnmarshalText([]byte(owners[vif])) // else zero, which is not valid
			guests[owners[vif]] = g
		}
		g.Ports = append(g.Ports, *p)
	}
	for _, g := range guests {
		if (State{Guests: []Guest{*g}}).Validate() == nil {
			s.Guests = append(s.Guests, *g)
		}
	}
	return s.Normalize()
}

func (p *Port) learn(e element) {
	switch e.set {
	case "macs":
		_ = p.MAC.UnmarshalText([]byte(e.value))
	case "v4", "v6":
		if a, err := netip.ParseAddr(e.value); err == nil {
			p.Addresses = append(p.Addresses, a)
		}
	case "net6", "v4net", "v6net":
		if n, err := netip.ParsePrefix(e.value); err == nil {
			p.Networks = append(p.Networks, n)
		}
	}
}

// equal reports whether two lists have the same elements; it sorts them.
func equal(a, b []element) bool {
	for _, list := range [][]element{a, b} {
		slices.SortFunc(list, func(a, b element) int {
			return cmp.Or(cmp.Compare(a.in, b.in), cmp.Compare(a.set, b.set), cmp.Compare(a.vif, b.vif), cmp.Compare(a.value, b.value))
		})
	}
	return slices.Equal(a, b)
}
