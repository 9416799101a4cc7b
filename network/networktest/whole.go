package networktest

import (
	"io/fs"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

// Cases of Apply, which is about the whole host.

// whole is a state with one of everything.
func (s suite) whole() network.State {
	return network.State{
		Bridges: []network.Bridge{
			{Name: "xhbr0", Ports: []string{s.Free[0]}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}},
			{Name: "xhbr1"},
		},
		Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("10.99.0.0/16"), Out: "uplink0"}},
		Guests:      []network.Guest{s.guest(1), s.guest(2)},
	}.Normalize()
}

// makes applies want and checks plan, outcome and that there is no more to do.
func (s suite) makes(t *testing.T, want network.State) {
	t.Helper()
	expected := network.Diff(s.read(t), want)
	plan, err := s.Manager.Apply(t.Context(), want)
	require.NoError(t, err)
	assert.Equal(t, expected, plan)
	s.holds(t, want)
	plan, err = s.Manager.Apply(t.Context(), want)
	require.NoError(t, err)
	assert.Empty(t, plan.String())
}

func (s suite) refusesWhole(t *testing.T, word error, want network.State) {
	t.Helper()
	before := s.read(t)
	plan, err := s.Manager.Apply(t.Context(), want)
	require.ErrorIs(t, err, word)
	assert.True(t, plan.Empty())
	assert.Equal(t, before, s.read(t))
}

func (s suite) apply(t *testing.T) {
	want := s.whole()
	s.makes(t, want)
	want.Guests = want.Guests[1:]
	want.Masquerades[0].Source = netip.MustParsePrefix("10.98.0.0/16")
	want.Bridges[0].Addresses = []netip.Prefix{netip.MustParsePrefix("10.78.0.1/24"), netip.MustParsePrefix("2001:db8:1::1/64")}
	want.Guests[0].Ports[0].Bridge = "xhbr1"
	s.makes(t, want)
}

func (s suite) swap(t *testing.T) {
	a, b := s.guest(1), s.guest(2)
	s.makes(t, network.State{Guests: []network.Guest{a, b}})
	a.Forwards[0].Port, b.Forwards[0].Port = b.Forwards[0].Port, a.Forwards[0].Port
	a.Ports[0].MAC, b.Ports[0].MAC = b.Ports[0].MAC, a.Ports[0].MAC
	s.makes(t, network.State{Guests: []network.Guest{a, b}})
}

func (s suite) applyNothing(t *testing.T) {
	want := s.whole()
	want.Bridges = append(want.Bridges, s.Foreign)
	s.makes(t, want)
	s.makes(t, network.State{})
	s.makes(t, network.State{Bridges: []network.Bridge{s.Foreign}})
}

func (s suite) foreignBridge(t *testing.T) {
	s.makes(t, network.State{Bridges: []network.Bridge{{Name: s.Foreign.Name}}})
	s.makes(t, network.State{Bridges: []network.Bridge{s.Foreign}})
	s.makes(t, network.State{Bridges: []network.Bridge{{Name: s.Foreign.Name, Addresses: s.Foreign.Addresses}}})
	s.makes(t, network.State{Bridges: []network.Bridge{s.Foreign}})
}

func (s suite) foreignRefused(t *testing.T) {
	more := s.Foreign
	more.Ports = []string{s.Free[0]}
	s.refusesWhole(t, network.ErrForeign, network.State{Bridges: []network.Bridge{more}})
	more = s.Foreign
	more.Addresses = []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}
	s.refusesWhole(t, network.ErrForeign, network.State{Bridges: []network.Bridge{more}})
	s.refusesWhole(t, network.ErrForeign, network.State{Bridges: []network.Bridge{{Name: "xhbr0", Ports: s.Foreign.Ports}}})
	s.makes(t, network.State{Bridges: []network.Bridge{s.Foreign}})
}

func (s suite) movePorts(t *testing.T) {
	two := func(a, b []string) network.State {
		return network.State{Bridges: []network.Bridge{{Name: "xhbr0", Ports: a}, {Name: "xhbr1", Ports: b}}}
	}
	s.makes(t, two(s.Free[:1], s.Free[1:]))
	s.makes(t, two(s.Free[1:], s.Free[:1]))
	s.makes(t, two(nil, s.Free[:]))
	s.makes(t, network.State{Bridges: []network.Bridge{{Name: "xhbr0", Ports: s.Free[:]}}})
}

func (s suite) badInterfaces(t *testing.T) {
	s.refusesWhole(t, fs.ErrNotExist, network.State{Bridges: []network.Bridge{{Name: "xhbr0", Ports: []string{"nosuch0"}}}})
	s.refusesWhole(t, network.ErrInvalid, network.State{Bridges: []network.Bridge{{Name: "a/b"}}})
	s.refusesWhole(t, network.ErrInvalid, network.State{Bridges: []network.Bridge{{Name: "bridge-name-of-16"}}})
	s.refusesWhole(t, network.ErrConflict, network.State{
		Bridges: []network.Bridge{{Name: s.guest(1).Ports[0].Vif}}, Guests: []network.Guest{s.guest(1)}})
}

func (s suite) badMasquerades(t *testing.T) {
	for source, word := range map[string]error{
		"0.0.0.0/0": network.ErrInvalid, "": network.ErrInvalid, "::/0": network.ErrInvalid,
	} {
		p, _ := netip.ParsePrefix(source)
		s.refusesWhole(t, word, network.State{Masquerades: []network.Masquerade{{Source: p, Out: "xenext"}}})
	}
	p := netip.MustParsePrefix("10.1.2.3/16")
	s.refusesWhole(t, network.ErrInvalid, network.State{Masquerades: []network.Masquerade{{Source: p, Out: "! -o x"}}})
	for _, as := range []string{"2001:db8::1", "127.0.0.1"} {
		s.refusesWhole(t, network.ErrInvalid, network.State{Masquerades: []network.Masquerade{{Source: p, Out: "xenext", As: netip.MustParseAddr(as)}}})
	}
	s.refusesWhole(t, network.ErrInvalid, network.State{Masquerades: []network.Masquerade{
		{Source: p, Out: "xenext"}, {Source: p, Out: "xenext", As: netip.MustParseAddr("203.0.113.5")}}})
	s.makes(t, network.State{Masquerades: []network.Masquerade{{Source: p, Out: "xenext"}}})
	assert.Equal(t, "10.1.0.0/16", s.read(t).Masquerades[0].Source.String())
}

func (s suite) twins(t *testing.T) {
	g := s.guest(1)
	s.refusesWhole(t, network.ErrInvalid, network.State{Guests: []network.Guest{g, g}})
	other := s.guest(2)
	other.Forwards[0].Port = g.Forwards[0].Port
	s.refusesWhole(t, network.ErrConflict, network.State{Guests: []network.Guest{g, other}})
}

func (s suite) bridgeInUse(t *testing.T) {
	g := s.guest(1)
	g.Ports[0].Bridge = "xhbr0"
	s.makes(t, network.State{Bridges: []network.Bridge{{Name: "xhbr0"}}})
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.refusesWhole(t, fs.ErrNotExist, network.State{Guests: []network.Guest{g}})
	s.makes(t, network.State{})
}
