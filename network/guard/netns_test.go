package guard_test

import (
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/nstest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
)

func manager(tb testing.TB, s nstest.Space) *guard.Linux {
	return guard.New(&guard.Options{NetNS: s.Path(), LockDir: tb.TempDir()})
}

func TestLinux(t *testing.T) {
	nstest.Need(t, "nft")
	guardtest.TestManager(t, func(t *testing.T) guardtest.Site {
		s := nstest.New(t)
		s.IP(t, "link add eth0 address 52:54:00:00:00:01 type veth peer name far", "link set eth0 up", "address add 10.99.0.254/24 dev eth0")
		return guardtest.Site{
			Manager: manager(t, s), Uplink: "eth0",
			Address: netip.MustParseAddr("10.99.0.254"), MAC: network.MAC{0x52, 0x54, 0, 0, 0, 1},
			Flush: func(t *testing.T) { s.Run(t, "", "nft", "flush", "ruleset") },
		}
	})
}

// What dom0 needs is found where it is: on a bridge, behind a router, in a
// network that a guest would get as a whole.
func TestDom0(t *testing.T) {
	nstest.Need(t, "nft")
	s := nstest.New(t)
	s.IP(t, "link add xenext type bridge", "link set xenext up", "address add 203.0.113.1/24 dev xenext",
		"route add default via 203.0.113.254", "route add 10.8.0.0/16 via 203.0.113.10", "address add 2001:db8:7::1/64 dev xenext nodad",
		"link add eth1 type veth peer name far1", "link set eth1 master xenext up",
		"link add x7f3a0000.0 type veth peer name g", "link set x7f3a0000.0 address fe:ff:ff:ff:ff:ff master xenext up")
	m := manager(t, s)
	id := uuid.New()
	port := func(change func(*guard.Port)) error {
		g := guard.Guest{UUID: id, Ports: []guard.Port{{Vif: "x7f3a0000.0", MAC: network.MAC{0, 0x16, 0x3e, 0, 0, 1}}}}
		change(&g.Ports[0])
		return m.Set(t.Context(), g)
	}
	for what, change := range map[string]func(*guard.Port){
		"the bridge itself":            func(p *guard.Port) { p.Vif = "xenext" },
		"a port of the host's":         func(p *guard.Port) { p.Vif = "eth1" },
		"the loopback":                 func(p *guard.Port) { p.Vif = "lo" },
		"the router":                   func(p *guard.Port) { p.Addresses = []netip.Addr{netip.MustParseAddr("203.0.113.254")} },
		"dom0's address on the bridge": func(p *guard.Port) { p.Addresses = []netip.Addr{netip.MustParseAddr("203.0.113.1")} },
		"dom0's IPv6 network":          func(p *guard.Port) { p.Networks = []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/64")} },
	} {
		require.Error(t, port(change), what)
	}
	require.NoError(t, port(func(*guard.Port) {}), "a vif in the bridge is a vif")
	require.NoError(t, m.Remove(t.Context(), id))
	require.NoError(t, port(func(p *guard.Port) { p.Addresses = []netip.Addr{netip.MustParseAddr("203.0.113.10")} }), "a guest that leads elsewhere")
}

// The rules of others stay as they are, and ours are found to be changed by
// whatever hand.
func TestHandsOfOthers(t *testing.T) {
	nstest.Need(t, "nft")
	s := nstest.New(t)
	m := manager(t, s)
	const foreign = "table bridge theirs {\n chain c { type filter hook prerouting priority -300; policy accept; ether type 0x9000 counter drop\n }\n}\n" +
		"table inet filter {\n set macs { type ether_addr; elements = { 00:16:3e:00:00:01 } }\n}\n"
	s.Run(t, foreign, "nft", "-f", "-")
	before := s.Run(t, "", "nft", "list", "ruleset")
	id := uuid.MustParse("7f3a0000-0000-4000-8000-000000000001")
	want := guard.State{Guests: []guard.Guest{{UUID: id, Ports: []guard.Port{{
		Vif: network.VifName(id, 0), MAC: network.MAC{0, 0x16, 0x3e, 0, 0, 1}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
	}, {
		Vif: network.VifName(id, 1), MAC: network.MAC{0, 0x16, 0x3e, 0, 0, 2}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")},
		Routed: true, Networks: []netip.Prefix{netip.MustParsePrefix("10.7.0.0/29")},
	}}}}}
	for hand, edit := range map[string]string{
		"a rule less":             "flush chain bridge xenhost_guard in_ip6",
		"a rule more":             "insert rule bridge xenhost_guard entry accept",
		"another chain":           "add chain bridge xenhost_guard more { type filter hook forward priority 0; policy drop; }",
		"another policy":          "add chain bridge xenhost_guard entry { policy drop; }",
		"another map":             "add map bridge xenhost_guard more { type ifname : verdict; }",
		"a vif of ours not known": `flush set bridge xenhost_guard ours; add element bridge xenhost_guard ours { "x00*" }`,
		"a port less":             `delete element bridge xenhost_guard ports { "x7f3a0000.0-emu" }`,
		"a second MAC":            `add element bridge xenhost_guard macs { "x7f3a0000.0" . 02:00:00:00:00:01 }`,
		"no link-local address":   `delete element bridge xenhost_guard v6 { "x7f3a0000.0" . 0xfe8000000000000002163efffe000001 }`,
		"routed, a rule less":     "flush chain inet xenhost_guard in_ip6",
		"routed, a rule more":     "insert rule arp xenhost_guard entry accept",
		"routed, no table":        "delete table arp xenhost_guard",
		"routed, a MAC less":      `delete element arp xenhost_guard macs { "x7f3a0000.1" . 00:16:3e:00:00:02 }`,
		"a port without guest":    `add element bridge xenhost_guard ports { "eth0" }`,
	} {
		_, err := m.Apply(t.Context(), want)
		require.NoError(t, err, hand)
		s.Run(t, edit, "nft", "-f", "-")
		have, err := m.Read(t.Context())
		require.NoError(t, err, hand)
		assert.True(t, have.Open, hand)
		require.NoError(t, m.Set(t.Context(), want.Guests[0]), "%s: Set puts it right, and keeps who was there", hand)
		have, err = m.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, have, hand)
	}
	plan, err := m.Apply(t.Context(), guard.State{Open: true})
	require.NoError(t, err)
	assert.NotEmpty(t, plan)
	assert.Equal(t, before, s.Run(t, "", "nft", "list", "ruleset"))
}
