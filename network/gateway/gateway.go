package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/xenhost/xenhost/network"
)

// Gateway is one host's part in serving a private network.
type Gateway struct {
	// Host is this host's name, as keepalived reports it.
	Host string `json:"host"`
	// Bridge of the private network, as xenint.
	Bridge string `json:"bridge"`
	// ID of the pair on that network, 1 to 255 (VRRP's virtual router).
	ID int `json:"id"`
	// Priority, 1 to 254: the host with the higher one serves while both live.
	Priority int `json:"priority"`
	// Addresses are the guests' default routes, with the network's length.
	Addresses []netip.Prefix `json:"addresses"`
	// Self is this host's own address on the bridge, and Peers those of the
	// others: they talk by unicast, so that no guest can join in.
	Self  netip.Addr   `json:"self"`
	Peers []netip.Addr `json:"peers"`
	// Uplinks must be up for this host to serve.
	Uplinks []string `json:"uplinks,omitempty"`
	// Interval between advertisements; 0 is 1 s. Take-over takes three of them
	// and a bit.
	Interval time.Duration `json:"interval,omitempty"`
	// Stay: a host that comes back does not take the address back.
	Stay bool `json:"stay,omitempty"`
}

// interval in whole hundredths of a second, as VRRP has it.
func (g Gateway) interval() time.Duration {
	if g.Interval == 0 {
		return time.Second
	}
	return g.Interval
}

// Validate says what keepalived would refuse, or take for something else:
// network.ErrInvalid.
func (g Gateway) Validate() error {
	var errs []error
	bad := func(format string, a ...any) {
		errs = append(errs, fmt.Errorf("gateway: "+format+": %w", append(a, network.ErrInvalid)...))
	}
	if !word(g.Host, 63) {
		bad("host %q", g.Host)
	}
	for _, name := range append([]string{g.Bridge}, g.Uplinks...) {
		if !word(name, 15) {
			bad("interface %q", name)
		}
	}
	if g.ID < 1 || g.ID > 255 {
		bad("ID %d is not from 1 to 255", g.ID)
	}
	if g.Priority < 1 || g.Priority > 254 {
		bad("priority %d is not from 1 to 254", g.Priority)
	}
	if i := g.interval(); i < 10*time.Millisecond || i > 40*time.Second || i%(10*time.Millisecond) != 0 {
		bad("interval %v is not whole hundredths of a second, up to 40 s", i)
	}
	if !slices.ContainsFunc(g.Addresses, g.speaks) {
		bad("no address for the guests of the protocol of %v", g.Self)
	}
	for _, a := range g.Addresses {
		if !a.IsValid() || a.Addr().Zone() != "" || a.Addr().Is4In6() || !usable(a.Addr()) {
			bad("address %v", a)
		}
	}
	if !g.Self.IsValid() || len(g.Peers) == 0 {
		bad("both hosts' own addresses are needed")
	}
	for _, p := range g.Peers {
		if !usable(p) || p.Is4() != g.Self.Is4() || p == g.Self {
			bad("peer %v of %v", p, g.Self)
		}
	}
	for _, a := range g.Addresses {
		if a.Addr() == g.Self || slices.Contains(g.Peers, a.Addr()) {
			bad("%v is one host's own and can not move", a.Addr())
		}
	}
	return errors.Join(errs...)
}

// Pair says why two gateways would not be one pair: network.ErrConflict.
func Pair(a, b Gateway) error {
	var errs []error
	differ := func(what string, x, y any) {
		errs = append(errs, fmt.Errorf("gateway: %s of %s and %s: %v and %v: %w", what, a.Host, b.Host, x, y, network.ErrConflict))
	}
	if a.ID != b.ID {
		differ("IDs", a.ID, b.ID)
	}
	if !slices.Equal(a.sorted(), b.sorted()) {
		differ("addresses", a.sorted(), b.sorted())
	}
	if a.interval() != b.interval() {
		differ("intervals", a.interval(), b.interval())
	}
	if a.Priority == b.Priority {
		differ("equal priorities", a.Priority, b.Priority)
	}
	if !slices.Contains(a.Peers, b.Self) || !slices.Contains(b.Peers, a.Self) {
		differ("peers", a.Peers, b.Peers)
	}
	return errors.Join(errs...)
}

func (g Gateway) sorted() []netip.Prefix {
	return slices.SortedFunc(slices.Values(g.Addresses), func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
}

// word allows what stands for itself in keepalived's file.
func word(s string, limit int) bool {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= limit && s[0] != '-' && s[0] != '.'
}

func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast()
}
