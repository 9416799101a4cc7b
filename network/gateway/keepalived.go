package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Keepalived is the configuration for keepalived 2.2 or newer. It is pure; of a
// Gateway that Validate refuses it makes no sense.
//
// There is one VRRP instance, which speaks the protocol of Self; addresses of
// the other protocol move with it as "excluded" ones, which only means that
// they are not in its advertisements.
//
// With bridge-nf-call-iptables a host also tracks what only crosses its bridge
// on the way to the other one, without masquerading, and would go on so when it
// takes over. So it forgets what comes from the guests then: conntrack of
// /usr/sbin, for the network of the first IPv4 address.
func (g Gateway) Keepalived() string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	block := func(head string, lines []string) {
		if len(lines) == 0 {
			return
		}
		line("\t%s {", head)
		for _, l := range lines {
			line("\t\t%s", l)
		}
		line("\t}")
	}
	var spoken, excluded, peers []string
	for _, a := range g.sorted() {
		if text := fmt.Sprintf("%v dev %s", a, g.Bridge); g.speaks(a) {
			spoken = append(spoken, text)
		} else {
			excluded = append(excluded, text)
		}
	}
	for _, p := range g.Peers {
		peers = append(peers, p.String())
	}

	line("# Made by xenhost from the gateway of %s; changes by hand are lost.", g.Bridge)
	line("global_defs {")
	line("\trouter_id %s", g.Host)
	line("\tenable_script_security") // which refuses a program that others than root can change
	line("}")
	line("vrrp_instance xenhost-%s {", g.Bridge)
	line("\tstate BACKUP") // the election decides, also at the start
	if g.Stay {
		line("\tnopreempt")
	}
	line("\tinterface %s", g.Bridge)
	line("\tvirtual_router_id %d", g.ID)
	line("\tpriority %d", g.Priority)
	line("\tversion 3")
	line("\tadvert_int %s", strconv.FormatFloat(g.interval().Seconds(), 'f', -1, 64))
	line("\tgarp_master_delay 1") // announced at once, and again after this many seconds
	line("\tunicast_src_ip %v", g.Self)
	block("unicast_peer", peers)
	block("track_interface", g.Uplinks)
	block("virtual_ipaddress", spoken)
	block("virtual_ipaddress_excluded", excluded)
	if i := slices.IndexFunc(g.sorted(), func(a netip.Prefix) bool { return a.Addr().Is4() }); i >= 0 {
		line("\tnotify_master \"/usr/sbin/conntrack --delete --orig-src %v\" root root", g.sorted()[i].Masked())
	}
	line("}")
	return b.String()
}

// speaks: an address of the protocol that the hosts talk.
func (g Gateway) speaks(a netip.Prefix) bool { return a.Addr().Is4() == g.Self.Is4() }
