package meter

import (
	"fmt"
	"strings"

	"github.com/xenhost/xenhost/accounting"
)

// table is the name of our tables, in the families bridge and inet.
const table = "xenhost_meter"

// traffic are the metrics that sets are named for.
func traffic() []accounting.Metric {
	var all []accounting.Metric
	for m := accounting.InternalIn4; m <= accounting.ExternalOut6; m++ {
		all = append(all, m)
	}
	return all
}

// tables is the text that makes both tables, in place of what is there.
func tables(c Classes) string {
	var b strings.Builder
	for _, family := range []string{"bridge", "inet"} {
		fmt.Fprintf(&b, "table %s %s\ndelete table %[1]s %[2]s\ntable %[1]s %[2]s {\n set vifs { type ifname; }\n set made { type ifname; elements = { %[3]s comment %[4]q } }\n", family, table, mark, c.digest())
		for _, m := range traffic() {
			fmt.Fprintf(&b, " set %v { type ifname; counter; }\n", m)
		}
		for _, s := range prefixSets(c) {
			elements := ""
			for i, p := range s.of() {
				elements += map[bool]string{true: " elements = { ", false: ", "}[i == 0] + p.String()
			}
			if elements != "" {
				elements += " }"
			}
			fmt.Fprintf(&b, " set %s { type %s; flags interval; auto-merge;%s }\n", s.name, s.kind, elements)
		}
		b.WriteString(" map quota_in { type ifname : quota; }\n map quota_out { type ifname : quota; }\n")
		chain(&b, "up", "prerouting", -150, "iifname", "daddr", "out")
		chain(&b, "down", "postrouting", 0, "oifname", "saddr", "in")
		b.WriteString("}\n")
	}
	return b.String()
}

// chain counts one direction: the first class that fits. A packet that is over
// the guest's quota is dropped and not counted.
func chain(b *strings.Builder, name, hook string, priority int, vif, far, direction string) {
	fmt.Fprintf(b, " chain %s {\n  type filter hook %s priority %d; policy accept;\n  %s != @vifs accept\n", name, hook, priority, vif)
	for _, class := range []string{"internal", "peer"} {
		for ip, version := range map[string]string{"ip": "4", "ip6": "6"} {
			fmt.Fprintf(b, "  %s %s @%s%s %s @%s_%s%s accept\n", ip, far, class, version, vif, class, direction, version)
		}
	}
	for _, ip := range []string{"ip", "ip6"} {
		fmt.Fprintf(b, "  meta protocol %s quota name %s map @quota_%s drop\n", ip, vif, direction)
	}
	fmt.Fprintf(b, "  meta protocol ip %s @external_%s4 accept\n  meta protocol ip6 %[1]s @external_%[2]s6 accept\n }\n", vif, direction)
}

// family is the table that a port is counted in.
func (p Port) family() string {
	if p.Routed {
		return "inet"
	}
	return "bridge"
}

// addPort and dropPort are lines that put a vif into all sets or take it out.
func addPort(b *strings.Builder, p Port, epoch string) {
	fmt.Fprintf(b, "add element %s %s vifs { %q comment %q }\n", p.family(), table, p.Vif, fmt.Sprintf("%s %s %s", p.Guest, p.Dev, epoch))
	for _, m := range traffic() {
		fmt.Fprintf(b, "add element %s %s %v { %q }\n", p.family(), table, m, p.Vif)
	}
}

func dropPort(b *strings.Builder, e entry) {
	family := e.port.family()
	for direction, limited := range e.limits {
		if limited != "" {
			fmt.Fprintf(b, "delete element %s %s quota_%v { %q }\n", family, table, directionName(direction), e.port.Vif)
		}
	}
	fmt.Fprintf(b, "delete element %s %s vifs { %q }\n", family, table, e.port.Vif)
	for _, m := range traffic() {
		if e.counts[m].there {
			fmt.Fprintf(b, "delete element %s %s %v { %q }\n", family, table, m, e.port.Vif)
		}
	}
}

func directionName(d int) string {
	if accounting.Direction(d) == accounting.In {
		return "in"
	}
	return "out"
}
