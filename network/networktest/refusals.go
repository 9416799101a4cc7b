package networktest

import (
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/ether"
	"github.com/xenhost/xenhost/network"
)

func (s suite) conflicts(t *testing.T) {
	fixed := s.guest(1)
	fixed.Forwards = append(fixed.Forwards, network.Forward{
		Proto: network.UDP, Listen: netip.MustParseAddr("198.51.100.9"), Port: 53, To: fixed.Forwards[0].To})
	require.NoError(t, s.Manager.Set(t.Context(), fixed))
	for name, change := range map[string]func(*network.Guest){
		"same port everywhere": func(g *network.Guest) { g.Forwards[0].Port = fixed.Forwards[0].Port },
		"one address of a port taken everywhere": func(g *network.Guest) {
			g.Forwards[0].Port = fixed.Forwards[0].Port
			g.Forwards[0].Listen = netip.MustParseAddr("198.51.100.9")
		},
		"everywhere, where one address is taken": func(g *network.Guest) {
			g.Forwards[0].Proto, g.Forwards[0].Port = network.UDP, 53
		},
		"same port of the same address": func(g *network.Guest) {
			g.Forwards[0].Proto, g.Forwards[0].Port = network.UDP, 53
			g.Forwards[0].Listen = netip.MustParseAddr("198.51.100.9")
		},
		"MAC": func(g *network.Guest) { g.Ports[0].MAC = fixed.Ports[0].MAC },
		"address": func(g *network.Guest) {
			g.Ports[0].Addresses[0] = fixed.Ports[0].Addresses[0]
			g.Forwards = nil
		},
		"vif": func(g *network.Guest) { g.Ports[0].Vif = fixed.Ports[0].Vif },
	} {
		t.Run(name, func(t *testing.T) {
			g := s.guest(2)
			change(&g)
			s.refusedWith(t, network.ErrConflict, g)
		})
	}
}

func (s suite) listenApart(t *testing.T) {
	a, b, c := s.guest(1), s.guest(2), s.guest(3)
	a.Forwards[0].Port, b.Forwards[0].Port, c.Forwards[0].Port = 8000, 8000, 8000
	a.Forwards[0].Listen = netip.MustParseAddr("198.51.100.8")
	b.Forwards[0].Listen = netip.MustParseAddr("198.51.100.9")
	c.Forwards[0].Proto = network.UDP
	for _, g := range []network.Guest{a, b, c} {
		require.NoError(t, s.Manager.Set(t.Context(), g))
	}
	s.holds(t, network.State{Guests: []network.Guest{a, b, c}})
}

