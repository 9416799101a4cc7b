package guard

import (
	"fmt"
	"slices"
	"strings"
)

// table is ours, in each family that we need.
const table = "xenhost_guard"

// A kind is a family of nf_tables.
type kind string

const (
	bridge kind = "bridge"
	inet   kind = "inet" // IPv4 and IPv6 of routed guests
	arp    kind = "arp"  // of routed guests
)

func kinds() []kind { return []kind{bridge, inet, arp} }

// needs reports whether a state has a table of the kind: those for routed
// guests are there if there are any.
func (s State) needs(k kind) bool {
	return !s.Open && (k == bridge || slices.ContainsFunc(s.Guests, func(g Guest) bool {
		return slices.ContainsFunc(g.Ports, func(p Port) bool { return p.Routed })
	}))
}

// rules are the same for every host; what differs stands in the sets. Frames
// from a guest's port leave the chain entry by goto, so what no rule lets
// through ends at the last rule of its chain.
//
// Guests on a bridge pass the table of the family bridge: its hook is before
// the bridge learns the sender's MAC, and before it tells dom0 and other ports.
// What routed guests send ends in dom0, which takes in ARP (family arp) and IP
// (family inet) and nothing else from them. The hook for IP is before fragments
// are put together, so that a guest can not send parts of another's packets.
//
// IPv6 addresses are compared as raw bytes (@nh, @th), because nft can not
// look up the target of a neighbour advertisement in a set of addresses.
//
// in_ip6_own asks for the first bytes behind all headers, whatever they are: a
// first fragment that ends before them could hide a router advertisement. The
// later fragments of a packet are nothing without its first one.
func (k kind) rules() string {
	switch k {
	case arp:
		return arpSets + arpChains + entry("ether type arp goto in_arp", "type filter hook input priority -300")
	case inet:
		return ipSets + `
	set v4net { type ifname . ipv4_addr; flags interval; }
	set v6net { type ifname . ipv6_addr; flags interval; }
` + strings.NewReplacer(
			"iifname . ip saddr @v4 accept", "iifname . ip saddr @v4 accept\n\t\tiifname . ip saddr @v4net accept",
			" iifname . @th,64,64 != @net6", "",
			"iifname . @nh,64,64 @net6 goto", "iifname . ip6 saddr @v6net goto",
			"\t\ticmpv6 type nd-neighbor-solicit iifname . @th,64,64 @net6 accept\n", "",
		).Replace(ipChains) + entry("meta nfproto vmap { ipv4 : goto in_ip, ipv6 : goto in_ip6 }", "type filter hook prerouting priority -450")
	default:
		return ipSets + `
	set net6 { typeof iifname . @nh,64,64; }
	counter drop_arp { }
` + arpChains + ipChains + entry("ether type vmap { arp : goto in_arp, ip : goto in_ip, ip6 : goto in_ip6 }", "type filter hook prerouting priority -300")
	}
}

const (
	commonSets = `
	set ports { type ifname; }
	set ours { type ifname; flags interval; }
	set macs { type ifname . ether_addr; }
	set v4 { type ifname . ipv4_addr; }
	set digest { type mark; }
	counter drop_unknown { }
	counter drop_mac { }
	counter drop_type { }
`
	arpSets = commonSets + `
	counter drop_arp { }
`
	ipSets = commonSets + `
	set v6 { typeof iifname . @nh,64,128; }
	counter drop_ipv4 { }
	counter drop_ipv6 { }
	counter drop_neighbour { }
	counter drop_dhcp { }
	counter drop_router { }
`
	arpChains = `
	chain in_arp {
		arp htype 1 arp ptype 0x0800 arp hlen 6 arp plen 4 iifname . arp saddr ether @macs goto in_arp_own
		counter name "drop_arp" drop
	}
	chain in_arp_own {
		arp operation { request, reply } iifname . arp saddr ip @v4 accept
		arp operation request arp saddr ip 0.0.0.0 iifname . arp daddr ip @v4 accept
		counter name "drop_arp" drop
	}
`
	ipChains = `
	chain in_ip {
		udp sport 67 counter name "drop_dhcp" drop
		icmp type { redirect, router-advertisement } counter name "drop_router" drop
		igmp type membership-query counter name "drop_router" drop
		iifname . ip saddr @v4 accept
		ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept
		counter name "drop_ipv4" drop
	}
	chain in_ip6_own {
		frag frag-off != 0 accept
		@th,0,16 & 0 == 0 accept
		counter name "drop_ipv6" drop
	}
	chain in_ip6 {
		icmpv6 type { mld-listener-query, nd-router-advert, nd-redirect, router-renumbering } counter name "drop_router" drop
		udp sport 547 counter name "drop_dhcp" drop
		icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @v6 iifname . @th,64,64 != @net6 counter name "drop_neighbour" drop
		ip6 saddr :: goto in_ip6_none
		iifname . @nh,64,128 @v6 goto in_ip6_own
		iifname . @nh,64,64 @net6 goto in_ip6_own
		counter name "drop_ipv6" drop
	}
	chain in_ip6_none {
		icmpv6 type nd-neighbor-solicit iifname . @th,64,128 @v6 accept
		icmpv6 type nd-neighbor-solicit iifname . @th,64,64 @net6 accept
		icmpv6 type nd-neighbor-solicit counter name "drop_neighbour" drop
		icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept
		counter name "drop_ipv6" drop
	}
`
)

// entry is the way into a table: frames of ports that are known go where to
// says, those of unknown ones of ours nowhere.
func entry(to, hook string) string {
	return `
	chain port {
		iifname . ether saddr != @macs counter name "drop_mac" drop
		` + to + `
		counter name "drop_type" drop
	}
	chain entry {
		` + hook + `; policy accept;
		iifname @ports goto port
		iifname @ours counter name "drop_unknown" drop
	}
`
}

// Ours reports whether a vif's name looks like one that network.VifName gives.
// Such a vif may send nothing unless the guard knows it.
func Ours(vif string) bool {
	return len(vif) > 2 && slices.Contains(ours(), vif[:3]+"*")
}

// ours are the names that network.VifName can give, up to two digits of the
// UUID: x00* to xff*.
func ours() []string {
	var out []string
	for i := range 256 {
		out = append(out, fmt.Sprintf("x%02x*", i))
	}
	return out
}

// whole renders the table with these elements, in place of the one that is
// there.
func (k kind) whole(elements []element) string {
	var b strings.Builder
	b.WriteString(k.remove())
	fmt.Fprintf(&b, "table %s %s {%s}\n", k, table, k.rules())
	change(&b, "add", elements)
	return b.String()
}

// remove takes the table away, if it is there.
func (k kind) remove() string {
	return fmt.Sprintf("add table %s %s\ndelete table %s %s\n", k, table, k, table)
}
