package network

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
)

// Our chains. XH-META keeps facts that no rule of effect carries; nothing jumps
// to it. XH-DNAT and XH-RET are the roots of port trees.
const (
	metaChain = chainPrefix + "META"
	dnatChain = chainPrefix + "DNAT"
	snatChain = chainPrefix + "SNAT"
	retChain  = chainPrefix + "RET"
	fwdChain  = chainPrefix + "FWD"
)

// renderNAT is our part of the table nat for a normalised state. Every fact of
// the state stands in a comment here: this table is the record.
func renderNAT(s State, found map[string]bool) ruleset {
	out := ruleset{}
	remark := func(line string) string {
		if found[line] {
			return foundMark + line
		}
		return mark + line
	}
	for _, f := range s.meta() {
		out.add(metaChain, remark(f))
	}
	for _, m := range s.Masquerades {
		src := m.Source.String()
		out.add(snatChain, remark(masqueradeFact(m)), "-s", src, "!", "-d", src, "-o", m.Out, "-j", "MASQUERADE")
	}
	forwards := portTree{out, dnatChain, "D", "--dport", map[string]bool{}}
	answers := portTree{out, retChain, "R", "--ctorigdstport", map[string]bool{}}
	some := false
	for _, g := range s.Guests {
		for _, f := range g.Forwards {
			some = true
			forwards.add(f, remark(forwardFact(f, g.UUID)), dnat(f)...)
			if f.Return == ReturnIngress {
				answers.add(f, mark+"answers of "+f.String(), masqueradeAnswers(f)...)
			}
		}
	}
	if len(out[retChain]) > 0 {
		out.add(snatChain, mark+"answers", "-m", "conntrack", "--ctstate", "DNAT", "-j", retChain)
	}
	for _, net := range s.private() {
		if some {
			out.add(snatChain, mark+"hairpin "+net.String(), "-s", net.String(), "-d", net.String(),
				"-m", "conntrack", "--ctstate", "DNAT", "-j", "MASQUERADE")
		}
	}
	return out
}

// meta lists the facts that no rule of effect carries.
func (s State) meta() []string {
	var out []string
	bare := State{Bridges: s.Bridges}
	for _, g := range s.Guests {
		bare.Guests = append(bare.Guests, Guest{UUID: g.UUID, Ports: g.Ports})
	}
	for _, f := range bare.facts() {
		out = append(out, f.line)
	}
	return out
}

// private lists the networks in which guests may reach each other's forwards
// by a public address: the answers must come back through this host.
func (s State) private() []netip.Prefix {
	nets := map[netip.Prefix]bool{}
	for _, m := range s.Masquerades {
		nets[m.Source] = true
	}
	for _, b := range s.Bridges {
		for _, a := range b.Addresses {
			if a.Addr().Is4() && a.Bits() < 32 {
				nets[a.Masked()] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(nets), comparePrefix)
}

func dnat(f Forward) []string {
	args := []string{"-p", string(f.Proto), "-m", string(f.Proto), "--dport", strconv.Itoa(int(f.Port))}
	if f.Listen.IsValid() {
		args = append([]string{"-d", f.Listen.String() + "/32"}, args...)
	}
	return append(args, "-j", "DNAT", "--to-destination", f.To.String())
}

func masqueradeAnswers(f Forward) []string {
	args := []string{"-d", f.To.Addr().String() + "/32", "-p", string(f.Proto), "-m", string(f.Proto),
		"--dport", strconv.Itoa(int(f.To.Port())), "-m", "conntrack"}
	if f.Listen.IsValid() {
		args = append(args, "--ctorigdst", f.Listen.String())
	}
	return append(args, "--ctorigdstport", strconv.Itoa(int(f.Port)), "-j", "MASQUERADE")
}

// renderFilter is our part of the table filter: it lets through what the table
// nat sends here and there, and forbids nothing. Frames that a bridge passes
// on come by too when bridge-nf-call-iptables is on; none of these rules takes
// a frame that stays in its bridge, but for forwarded connections.
func renderFilter(s State) ruleset {
	out := ruleset{}
	bridges := map[string]bool{}
	for _, g := range s.Guests {
		at := map[netip.Addr]string{}
		for _, p := range g.Ports {
			for _, a := range p.Addresses {
				at[a] = p.Bridge
			}
		}
		for _, f := range g.Forwards {
			bridges[at[f.To.Addr()]] = true
		}
	}
	for _, b := range slices.Sorted(maps.Keys(bridges)) {
		out.add(fwdChain, mark+"forwards into "+b, "-o", b, "-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT")
		out.add(fwdChain, mark+"answers from "+b, "-i", b, "-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT")
	}
	for _, m := range s.Masquerades {
		src := m.Source.String()
		out.add(fwdChain, fmt.Sprintf("%s%s to %s", mark, src, m.Out),
			"-s", src, "!", "-i", m.Out, "-o", m.Out, "-j", "ACCEPT")
		out.add(fwdChain, fmt.Sprintf("%sanswers to %s from %s", mark, src, m.Out),
			"-d", src, "-i", m.Out, "!", "-o", m.Out, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")
	}
	return out
}
