package network

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
)

// nftRules renders elements of nft sets.
type nftRules struct{}

// programPlace stands for the chains of our table; they are intact or not.
const (
	programPlace = "program"
	intact       = "intact"
)

func element(f family, set, key, comment, data string) need {
	text := key + ` comment "` + comment + `"`
	if data != "" {
		text += " : " + data
	}
	return need{at: place{family: f, name: set}, text: text}
}

func program(f family) need { return need{at: place{family: f, name: programPlace}, text: intact} }

// remark implements renderer. The key is a hash: a set must have one.
func (nftRules) remark(fact string) []need {
	sum := sha256.Sum256([]byte(fact))
	sum[0] = 0xfd // no address that is printed in another way
	key := netip.AddrFrom16([16]byte(sum[:16])).String()
	return []need{program(v4), element(v4, factsSet, key, fact, "")}
}

// masquerade implements renderer.
func (nftRules) masquerade(m Masquerade) []need {
	f := familyOf(m.Source.Addr())
	src := prefixText(m.Source)
	act := "masquerade"
	if m.As.IsValid() {
		act = "snat to " + m.As.String()
	}
	text := fmt.Sprintf(`%s saddr %s %s daddr != %s oifname "%s" %s comment "%s"`, f, src, f, src, m.Out, act, mark+masqueradeFact(m))
	return []need{program(f), {at: place{family: f, name: masqChn}, text: text}}
}

// hairpin implements renderer.
func (nftRules) hairpin(net netip.Prefix) []need {
	f, in := familyOf(net.Addr()), prefixText(net)
	text := fmt.Sprintf(`%s saddr %s %s daddr %s masquerade comment "%s"`, f, in, f, in, mark+"hairpin")
	return []need{program(f), {at: place{family: f, name: pinChn}, text: text}}
}

// routed implements renderer: nothing of ours drops.
func (nftRules) routed(family) []need { return nil }

// forward implements renderer. The comment says whose it is; the rest of the
// fact is the element itself.
func (nftRules) forward(t target) []need {
	f := t.family()
	who := t.id.String()
	if t.Return != ReturnGateway {
		who += " return " + string(t.Return)
	}
	to := t.To.Addr().String()
	needs := []need{program(f)}
	if t.Proto == All {
		return append(needs,
			element(f, oneMap, t.Listen.String(), who, to),
			element(f, ownMap, to, who, t.Listen.String()),
			element(f, homeSet, to+` . "`+t.link+`"`, who, ""))
	}
	set, rangeSet, shareSet, key := portMap, portRangs, portShare, ""
	if t.Listen.IsValid() {
		set, rangeSet, shareSet, key = atMap, atRange, atShare, t.Listen.String()+" . "
	}
	key += fmt.Sprintf("%s . %s", t.Proto, ports(t.Port, t.last()))
	toPort := fmt.Sprintf("%s . %d", to, t.To.Port())
	switch {
	case t.of > 1 || t.Spread:
		for slot := t.index; slot < spreadSlots; slot += t.of {
			needs = append(needs, element(f, shareSet, fmt.Sprintf("%s . %d", key, slot), who, toPort))
		}
	case t.Last != 0:
		needs = append(needs, element(f, rangeSet, key, who, to))
	default:
		needs = append(needs, element(f, set, key, who, toPort))
	}
	if t.Return == ReturnIngress {
		last := t.To.Port() + t.last() - t.Port
		needs = append(needs, element(f, backSet, fmt.Sprintf("%s . %s . %s", to, t.Proto, ports(t.To.Port(), last)), "answers", ""))
	}
	return needs
}

func ports(from, to uint16) string {
	return strings.Replace(portRange(from, to), ":", "-", 1)
}

// prefixText is a prefix as nft prints it: a single address has no length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// nftFact is the fact that an element or a rule tells.
func nftFact(set, text string) (string, bool) {
	if set == masqChn {
		_, c, ok := strings.Cut(strings.TrimSuffix(text, `"`), `comment "`+mark)
		return c, ok
	}
	key, rest, ok := strings.Cut(text, ` comment "`)
	if !ok {
		return "", false
	}
	c, data, _ := strings.Cut(rest, `"`)
	if set == factsSet {
		return c, true
	}
	id, way, returns := strings.Cut(c, " ")
	k, d := strings.Split(key, " . "), strings.Split(strings.TrimPrefix(data, " : "), " . ")
	listen, spread := "*", ""
	switch set {
	case oneMap:
		return fmt.Sprintf("forward all %s -> %s of %s", key, d[0], id), true
	case atMap, atRange, atShare:
		listen, k = k[0], k[1:]
		if strings.Contains(listen, ":") {
			listen = "[" + listen + "]"
		}
	case portMap, portRangs, portShare:
	default:
		return "", false
	}
	if set == atShare || set == portShare {
		spread = " spread"
	}
	if len(k) < 2 {
		return "", false
	}
	if set == atRange || set == portRangs {
		from, _, _ := strings.Cut(k[1], "-")
		d = append(d, from)
	}
	if len(d) < 2 {
		return "", false
	}
	if strings.Contains(d[0], ":") {
		d[0] = "[" + d[0] + "]"
	}
	if returns {
		way = " " + way
	}
	return fmt.Sprintf("forward %s %s:%s -> %s:%s%s%s of %s", k[0], listen, k[1], d[0], d[1], way, spread, id), true
}
