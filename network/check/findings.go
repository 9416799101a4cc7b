package check

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/network"
)

// Level says how much a finding matters.
type Level string

// Levels, the worst first.
const (
	Error   Level = "error"   // guests are cut off, or unprotected, now
	Warning Level = "warning" // they will be, or now and then are
	Note    Level = "note"    // worth knowing
)

// Finding is something about a host that one would rather know.
type Finding struct {
	Level Level  `json:"level"`
	Code  string `json:"code"` // as "conntrack-full"; stays the same over versions
	What  string `json:"what"` // what was found
	Do    string `json:"do"`   // what to do about it, as a command where there is one
}

// String reads as "error conntrack-full: 260000 of 262144 connections: sysctl …".
func (f Finding) String() string { return fmt.Sprintf("%s %s: %s: %s", f.Level, f.Code, f.What, f.Do) }

// Findings are those about a host, the worst first.
func Findings(s Seen) []Finding {
	var out []Finding
	for _, look := range []func(Seen) []Finding{
		forwarding, bridgeNF, forwardPolicy, mixed, reversePath, routerAdvertisements, conntrack, netback, bridges,
	} {
		out = append(out, look(s)...)
	}
	rank := map[Level]int{Error: 0, Warning: 1, Note: 2}
	slices.SortStableFunc(out, func(a, b Finding) int { return rank[a.Level] - rank[b.Level] })
	return out
}

func one(level Level, code, what, do string) []Finding { return []Finding{{level, code, what, do}} }

func forwarding(s Seen) (out []Finding) {
	if s.needsForwarding() && s.Sysctls["ipv4.ip_forward"] == "0" {
		out = one(Error, "forwarding-off", "guests are routed, or have forwards or masquerading, and this host passes no IPv4 on", "sysctl -w net.ipv4.ip_forward=1")
	}
	if s.Dual && s.Sysctls["ipv6.conf.all.forwarding"] == "0" {
		out = append(out, Finding{Error, "forwarding6-off", "guests have routed IPv6 addresses, and this host passes no IPv6 on", "sysctl -w net.ipv6.conf.all.forwarding=1"})
	}
	return out
}

func (s Seen) needsForwarding() bool {
	if s.Want == nil {
		return false
	}
	for _, g := range s.Want.Guests {
		if len(g.Forwards) > 0 || slices.ContainsFunc(g.Ports, func(p network.Port) bool { return p.Routed }) {
			return true
		}
	}
	return len(s.Want.Masquerades) > 0
}

// bridgeNF: with br_netfilter, frames between guests of one bridge pass the
// host's IP rules, and a rule for others may drop or translate them.
func bridgeNF(s Seen) []Finding {
	var on []string
	for _, name := range []string{"iptables", "ip6tables", "arptables"} {
		if s.Sysctls["bridge.bridge-nf-call-"+name] == "1" {
			on = append(on, "net.bridge.bridge-nf-call-"+name)
		}
	}
	if len(on) == 0 {
		return nil
	}
	what, level := "frames inside of a bridge pass the host's firewall ("+strings.Join(on, ", ")+")", Note
	if s.ForwardPolicy == "DROP" {
		what, level = what+", which drops what it is not told to forward: guests of one bridge do not reach each other", Error
	}
	return one(level, "br-netfilter", what, "sysctl -w "+strings.Join(on, "=0 ")+"=0, unless a tool of this host needs it (Docker, Kubernetes)")
}

func forwardPolicy(s Seen) []Finding {
	if s.ForwardPolicy != "DROP" || !s.needsForwarding() {
		return nil
	}
	return one(Note, "forward-drop", "the policy of FORWARD is DROP: forwards and masquerades of ours are let through, other routed traffic of guests is not",
		"iptables -A FORWARD for what else guests need")
}

func mixed(s Seen) (out []Finding) {
	var ours []string // of iptables-nft
	for _, t := range s.NFTTables {
		if family, name, _ := strings.Cut(t, " "); (family == "ip" || family == "ip6") && slices.Contains([]string{"nat", "filter", "mangle", "raw"}, name) {
			ours = append(ours, t)
		}
	}
	if len(s.LegacyTables) > 0 && len(ours) > 0 {
		out = one(Warning, "mixed-iptables",
			fmt.Sprintf("two firewalls that do not know each other: tables %s of iptables-legacy, and %s of iptables-nft", strings.Join(s.LegacyTables, ", "), strings.Join(ours, ", ")),
			"update-alternatives --config iptables, save the rules of the other one there, and reboot")
	}
	if len(s.LegacyTables) > 0 && s.Variant == "nf_tables" {
		out = append(out, Finding{Warning, "legacy-hidden", "there are rules of iptables-legacy, and the command iptables does not show them", "iptables-legacy-save"})
	}
	return out
}

