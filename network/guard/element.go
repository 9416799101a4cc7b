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
	if s.Open {
		return nil
	}
	if !s.LetUnknown {
		for _, name := range ours() {
			out = append(out, element{set: "ours", vif: name})
		}
	}
	for _, g := range s.Guests {
		for _, p := range g.Ports {
			for _, vif := range []string{p.Vif, p.Vif + emulated} {
				out = append(out, element{set: "ports", vif: vif, owner: g.UUID.String()})
				out = append(out, p.elements(vif)...)
			}
		}
	}
	return out
}

// emulated is what xl adds to a vif's name for the port of the device model.
const emulated = "-emu"

func (p Port) elements(vif string) []element {
	out := []element{
		{set: "macs", vif: vif, value: p.MAC.String()},
		{set: "v6", vif: vif, value: linkLocal(p.MAC).String()},
	}
	for _, a := range p.Addresses {
		set := "v6"
		if a.Is4() {
			set = "v4"
		}
		out = append(out, element{set: set, vif: vif, value: a.String()})
	}
	for _, n := range p.Networks {
		out = append(out, element{set: "net6", vif: vif, value: n.String()})
	}
	return out
}

// text is the element in nft's words.
func (e element) text() string {
	s := `"` + e.vif + `"`
	switch e.set {
	case "macs", "v4":
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
	bySet := map[string][]string{}
	var sets []string
	for _, e := range elements {
		if bySet[e.set] == nil {
			sets = append(sets, e.set)
		}
		bySet[e.set] = append(bySet[e.set], e.text())
	}
	for _, set := range sets {
		fmt.Fprintf(w, "%s element bridge %s %s { %s }\n", verb, table, set, strings.Join(bySet[set], ", "))
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
			ports[e.vif] = &Port{Vif: e.vif}
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
	case "net6":
		if n, err := netip.ParsePrefix(e.value); err == nil {
			p.Networks = append(p.Networks, n)
		}
	}
}

// equal reports whether two lists have the same elements; it sorts them.
func equal(a, b []element) bool {
	for _, list := range [][]element{a, b} {
		slices.SortFunc(list, func(a, b element) int {
			return cmp.Or(cmp.Compare(a.set, b.set), cmp.Compare(a.vif, b.vif), cmp.Compare(a.value, b.value))
		})
	}
	return slices.Equal(a, b)
}
