package networktest

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

// Cases of the kinds of forwards.

// six is the IPv6 address of guest n.
func six(n byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfd, 0, 0, 0, 0, 0, 0, 9, 15: n})
}

// dual is guest n with an IPv6 address too, and no forwards.
func (s suite) dual(n byte) network.Guest {
	g := s.guest(n)
	g.Ports[0].Addresses = append(g.Ports[0].Addresses, six(n))
	g.Forwards = nil
	return g
}

// with is g with forwards as ParseForward reads them.
func with(t *testing.T, g network.Guest, forwards ...string) network.Guest {
	t.Helper()
	for _, text := range forwards {
		f, err := network.ParseForward(text)
		require.NoError(t, err)
		assert.Equal(t, text, f.String())
		g.Forwards = append(g.Forwards, f)
	}
	return g
}

func (s suite) kinds(t *testing.T) {
	g := with(t, s.dual(1),
		"tcp *:8001 -> 10.99.0.1:80",
		"udp 198.51.100.8:8001 -> 10.99.0.1:8000 return ingress",
		"tcp *:20000-20063 -> 10.99.0.1:20000",
		"udp 198.51.100.9:1024-65535 -> 10.99.0.1:1024",
		"tcp *:20100-20110 -> 10.99.0.1:20100 return ingress",
		"all 198.51.100.10 -> 10.99.0.1",
		"tcp *:80 -> 10.99.0.1:8080 spread",
		"tcp 198.51.100.9:90 -> 10.99.0.1:8081 return ingress spread",
		"tcp *:8001 -> [fd00:0:0:9::1]:80",
		"udp [2001:db8::9]:53 -> [fd00:0:0:9::1]:5353 return ingress",
		"tcp [2001:db8::9]:20000-29999 -> [fd00:0:0:9::1]:20000",
		"udp *:2000-2001 -> [fd00:0:0:9::1]:2000",
		"all 2001:db8::10 -> fd00:0:0:9::1",
		"udp [2001:db8::9]:80 -> [fd00:0:0:9::1]:8080 spread",
		"udp *:81 -> [fd00:0:0:9::1]:8081 spread",
	)
	s.makes(t, network.State{Guests: []network.Guest{g}})
	require.NoError(t, s.Manager.Remove(t.Context(), g.UUID))
	s.holds(t, network.State{})
}

func (s suite) changeKind(t *testing.T) {
	for _, forwards := range [][]string{
		{"tcp *:80 -> 10.99.0.1:80"},
		{"tcp *:80-99 -> 10.99.0.1:80"},
		{"tcp *:80-200 -> 10.99.0.1:80"},
		{"tcp *:80 -> 10.99.0.1:80 spread"},
		{"tcp *:80 -> 10.99.0.1:80 return ingress spread"},
		{"tcp *:80 -> 10.99.0.1:80 return ingress"},
		{"tcp *:80 -> [fd00:0:0:9::1]:80"},
		{"all 198.51.100.9 -> 10.99.0.1"},
		{"all 198.51.100.9 -> 10.99.0.1", "tcp *:80 -> 10.99.0.1:80"},
		{"tcp 198.51.100.9:80 -> 10.99.0.1:80"},
		{},
	} {
		g := with(t, s.dual(1), forwards...)
		require.NoError(t, s.Manager.Set(t.Context(), g))
		s.holds(t, network.State{Guests: []network.Guest{g}})
	}
}