// reversePath: the strict filter drops what comes in by another way than the
// answers would leave, as with two gateways or a forward on the second host.
func reversePath(s Seen) (out []Finding) {
	all, _ := strconv.Atoi(s.Sysctls["ipv4.conf.all.rp_filter"])
	for _, name := range slices.Sorted(maps.Keys(s.Interfaces)) {
		own, err := strconv.Atoi(s.Sysctls["ipv4.conf."+name+".rp_filter"])
		if !s.Interfaces[name].IsBridge || err != nil || max(all, own) != 1 {
			continue
		}
		out = append(out, Finding{Note, "rp-filter-strict",
			fmt.Sprintf("%s drops packets whose answer would leave by another interface (rp_filter 1)", name),
			fmt.Sprintf("sysctl -w net.ipv4.conf.%s.rp_filter=2 where guests have a second gateway", name)})
	}
	return out
}

// routerAdvertisements: a host that forwards IPv6 ignores its own router's
// advertisements, unless told.
func routerAdvertisements(s Seen) (out []Finding) {
	if s.Sysctls["ipv6.conf.all.forwarding"] != "1" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.Interfaces)) {
		if s.Interfaces[name].IsBridge && s.Sysctls["ipv6.conf."+name+".accept_ra"] == "1" {
			out = append(out, Finding{Note, "accept-ra",
				fmt.Sprintf("%s learns no IPv6 default route from its router, since this host forwards (accept_ra 1)", name),
				fmt.Sprintf("sysctl -w net.ipv6.conf.%s.accept_ra=2, or a static route", name)})
		}
	}
	return out
}

func conntrack(s Seen) []Finding {
	if s.ConntrackMax <= 0 || s.Conntrack*100 < s.ConntrackMax*80 {
		return nil
	}
	level, what := Warning, fmt.Sprintf("%d of %d connections (%d %%)", s.Conntrack, s.ConntrackMax, s.Conntrack*100/s.ConntrackMax)
	if s.Conntrack*100 >= s.ConntrackMax*98 {
		level, what = Error, what+"; new ones are dropped, of all guests"
	}
	return one(level, "conntrack-full", what, fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d, and look for the guest that opens them (conntrack -L)", 2*s.ConntrackMax))
}

// netback gives each queue of a vif the whole rate, and a guest chooses how
// many it uses.
func netback(s Seen) []Finding {
	queues := s.NetbackQueues
	if queues == 0 {
		queues = s.CPUs
	}
	if !s.Netback || queues <= 1 {
		return nil
	}
	level, what := Note, fmt.Sprintf("a guest can use %d queues on a vif; Xen's rate= holds for each of them", queues)
	if s.Rates {
		level, what = Warning, fmt.Sprintf("guests that are held to a rate by Xen can have %d times of it, one for each queue", queues)
	}
	return one(level, "netback-queues", what, "options xen_netback max_queues=1 in /etc/modprobe.d, or shape in dom0 instead of rate=")
}

// bridges: what Xen's scripts set and what guests need.
func bridges(s Seen) (out []Finding) {
	for _, name := range slices.Sorted(maps.Keys(s.Interfaces)) {
		i := s.Interfaces[name]
		if i.IsBridge && i.STP {
			out = append(out, Finding{Note, "bridge-stp",
				fmt.Sprintf("%s speaks the spanning tree protocol: a port is silent for %d s after a guest starts", name, 2*i.ForwardWait/100),
				fmt.Sprintf("ip link set %s type bridge stp_state 0 forward_delay 0", name)})
		}
		if i.IsBridge && !i.Up {
			out = append(out, Finding{Error, "bridge-down", name + " is down: its guests are cut off", fmt.Sprintf("ip link set %s up", name)})
		}
		if b, ok := s.Interfaces[i.Bridge]; ok && i.MTU != 0 && b.MTU != 0 && i.MTU < b.MTU {
			out = append(out, Finding{Warning, "mtu-small",
				fmt.Sprintf("port %s takes %d bytes and its bridge %s %d: larger frames are lost on the way", name, i.MTU, i.Bridge, b.MTU),
				fmt.Sprintf("ip link set %s mtu %d", name, b.MTU)})
		}
	}
	return out
}
