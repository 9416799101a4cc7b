package gateway

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/check"
)

// Findings are what would make the gateway fail guests, although keepalived
// works: s is what the host's network should be. It is pure.
func Findings(g Gateway, s network.State) []check.Finding {
	var out []check.Finding
	add := func(level check.Level, code, do, format string, a ...any) {
		out = append(out, check.Finding{Level: level, Code: code, What: fmt.Sprintf(format, a...), Do: do})
	}
	i := slices.IndexFunc(s.Bridges, func(b network.Bridge) bool { return b.Name == g.Bridge })
	for _, vip := range g.Addresses {
		if i >= 0 && slices.ContainsFunc(s.Bridges[i].Addresses, func(p netip.Prefix) bool { return p.Addr() == vip.Addr() }) {
			add(check.Error, "gateway-address-fixed", "take it off the bridge: keepalived gives it to one host at a time",
				"%v is on %s always: both hosts would have it", vip.Addr(), g.Bridge)
		}
		if i >= 0 && !slices.ContainsFunc(s.Bridges[i].Addresses, func(p netip.Prefix) bool { return p.Contains(vip.Addr()) }) {
			add(check.Warning, "gateway-address-outside", "give the bridge an address of the guests' network",
				"%v is in no network of %s: this host finds no guest while the other one serves", vip.Addr(), g.Bridge)
		}
		if vip.Addr().Is4() && !slices.ContainsFunc(s.Masquerades, func(m network.Masquerade) bool { return m.Source.Contains(vip.Addr()) }) {
			add(check.Warning, "gateway-no-masquerade", "the same masquerades on both hosts",
				"guests behind %v have no masquerade here: after a take-over they do not reach the world", vip.Addr())
		}
	}
	for _, guest := range s.Guests {
		if !slices.ContainsFunc(guest.Ports, func(p network.Port) bool { return p.Bridge == g.Bridge }) {
			continue
		}
		for _, f := range guest.Forwards {
			if f.Return == network.ReturnGateway {
				add(check.Warning, "gateway-return-path", "return: ingress, or an address that moves with the gateway",
					"forward %v of %v: while the other host serves, what comes in here is answered there, and lost", f, guest.UUID)
			}
		}
	}
	return out
}
