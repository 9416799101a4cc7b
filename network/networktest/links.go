package networktest

import (
	"io/fs"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

// Cases of bonds, vlans and vxlans.

func (s suite) needs(t *testing.T, kinds ...string) {
	t.Helper()
	for _, k := range kinds {
		if slices.Contains(s.Lacks, k) {
			t.Skipf("this kernel makes no interfaces of the kind %s; those of dom0 do", k)
		}
	}
}

func (s suite) bond(t *testing.T) {
	s.needs(t, "bond")
	state := func(ports []string, on ...string) network.State {
		return network.State{
			Bonds:   []network.Bond{{Name: "xhbond0", Ports: ports}},
			Bridges: []network.Bridge{{Name: "xhbr0", Ports: on}},
		}
	}
	s.makes(t, state(s.Free[:], "xhbond0"))
	s.makes(t, state(s.Free[:1], "xhbond0"))
	s.makes(t, state(nil, "xhbond0"))
	s.makes(t, state(s.Free[1:]))
	s.makes(t, network.State{})
	s.makes(t, network.State{Bridges: []network.Bridge{{Name: "xhbr0", Ports: s.Free[:]}}})
}

func (s suite) vlan(t *testing.T) {
	s.needs(t, "vlan")
	state := func(id int, on string) network.State {
		return network.State{
			VLANs:   []network.VLAN{{Name: "xhv7", ID: id, On: on}},
			Bridges: []network.Bridge{{Name: "xhbr0", Ports: []string{"xhv7"}}},
		}
	}
	s.makes(t, state(7, s.Free[0]))
	s.makes(t, state(8, s.Free[0]))
	s.makes(t, state(8, s.Free[1]))
	s.makes(t, network.State{VLANs: []network.VLAN{{Name: "xhv7", ID: 4094, On: s.Free[1]}, {Name: "xhv8", ID: 1, On: s.Free[1]}}})
	s.refusesWhole(t, fs.ErrNotExist, state(8, "nosuch0"))
	s.makes(t, network.State{})
}

func (s suite) vxlan(t *testing.T) {
	state := func(id int, remote string) network.State {
		return network.State{
			VXLANs: []network.VXLAN{{Name: "vx42", ID: id, Local: netip.MustParseAddr("192.168.0.1"), Remote: netip.MustParseAddr(remote)},
				{Name: "vx6", ID: 6, Local: netip.MustParseAddr("fd00::1"), Remote: netip.MustParseAddr("fd00::2")}},
			Bridges: []network.Bridge{{Name: "tenant42", Ports: []string{"vx42"}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.42.0.1/24")}}},
		}
	}
	s.makes(t, state(42, "192.168.0.2"))
	s.makes(t, state(42, "192.168.0.3"))
	s.makes(t, state(1<<24-1, "192.168.0.3"))
	require.NoError(t, s.Manager.Set(t.Context(), s.guest(1)))
	want := state(1<<24-1, "192.168.0.3")
	want.Guests = []network.Guest{s.guest(1)}
	s.holds(t, want)
	s.makes(t, network.State{})
}

func (s suite) tower(t *testing.T) {
	s.needs(t, "bond", "vlan")
	want := network.State{
		Bonds:   []network.Bond{{Name: "xhbond0", Ports: s.Free[:]}},
		VLANs:   []network.VLAN{{Name: "xhbond0.7", ID: 7, On: "xhbond0"}},
		Bridges: []network.Bridge{{Name: "xhbr0", Ports: []string{"xhbond0"}}, {Name: "xhbr7", Ports: []string{"xhbond0.7"}}},
	}
	s.makes(t, want)
	want.Bridges = want.Bridges[1:]
	s.makes(t, want)
	s.makes(t, network.State{})
}

func (s suite) badLinks(t *testing.T) {
	a, b := netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("192.168.0.2")
	vxlan := func(id int, local, remote netip.Addr) network.State {
		return network.State{VXLANs: []network.VXLAN{{Name: "vx42", ID: id, Local: local, Remote: remote}}}
	}
	for _, bad := range []network.State{
		vxlan(0, a, b), vxlan(1<<24, a, b), vxlan(42, a, a), vxlan(42, a, netip.Addr{}), vxlan(42, a, netip.MustParseAddr("fd00::1")),
		vxlan(42, a, netip.MustParseAddr("239.0.0.1")),
		{VLANs: []network.VLAN{{Name: "v", ID: 0, On: s.Free[0]}}}, {VLANs: []network.VLAN{{Name: "v", ID: 4095, On: s.Free[0]}}},
		{VLANs: []network.VLAN{{Name: "v", ID: 7, On: s.Free[0]}, {Name: "w", ID: 7, On: s.Free[0]}}},
		{VLANs: []network.VLAN{{Name: "v", ID: 7}}},
		{Bonds: []network.Bond{{Name: "a/b"}}},
		{Bonds: []network.Bond{{Name: "xhbond0", Ports: s.Free[:1]}}, Bridges: []network.Bridge{{Name: "xhbr0", Ports: s.Free[:1]}}},
		{Bonds: []network.Bond{{Name: "xhbr0"}}, Bridges: []network.Bridge{{Name: "xhbr0"}}},
	} {
		s.refusesWhole(t, network.ErrInvalid, bad)
	}
	s.refusesWhole(t, network.ErrForeign, network.State{VLANs: []network.VLAN{{Name: s.Free[1], ID: 7, On: s.Free[0]}}})
	s.refusesWhole(t, network.ErrForeign, network.State{Bonds: []network.Bond{{Name: "xhbond0", Ports: s.Foreign.Ports}}})
	s.refusesWhole(t, fs.ErrNotExist, network.State{Bonds: []network.Bond{{Name: "xhbond0", Ports: []string{"nosuch0"}}}})
}