func (s suite) invalid(t *testing.T) {
	for name, change := range map[string]func(*network.Guest){
		"no UUID":             func(g *network.Guest) { g.UUID = uuid.Nil },
		"no vif":              func(g *network.Guest) { g.Ports[0].Vif = "" },
		"vif too long":        func(g *network.Guest) { g.Ports[0].Vif = "x23456789012" },
		"vif with a blank":    func(g *network.Guest) { g.Ports[0].Vif = "x 1" },
		"vif like an option":  func(g *network.Guest) { g.Ports[0].Vif = "-j" },
		"bridge with a quote": func(g *network.Guest) { g.Ports[0].Bridge = `a"b` },
		"no MAC":              func(g *network.Guest) { g.Ports[0].MAC = network.MAC{} },
		"multicast MAC":       func(g *network.Guest) { g.Ports[0].MAC = ether.Addr{1, 0, 0x5e, 0, 0, 1} },
		"unspecified address": func(g *network.Guest) { g.Ports[0].Addresses[0] = netip.IPv4Unspecified() },
		"loopback address":    func(g *network.Guest) { g.Ports[0].Addresses[0] = netip.MustParseAddr("127.0.0.2") },
		"multicast address":   func(g *network.Guest) { g.Ports[0].Addresses[0] = netip.MustParseAddr("224.0.0.1") },
		"one vif twice":       func(g *network.Guest) { g.Ports = append(g.Ports, g.Ports[0]) },
		"unknown protocol":    func(g *network.Guest) { g.Forwards[0].Proto = "sctp" },
		"port 0":              func(g *network.Guest) { g.Forwards[0].Port = 0 },
		"to port 0":           func(g *network.Guest) { g.Forwards[0].To = netip.AddrPortFrom(g.Ports[0].Addresses[0], 0) },
		"to nowhere":          func(g *network.Guest) { g.Forwards[0].To = netip.AddrPort{} },
		"to someone else":     func(g *network.Guest) { g.Forwards[0].To = netip.MustParseAddrPort("10.99.0.250:80") },
		"listens on loopback": func(g *network.Guest) { g.Forwards[0].Listen = netip.MustParseAddr("127.0.0.1") },
		"listens on 0.0.0.0":  func(g *network.Guest) { g.Forwards[0].Listen = netip.IPv4Unspecified() },
		"unknown return":      func(g *network.Guest) { g.Forwards[0].Return = "pigeon" },
		"a port twice":        func(g *network.Guest) { g.Forwards = append(g.Forwards, twice(g.Forwards[0])) },
	} {
		t.Run(name, func(t *testing.T) {
			g := s.guest(1)
			change(&g)
			s.refusedWith(t, network.ErrInvalid, g)
		})
	}
}

// twice asks for the same port with another target.
func twice(f network.Forward) network.Forward {
	f.To = netip.AddrPortFrom(f.To.Addr(), f.To.Port()+1)
	return f
}

func (s suite) reserved(t *testing.T) {
	forward := func(proto network.Proto, port uint16) network.Guest {
		g := s.guest(1)
		g.Forwards[0].Proto, g.Forwards[0].Port = proto, port
		return g
	}
	s.refusedWith(t, network.ErrReserved, forward(network.TCP, 22))

	address := s.Foreign.Addresses[0].Addr()
	s.Listen(t, network.TCP, netip.AddrPortFrom(netip.IPv4Unspecified(), 7001))
	s.Listen(t, network.UDP, netip.AddrPortFrom(address, 7002))
	s.Listen(t, network.TCP, netip.MustParseAddrPort("127.0.0.1:7003"))
	s.refusedWith(t, network.ErrReserved, forward(network.TCP, 7001))
	s.refusedWith(t, network.ErrReserved, forward(network.UDP, 7002))

	other := forward(network.UDP, 7002)
	other.Forwards[0].Listen = netip.MustParseAddr("198.51.100.9")
	for _, g := range []network.Guest{
		forward(network.UDP, 7001), // dom0 listens on TCP only
		forward(network.TCP, 7003), // only dom0 reaches its loopback, and goes on to
		other,                      // dom0 listens on another address
		forward(network.TCP, 7004),
	} {
		require.NoError(t, s.Manager.Set(t.Context(), g))
		s.holds(t, network.State{Guests: []network.Guest{g}})
	}
	s.Listen(t, network.TCP, netip.AddrPortFrom(netip.IPv4Unspecified(), 7004))
	require.NoError(t, s.Manager.Set(t.Context(), forward(network.TCP, 7004)), "what is in force stays")
}

func (s suite) refused(t *testing.T) {
	require.NoError(t, s.Manager.Set(t.Context(), s.guest(1)))
	g := s.guest(1)
	g.Ports[0].MAC[5] = 99
	g.Forwards = append(g.Forwards, network.Forward{Proto: network.TCP, Port: 22, To: g.Forwards[0].To})
	s.refusedWith(t, network.ErrReserved, g)
	_, err := s.Manager.Apply(t.Context(), network.State{Guests: []network.Guest{g}})
	require.ErrorIs(t, err, network.ErrReserved)
	s.holds(t, network.State{Guests: []network.Guest{s.guest(1)}})
}
