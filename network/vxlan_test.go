package network_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

// TestVXLAN: two guests of a tenant on two hosts are on one network, which
// nobody else is on, and it is there again after the interface was lost.
func TestVXLAN(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t, network.NFT, false)
	guests := map[byte]space{1: s.web1, 2: s.web2}
	for n, host := range map[byte]space{1: s.curacao, 2: s.islay} {
		g := dual(n)
		g.Ports[0].Bridge = "tenant42"
		want := network.State{
			VXLANs:  []network.VXLAN{{Name: "vx42", ID: 42, Local: netip.AddrFrom4([4]byte{192, 168, 0, n}), Remote: netip.AddrFrom4([4]byte{192, 168, 0, 3 - n})}},
			Bridges: []network.Bridge{{Name: "tenant42", Ports: []string{"vx42"}}},
			Guests:  []network.Guest{g},
		}
		host.IP(t, "link add "+g.Ports[0].Vif+" type veth peer name eth0 netns "+guests[n].Name)
		m := host.manager(t, network.NFT)
		_, err := m.Apply(t.Context(), want)
		require.NoError(t, err)
		host.IP(t, "link delete vx42")
		have, err := m.Read(t.Context())
		require.NoError(t, err)
		plan := network.Diff(have, want)
		require.Equal(t, "+ vxlan vx42 id 42 from "+want.VXLANs[0].Local.String()+" to "+want.VXLANs[0].Remote.String()+
			"\n+ interface vx42 in bridge tenant42\n", plan.String())
		_, err = m.Apply(t.Context(), want)
		require.NoError(t, err)
		guests[n].IP(t, "link set eth0 address "+g.Ports[0].MAC.String()+" mtu 1450 up",
			"address add "+address(n).String()+"/24 dev eth0", "address add "+address6(n).String()+"/64 dev eth0 nodad")
		guests[n].serve(t, map[byte]string{1: "web1", 2: "web2"}[n], 80, 53)
	}
	s.web1.answers(t, "tcp", "192.168.0.12:80", "web2 saw 192.168.0.11")
	s.web2.answers(t, "udp", "[fd00::11]:53", "web1 saw fd00::12")
}
