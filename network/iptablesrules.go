package network

import (
	"crypto/sha256"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
)

// Our chains, for each family. XH-META keeps facts that no rule of effect
// carries; nothing jumps to it. In XH-DNAT and XH-SNAT, to which the built-in
// chains jump, the order matters, and so it does in the chains of shared ports.
const (
	chainPrefix = "XH-"
	metaChain   = chainPrefix + "META"
	dnatChain   = chainPrefix + "DNAT"
	oneChain    = chainPrefix + "ONE"  // whole addresses
	portChain   = chainPrefix + "PORT" // root of the tree of ports
	snatChain   = chainPrefix + "SNAT"
	pinChain    = chainPrefix + "PIN" // hairpins
	retChain    = chainPrefix + "RET" // root of the tree of answers by this host
	ownChain    = chainPrefix + "OWN" // the other half of ONE
	masqChain   = chainPrefix + "MASQ"
	shareChain  = chainPrefix + "S-" // and a name for each shared port
	fwdChain    = chainPrefix + "FWD"
)

// Orders in XH-DNAT and XH-SNAT.
const (
	first = 1 + iota
	second
	third
	fourth
)

// iptablesRules renders rules of iptables and ip6tables. It remembers what many
// forwards need alike.
type iptablesRules struct {
	alike map[string][]need
}

func newIPTablesRules() iptablesRules { return iptablesRules{alike: map[string][]need{}} }

// once makes the needs that have this key, the first time.
func (r iptablesRules) once(key string, make func() []need) []need {
	if _, ok := r.alike[key]; !ok {
		r.alike[key] = make()
	}
	return r.alike[key]
}

func rule(f family, table, chain, comment, matches, target string) need {
	return need{at: place{f, table, chain}, text: ruleText(comment, matches, target)}
}

// An anchor is a jump from a built-in chain to ours, in the first place.
func anchor(f family, table, from, to, matches string) need {
	return rule(f, table, from, "anchor", matches, to)
}

// into leads what the host itself is addressed by to a chain of forwards:
// frames that a bridge passes on do not go there, nor does dom0's own traffic
// to its loopback.
func into(f family, to string, order int) []need {
	const local = "-m addrtype --dst-type LOCAL"
	loop := "! -d 127.0.0.0/8 "
	if f == v6 {
		loop = "! -d ::1/128 "
	}
	step := rule(f, "nat", dnatChain, "forwards", "", to)
	step.order = order
	return []need{
		anchor(f, "nat", "PREROUTING", dnatChain, local),
		anchor(f, "nat", "OUTPUT", dnatChain, loop+local),
		step,
	}
}

// outOf leads what leaves the host to one of our chains of the table nat.
func outOf(f family, to string, order int, matches string) []need {
	step := rule(f, "nat", snatChain, "sources", matches, to)
	step.order = order
	return []need{anchor(f, "nat", "POSTROUTING", snatChain, ""), step}
}

// passes lets packets through that the table nat sends here and there. Nothing
// is forbidden, and no rule takes a frame that stays in its bridge, but for
// those of forwarded connections.
func passes(f family, comment, matches string) need {
	return rule(f, "filter", fwdChain, comment, matches, "ACCEPT")
}

const (
	forwarded = "-m conntrack --ctstate DNAT"
	answering = "-m conntrack --ctstate RELATED,ESTABLISHED"
)

// remark implements renderer.
func (iptablesRules) remark(fact string) []need {
	return []need{{at: place{v4, "nat", metaChain}, text: `-m comment --comment "` + mark + fact + `"`}}
}

// masquerade implements renderer.
func (iptablesRules) masquerade(m Masquerade) []need {
	f, src := familyOf(m.Source.Addr()), m.Source.String()
	target := "MASQUERADE"
	if m.As.IsValid() {
		target = "SNAT --to-source " + m.As.String()
	}
	return append(outOf(f, masqChain, fourth, ""),
		rule(f, "nat", masqChain, masqueradeFact(m), "-s "+src+" ! -d "+src+" -o "+m.Out, target),
		anchor(f, "filter", "FORWARD", fwdChain, ""),
		passes(f, src+" to "+m.Out, "-s "+src+" ! -i "+m.Out+" -o "+m.Out),
		passes(f, "answers to "+src+" from "+m.Out, "-d "+src+" -i "+m.Out+" ! -o "+m.Out+" "+answering),
	)
}

// hairpin implements renderer.
func (iptablesRules) hairpin(net netip.Prefix) []need {
	f := familyOf(net.Addr())
	return append(outOf(f, pinChain, first, forwarded),
		rule(f, "nat", pinChain, "hairpin "+net.String(), "-s "+net.String()+" -d "+net.String(), "MASQUERADE"))
}

