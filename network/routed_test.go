package network_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

// routedGuest n has the public address 203.0.113.10+n, for which its host
// answers on xenext, and networks that lead to it.
func routedGuest(n byte, forwards ...network.Forward) network.Guest {
	g := guest(n, forwards...)
	p := &g.Ports[0]
	p.Bridge, p.Routed, p.Uplink = "", true, "xenext"
	p.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, 10 + n}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: 0x10 + n})}
	p.Networks = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 5: n}), 64)}
	return g
}

// vif makes a guest's vif on a host, as Xen does each time that it starts.
func (s street) vif(t *testing.T, host, machine space, g network.Guest) {
	t.Helper()
	p := g.Ports[0]
	host.IP(t, fmt.Sprintf("link add %s address fe:ff:ff:ff:ff:ff type veth peer name eth0 netns %s", p.Vif, machine.Name))
	machine.IP(t, fmt.Sprintf("link set eth0 address %v up", p.MAC),
		fmt.Sprintf("address add %v/32 dev eth0", p.Addresses[0]), fmt.Sprintf("address add %v/128 dev eth0 nodad", p.Addresses[1]),
		"route add default via "+network.RouterV4+" dev eth0 onlink", "route add default via "+network.RouterV6+" dev eth0")
}

func TestRoutedGuests(t *testing.T) {
	needNamespaces(t)
	for _, firewall := range firewalls() {
		t.Run(firewall, func(t *testing.T) {
			s := newStreet(t, firewall, false)
			before := s.routes(t, s.curacao)
			m, other := s.curacao.manager(t, firewall), s.islay.manager(t, firewall)
			web1, web2 := routedGuest(1, forward(network.TCP, 8080, 1, 80)), routedGuest(2)
			web1.Forwards[0].To = netip.AddrPortFrom(web1.Ports[0].Addresses[0], 80)
			in1 := web1.Ports[0].Networks[0].Addr().Next() // an address of its network
			s.web1.IP(t, fmt.Sprintf("address add %v/128 dev lo nodad", in1))
			s.internet.IP(t, fmt.Sprintf("route add %v via 2001:db8::1", web1.Ports[0].Networks[0]))

			require.NoError(t, m.Set(t.Context(), web1), "before the vif is there")
			s.vif(t, s.curacao, s.web1, web1)
			s.web1.serve(t, "web1", 80, 53)
			require.NoError(t, m.Set(t.Context(), recorded(t, m, web1)), "as vifhook does")
			s.vif(t, s.curacao, s.web2, web2)
			s.web2.serve(t, "web2", 80, 53)
			require.NoError(t, m.Set(t.Context(), web2))
			want := network.State{Guests: []network.Guest{web1, web2}}.Normalize()
			have, err := m.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, have)

			reach := func(t *testing.T) {
				for proto, port := range map[string]string{"tcp": "80", "udp": "53"} {
					s.internet.answers(t, proto, "203.0.113.11:"+port, "web1 saw 203.0.113.254")
					s.internet.answers(t, proto, "[2001:db8::11]:"+port, "web1 saw 2001:db8::fe")
				}
				s.internet.answers(t, "tcp", fmt.Sprintf("[%v]:80", in1), "web1 saw 2001:db8::fe")
				s.internet.answers(t, "tcp", "203.0.113.12:80", "web2 saw 203.0.113.254")
			}
			t.Run("the Internet reaches them", reach)
			t.Run("they reach each other, the Internet and dom0", func(t *testing.T) {
				s.internet.serve(t, "internet", 81, 81)
				s.curacao.serve(t, "dom0", 82, 82)
				s.web2.answers(t, "tcp", "203.0.113.11:80", "web1 saw 203.0.113.12")
				s.web2.answers(t, "tcp", "[2001:db8::11]:80", "web1 saw 2001:db8::12")
				s.web1.answers(t, "tcp", "203.0.113.254:81", "internet saw 203.0.113.11")
				s.web1.answers(t, "udp", "[2001:db8::fe]:81", "internet saw 2001:db8::11")
				s.web1.answers(t, "tcp", "203.0.113.1:82", "dom0 saw 203.0.113.11")
				s.curacao.answers(t, "tcp", "203.0.113.11:80", "web1 saw "+network.RouterV4)
				s.internet.answers(t, "tcp", "203.0.113.1:8080", "web1 saw 203.0.113.254")
			})
			t.Run("after a restart", func(t *testing.T) {
				s.curacao.IP(t, "link delete "+web1.Ports[0].Vif)
				s.vif(t, s.curacao, s.web1, web1)
				have, err := m.Read(t.Context())
				require.NoError(t, err)
				assert.NotContains(t, network.Diff(have, want).String(), web2.UUID.String())
				assert.Contains(t, network.Diff(have, want).String(), "+ port "+web1.Ports[0].Vif+" routed by xenext")
				require.NoError(t, m.Set(t.Context(), recorded(t, m, web1)))
				reach(t)
			})
			t.Run("after the uplink's cable was out", func(t *testing.T) {
				for _, state := range []string{"DOWN", "UP"} {
					s.internet.IP(t, "link set port0 "+strings.ToLower(state))
					require.Eventually(t, func() bool {
						return strings.Contains(s.curacao.Run(t, "", "ip", "link", "show", "xenext"), "state "+state)
					}, 10*time.Second, 20*time.Millisecond)
				}
				have, err := m.Read(t.Context())
				require.NoError(t, err)
				assert.Equal(t, want, have)
				reach(t)
			})
			t.Run("each drift is named and mended", func(t *testing.T) { s.routedDrift(t, m, want) })
			t.Run("after a move", func(t *testing.T) {
				reach(t)                                          // the Internet knows curacao's MAC now
				s.curacao.IP(t, "link delete "+web1.Ports[0].Vif) // the guest has ended there
				s.vif(t, s.islay, s.web1, web1)
				s.internet.IP(t, fmt.Sprintf("route replace %v via 2001:db8::2", web1.Ports[0].Networks[0]))
				require.NoError(t, m.Remove(t.Context(), web1.UUID))
				require.NoError(t, other.Set(t.Context(), web1))
				began := time.Now()
				reach(t)
				t.Logf("reached again after %v", time.Since(began))
				assert.NotContains(t, s.curacao.Run(t, "", "ip", "neigh", "show", "proxy"), "203.0.113.11")
				assert.NotContains(t, s.curacao.Run(t, "", "ip", "-6", "neigh", "show", "proxy"), "2001:db8::11")
				assert.NotContains(t, s.routes(t, s.curacao), "203.0.113.11")
				assert.Contains(t, s.islay.Run(t, "", "ip", "neigh", "show", "proxy"), "203.0.113.11 dev xenext")
			})
			require.NoError(t, m.Remove(t.Context(), web2.UUID))
			assert.Equal(t, before, s.routes(t, s.curacao), "nothing is left")
			assert.Empty(t, s.curacao.Run(t, "", "ip", "neigh", "show", "proxy")+s.curacao.Run(t, "", "ip", "-6", "neigh", "show", "proxy"))
			assert.NotContains(t, s.curacao.Run(t, "", "ip", "address"), network.RouterV4)
		})
	}
}