func (s suite) ranges(t *testing.T) {
	require.NoError(t, s.Manager.Set(t.Context(), with(t, s.dual(1), "tcp *:20000-20099 -> 10.99.0.1:20000")))
	for _, text := range []string{
		"tcp *:20000 -> 10.99.0.2:80", "tcp *:20099 -> 10.99.0.2:80", "tcp 198.51.100.9:20050 -> 10.99.0.2:80",
		"tcp *:19000-20000 -> 10.99.0.2:19000", "tcp *:20010-20020 -> 10.99.0.2:20010", "tcp *:1024-65535 -> 10.99.0.2:1024",
		"tcp *:20001 -> 10.99.0.2:80 spread",
	} {
		s.refusedWith(t, network.ErrConflict, with(t, s.dual(2), text))
	}
	beside := with(t, s.dual(2), "tcp *:19000-19999 -> 10.99.0.2:19000", "tcp *:20100 -> 10.99.0.2:80",
		"udp *:20000-20099 -> 10.99.0.2:20000", "tcp *:20000-20099 -> [fd00:0:0:9::2]:20000")
	require.NoError(t, s.Manager.Set(t.Context(), beside))
	s.refusedWith(t, network.ErrReserved, with(t, s.dual(3), "tcp *:20-30 -> 10.99.0.3:20"))
	s.Listen(t, network.TCP, netip.MustParseAddrPort("0.0.0.0:7005"))
	s.refusedWith(t, network.ErrReserved, with(t, s.dual(3), "tcp *:7000-7010 -> 10.99.0.3:7000"))
}

func (s suite) wholeAddress(t *testing.T) {
	require.NoError(t, s.Manager.Set(t.Context(), with(t, s.dual(1), "all 198.51.100.9 -> 10.99.0.1")))
	s.refusedWith(t, network.ErrConflict, with(t, s.dual(2), "all 198.51.100.9 -> 10.99.0.2"))
	s.refusedWith(t, network.ErrConflict, with(t, s.dual(2), "tcp 198.51.100.9:80 -> 10.99.0.2:80"))
	s.refusedWith(t, network.ErrInvalid, with(t, s.dual(1), "all 198.51.100.9 -> 10.99.0.1", "tcp 198.51.100.9:80 -> 10.99.0.1:80"))
	own := network.Forward{Proto: network.All, Listen: s.Foreign.Addresses[0].Addr(), To: netip.MustParseAddrPort("10.99.0.2:0")}
	g := s.dual(2)
	g.Forwards = []network.Forward{own}
	s.refusedWith(t, network.ErrReserved, g)

	other := with(t, s.dual(2), "tcp *:80 -> 10.99.0.2:80", "tcp 198.51.100.8:81 -> 10.99.0.2:80")
	require.NoError(t, s.Manager.Set(t.Context(), other), "ports of all addresses are not the guest's whole address")
	s.refusedWith(t, network.ErrConflict, with(t, s.dual(3), "all 198.51.100.8 -> 10.99.0.3"))
}

func (s suite) spread(t *testing.T) {
	var want network.State
	for n := range byte(4) {
		g := s.dual(n + 1)
		f := network.Forward{Proto: network.TCP, Port: 80, To: netip.AddrPortFrom(g.Ports[0].Addresses[0], 80), Spread: true}
		sixth := f
		sixth.To = netip.AddrPortFrom(six(n+1), 8080)
		g.Forwards = []network.Forward{f, sixth}
		require.NoError(t, s.Manager.Set(t.Context(), g))
		want.Guests = append(want.Guests, g)
		s.holds(t, want)
	}
	s.refusedWith(t, network.ErrConflict, with(t, s.dual(5), "tcp *:80 -> 10.99.0.5:80"))
	s.refusedWith(t, network.ErrConflict, with(t, s.dual(5), "tcp 198.51.100.9:80 -> 10.99.0.5:80 spread"))
	s.refusedWith(t, network.ErrInvalid, with(t, s.dual(5), "udp *:80 -> 10.99.0.5:80 spread", "udp *:80 -> 10.99.0.5:81 spread"))
	for len(want.Guests) > 0 {
		require.NoError(t, s.Manager.Remove(t.Context(), want.Guests[0].UUID))
		want.Guests = want.Guests[1:]
		s.holds(t, network.State{Guests: want.Guests})
	}
}

