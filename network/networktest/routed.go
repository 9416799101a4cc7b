package networktest

import (
	"io/fs"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

// Cases of routed guests.

// routedGuest is guest number n without a bridge, whose neighbours are those of
// the foreign bridge.
func (s suite) routedGuest(n byte) network.Guest {
	g := s.guest(n)
	p := &g.Ports[0]
	p.Bridge, p.Routed, p.Uplink = "", true, s.Foreign.Name
	p.Addresses = append(p.Addresses, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: n}))
	p.Networks = []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: n}), 64), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 98, n, 0}), 29),
	}
	return g
}

func (s suite) routed(t *testing.T) {
	a, b := s.routedGuest(1), s.routedGuest(2)
	b.Ports[0].Uplink, b.Ports[0].Networks = "", nil
	want := network.State{Guests: []network.Guest{a, b, s.guest(3)}}
	for _, g := range want.Guests {
		require.NoError(t, s.Manager.Set(t.Context(), g))
	}
	s.holds(t, want)
	plan, err := s.Manager.Apply(t.Context(), want)
	require.NoError(t, err)
	assert.Empty(t, plan)
	require.NoError(t, s.Manager.Remove(t.Context(), a.UUID))
	s.holds(t, want.Without(a.UUID))
	want.Bridges = []network.Bridge{{Name: "xhbr0"}}
	want.Guests[0].Ports[0].Uplink = "xhbr0" // comes in the same apply
	s.makes(t, want)
	s.refusesWhole(t, fs.ErrNotExist, network.State{Guests: want.Guests})
	s.makes(t, network.State{})
}

func (s suite) changePlace(t *testing.T) {
	for range 2 {
		for _, g := range []network.Guest{s.guest(1), s.routedGuest(1)} {
			require.NoError(t, s.Manager.Set(t.Context(), g))
			s.holds(t, network.State{Guests: []network.Guest{g}})
		}
	}
	less := s.routedGuest(1)
	less.Ports[0].Networks, less.Ports[0].Addresses = nil, less.Ports[0].Addresses[:1]
	s.makes(t, network.State{Guests: []network.Guest{less}})
}

func (s suite) noUplink(t *testing.T) {
	g := s.routedGuest(1)
	g.Ports[0].Uplink = "nosuch0"
	s.refusedWith(t, fs.ErrNotExist, g)
	s.refusesWhole(t, fs.ErrNotExist, network.State{Guests: []network.Guest{g}})
}

func (s suite) badRouted(t *testing.T) {
	for name, change := range map[string]func(*network.Port){
		"on a bridge too":                 func(p *network.Port) { p.Bridge = s.Foreign.Name },
		"neither bridged nor routed":      func(p *network.Port) { p.Routed, p.Uplink, p.Networks = false, "", nil },
		"networks on a bridge":            func(p *network.Port) { p.Routed, p.Uplink, p.Bridge = false, "", s.Foreign.Name },
		"an uplink on a bridge":           func(p *network.Port) { p.Routed, p.Networks, p.Bridge = false, nil, s.Foreign.Name },
		"uplink like an option":           func(p *network.Port) { p.Uplink = "-j" },
		"the router's address":            func(p *network.Port) { p.Addresses[1] = netip.MustParseAddr(network.RouterV6) },
		"everything":                      func(p *network.Port) { p.Networks[0] = netip.MustParsePrefix("::/0") },
		"multicast":                       func(p *network.Port) { p.Networks[0] = netip.MustParsePrefix("ff00::/8") },
		"link-local":                      func(p *network.Port) { p.Networks[0] = netip.MustParsePrefix("fe80::/64") },
		"no way to the network":           func(p *network.Port) { p.Addresses = p.Addresses[:1] },
		"two networks that meet":          func(p *network.Port) { p.Networks[0] = netip.MustParsePrefix("10.98.0.0/16") },
		"a link-local way to the network": func(p *network.Port) { p.Addresses[1] = netip.MustParseAddr("fe80::7") },
	} {
		t.Run(name, func(t *testing.T) {
			g := s.routedGuest(1)
			change(&g.Ports[0])
			s.refusedWith(t, network.ErrInvalid, g)
		})
	}
}

func (s suite) networksApart(t *testing.T) {
	require.NoError(t, s.Manager.Set(t.Context(), s.routedGuest(1)))
	for name, change := range map[string]func(*network.Port){
		"the same":         func(p *network.Port) { p.Networks[1] = netip.MustParsePrefix("10.98.1.0/29") },
		"one around it":    func(p *network.Port) { p.Networks[1] = netip.MustParsePrefix("10.98.0.0/16") },
		"one inside":       func(p *network.Port) { p.Networks[1] = netip.MustParsePrefix("10.98.1.4/30") },
		"an address of it": func(p *network.Port) { p.Addresses[0] = netip.MustParseAddr("10.98.1.5") },
		"a network around an address": func(p *network.Port) {
			p.Networks[1] = netip.MustParsePrefix("10.99.0.0/30")
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := s.routedGuest(2)
			g.Forwards = nil
			change(&g.Ports[0])
			s.refusedWith(t, network.ErrConflict, g)
		})
	}
	require.NoError(t, s.Manager.Remove(t.Context(), s.routedGuest(1).UUID))
	g := s.routedGuest(2)
	g.Ports[0].Networks = s.routedGuest(1).Ports[0].Networks
	require.NoError(t, s.Manager.Set(t.Context(), g), "what was given back is free")
}