// forward implements renderer.
func (r iptablesRules) forward(t target) []need {
	f := t.family()
	passing := r.routed(f)
	if !t.own {
		passing = r.bridged(f, t.link)
	}
	if t.Proto == All {
		return slices.Concat(passing, t.one())
	}
	way := r.once("into "+string(f), func() []need { return into(f, portChain, second) })
	needs := append(make([]need, 0, 12), passing...)
	needs = append(needs, way...)
	ports := tree{r, f, portChain, "P", t.Forward, "-p " + string(t.Proto) + " -m " + string(t.Proto) + " --dport "}
	if t.of > 1 {
		needs = append(needs, ports.leaf("ports that are shared", t.listening(""), t.sharing())...)
		needs = append(needs, t.shared())
	} else {
		to := t.To.String()
		if t.Last != 0 { // a range keeps its ports
			to = t.To.Addr().String()
		}
		needs = append(needs, ports.leaf(t.fact(), t.listening(""), "DNAT --to-destination "+to)...)
	}
	if t.Return == ReturnIngress {
		needs = append(needs, outOf(f, retChain, second, forwarded)...)
		answers := tree{r, f, retChain, "R", t.Forward, "-p " + string(t.Proto) + " -m conntrack --ctorigdstport "}
		asked := ""
		if t.Listen.IsValid() {
			asked = " --ctorigdst " + t.Listen.String()
		}
		matches := fmt.Sprintf("-d %s -p %s -m %s --dport %s -m conntrack%s --ctorigdstport %s",
			single(t.To.Addr()), t.Proto, t.Proto, portRange(t.To.Port(), t.To.Port()+t.last()-t.Port), asked, portRange(t.Port, t.last()))
		needs = append(needs, answers.leafAs("answers of "+t.String(), matches, "MASQUERADE")...)
	}
	return needs
}

// bridged lets forwarded connections through to a bridge and back.
func (r iptablesRules) bridged(f family, link string) []need {
	return r.once("pass "+string(f)+link, func() []need {
		return []need{
			anchor(f, "filter", "FORWARD", fwdChain, ""),
			passes(f, "forwards into "+link, "-o "+link+" "+forwarded),
			passes(f, "answers from "+link, "-i "+link+" "+forwarded),
		}
	})
}

// routed implements renderer. The vifs are known by their group, so that it is
// two rules however many there are.
func (r iptablesRules) routed(f family) []need {
	return r.once("routed "+string(f), func() []need {
		return []need{
			anchor(f, "filter", "FORWARD", fwdChain, ""),
			passes(f, "from routed guests", fmt.Sprintf("-m devgroup --src-group %#x", routedGroup)),
			passes(f, "to routed guests", fmt.Sprintf("-m devgroup --dst-group %#x", routedGroup)),
		}
	})
}

// one is a whole address, there and back.
func (t target) one() []need {
	f, guest, listen := t.family(), single(t.To.Addr()), t.Listen.String()
	needs := append(into(f, oneChain, first), outOf(f, ownChain, third, "")...)
	return append(needs,
		rule(f, "nat", oneChain, t.fact(), "-d "+single(t.Listen), "DNAT --to-destination "+t.To.Addr().String()),
		rule(f, "nat", ownChain, "the way out of "+t.String(), "-s "+guest+" ! -o "+t.link, "SNAT --to-source "+listen),
		passes(f, guest+" out", "-s "+guest+" -i "+t.link+" ! -o "+t.link),
		passes(f, "answers to "+guest, "-d "+guest+" ! -i "+t.link+" -o "+t.link+" "+answering),
	)
}

// listening matches the address that was asked for.
func (t target) listening(rest string) string {
	if t.Listen.IsValid() {
		return "-d " + single(t.Listen) + " " + rest
	}
	return rest
}

// sharing is the chain of those who share the port.
func (t target) sharing() string {
	sum := sha256.Sum256([]byte(t.key()))
	return fmt.Sprintf("%s%s%d-%x", shareChain, t.Proto, t.Port, sum[:4])
}

// shared is one of those who share a port: each takes its part of what those
// before it left, and the last takes the rest.
func (t target) shared() need {
	matches := "-p " + string(t.Proto)
	if left := t.of - t.index; left > 1 {
		p := math.Round(float64(1<<31)/float64(left)) / (1 << 31) // as the kernel keeps it
		matches += fmt.Sprintf(" -m statistic --mode random --probability %.11f", p)
	}
	n := rule(t.family(), "nat", t.sharing(), t.fact(), matches, "DNAT --to-destination "+t.To.String())
	n.order = t.index + 1
	return n
}

// single is one address as iptables-save prints it.
func single(a netip.Addr) string {
	return netip.PrefixFrom(a, a.BitLen()).String()
}

func portRange(from, to uint16) string {
	if from == to {
		return strconv.Itoa(int(from))
	}
	return fmt.Sprintf("%d:%d", from, to)
}