func (s suite) familiesApart(t *testing.T) {
	a := with(t, s.dual(1), "tcp *:80 -> 10.99.0.1:80")
	b := with(t, s.dual(2), "tcp *:80 -> [fd00:0:0:9::2]:80")
	s.makes(t, network.State{Guests: []network.Guest{a, b}})
	s.refusedWith(t, network.ErrConflict, with(t, s.dual(3), "tcp [2001:db8::9]:80 -> [fd00:0:0:9::3]:80"))
	s.Listen(t, network.TCP, netip.MustParseAddrPort("0.0.0.0:7006"))
	require.NoError(t, s.Manager.Set(t.Context(), with(t, s.dual(3), "tcp *:7006 -> [fd00:0:0:9::3]:80")), "dom0 listens on IPv4 only")
}

func (s suite) badForwards(t *testing.T) {
	four, sixth := netip.MustParseAddrPort("10.99.0.1:80"), netip.AddrPortFrom(six(1), 80)
	pub := netip.MustParseAddr("198.51.100.9")
	for name, f := range map[string]network.Forward{
		"families that mix":       {Proto: network.TCP, Listen: pub, Port: 80, To: sixth},
		"families that mix too":   {Proto: network.TCP, Listen: netip.MustParseAddr("2001:db8::1"), Port: 80, To: four},
		"a zone":                  {Proto: network.TCP, Listen: netip.MustParseAddr("fe80::1%eth0"), Port: 80, To: sixth},
		"a range upside down":     {Proto: network.TCP, Port: 80, Last: 79, To: four},
		"a range to other ports":  {Proto: network.TCP, Port: 81, Last: 90, To: four},
		"a range that is spread":  {Proto: network.TCP, Port: 80, Last: 90, To: four, Spread: true},
		"1:1 of every address":    {Proto: network.All, To: netip.AddrPortFrom(four.Addr(), 0)},
		"1:1 with a port":         {Proto: network.All, Listen: pub, Port: 80, To: netip.AddrPortFrom(four.Addr(), 0)},
		"1:1 to a port":           {Proto: network.All, Listen: pub, To: four},
		"1:1 of two":              {Proto: network.All, Listen: pub, To: netip.AddrPortFrom(four.Addr(), 0), Spread: true},
		"1:1 without its gateway": {Proto: network.All, Listen: pub, To: netip.AddrPortFrom(four.Addr(), 0), Return: network.ReturnIngress},
		"somebody else's address": {Proto: network.TCP, Port: 80, To: netip.AddrPortFrom(six(9), 80)},
	} {
		t.Run(name, func(t *testing.T) {
			g := s.dual(1)
			g.Forwards = []network.Forward{f}
			s.refusedWith(t, network.ErrInvalid, g)
		})
	}
	s.refusedWith(t, network.ErrInvalid, with(t, s.dual(1), "tcp *:80 -> 10.99.0.1:80", "tcp *:81 -> 10.99.0.1:80 return ingress"))
}

func (s suite) masquerades(t *testing.T) {
	p := netip.MustParsePrefix
	want := network.State{
		Masquerades: []network.Masquerade{
			{Source: p("10.98.0.0/16"), Out: "uplink0"},
			{Source: p("10.98.7.0/24"), Out: "uplink1", As: netip.MustParseAddr("198.51.100.7")},
			{Source: p("10.98.8.8/32"), Out: "uplink1"},
			{Source: p("fd00:0:0:8::/64"), Out: "uplink0"},
			{Source: p("fd00:0:0:9::/64"), Out: "uplink0", As: netip.MustParseAddr("2001:db8::7")},
		},
		Guests: []network.Guest{s.guest(1)},
	}
	s.makes(t, want)
	want.Masquerades[0].As = netip.MustParseAddr("198.51.100.8")
	want.Masquerades[4].As = netip.Addr{}
	want.Masquerades = want.Masquerades[:5:5]
	s.makes(t, want)
	require.NoError(t, s.Manager.Remove(t.Context(), s.guest(1).UUID))
	want.Guests = nil
	s.holds(t, want)
	want.Masquerades = want.Masquerades[1:2]
	s.makes(t, want)
}