// routes of a host that somebody made.
func (s street) routes(t *testing.T, host space) string {
	var out strings.Builder
	for _, f := range []string{"-4", "-6"} {
		for line := range strings.Lines(host.Run(t, "", "ip", f, "route")) {
			if !strings.Contains(line, "proto kernel") {
				out.WriteString(line)
			}
		}
	}
	return out.String()
}

func (s street) routedDrift(t *testing.T, m *network.Linux, want network.State) {
	g := want.Guests[0]
	vif, of := g.Ports[0].Vif, " of "+g.UUID.String()
	for hand, plan := range map[string]string{
		"route delete 203.0.113.11 dev " + vif:                         "+ address 203.0.113.11 on " + vif + of + "\n",
		"-6 route delete 2001:db8::11 dev " + vif:                      "+ address 2001:db8::11 on " + vif + of + "\n",
		"-6 route delete " + g.Ports[0].Networks[0].String():           "+ network " + g.Ports[0].Networks[0].String() + " on " + vif + of + "\n",
		"neigh delete proxy 203.0.113.11 dev xenext":                   "+ address 203.0.113.11 on " + vif + of + "\n",
		"neigh delete proxy 2001:db8::11 dev xenext":                   "+ address 2001:db8::11 on " + vif + of + "\n",
		"link set " + vif + " group default":                           "+ port " + vif,
		"link set " + vif + " down":                                    "+ port " + vif,
		"link set " + vif + " master xenint":                           "+ port " + vif,
		"address delete " + network.RouterV4 + "/32 dev " + vif:        "+ port " + vif,
		"address delete " + network.RouterV6 + "/64 dev " + vif:        "+ port " + vif,
		"route replace 203.0.113.11 via 203.0.113.254 dev xenext":      "",
		"route replace 203.0.113.11 dev " + vif + " proto 86 metric 7": "",
	} {
		s.curacao.Run(t, "", append([]string{"ip"}, strings.Fields(hand)...)...)
		have, err := m.Read(t.Context())
		require.NoError(t, err, hand)
		if plan == "" { // two routes to one address: the one of the operator stays
			s.curacao.Run(t, "", "ip", "route", "flush", "203.0.113.11")
			plan = "+ address 203.0.113.11 on " + vif + of + "\n"
			have, err = m.Read(t.Context())
			require.NoError(t, err, hand)
		}
		assert.True(t, strings.HasPrefix(network.Diff(have, want).String(), plan), "%s: %s", hand, network.Diff(have, want))
		_, err = m.Apply(t.Context(), want)
		require.NoError(t, err, hand)
		have, err = m.Read(t.Context())
		require.NoError(t, err, hand)
		assert.Equal(t, want, have, hand)
		s.internet.answers(t, "tcp", "203.0.113.11:80", "web1 saw 203.0.113.254")
		s.internet.answers(t, "tcp", "[2001:db8::11]:80", "web1 saw 2001:db8::fe")
	}
}

// TestForeignRoute: a route of the operator's to a guest's address is not
// touched, and no guest gets that address.
func TestForeignRoute(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t, network.NFT, false)
	s.curacao.IP(t, "route add 203.0.113.11 via 203.0.113.254")
	before := s.routes(t, s.curacao)
	m, g := s.curacao.manager(t, network.NFT), routedGuest(1)
	s.vif(t, s.curacao, s.web1, g)
	require.ErrorIs(t, m.Set(t.Context(), g), network.ErrForeign)
	assert.Contains(t, s.routes(t, s.curacao), strings.TrimSpace(before[:strings.Index(before, "\n")]))
	s.curacao.IP(t, "route delete 203.0.113.11 via 203.0.113.254")
	require.NoError(t, m.Set(t.Context(), g), "and then it goes on")
}

// recorded is the guest as the tables have it, while its vif is not plugged.
func recorded(t *testing.T, m network.Manager, g network.Guest) network.Guest {
	t.Helper()
	have, err := m.Recorded(t.Context())
	require.NoError(t, err)
	found, ok := have.Guest(g.UUID)
	require.True(t, ok)
	require.Equal(t, network.State{Guests: []network.Guest{g}}.Normalize().Guests[0], found)
	return found
}
