package gateway

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

func curacao() Gateway {
	return Gateway{
		Host: "curacao", Bridge: "xenint", ID: 51, Priority: 150,
		Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::fe/64"), netip.MustParsePrefix("192.168.0.254/16")},
		Self:      netip.MustParseAddr("192.168.0.1"), Peers: []netip.Addr{netip.MustParseAddr("192.168.0.2")},
		Uplinks: []string{"xenext"},
	}
}

func islay() Gateway {
	g := curacao()
	g.Host, g.Priority, g.Self, g.Peers = "islay", 100, g.Peers[0], []netip.Addr{g.Self}
	return g
}

func TestKeepalived(t *testing.T) {
	assert.Equal(t, `# Made by xenhost from the gateway of xenint; changes by hand are lost.
global_defs {
	router_id curacao
	enable_script_security
}
vrrp_instance xenhost-xenint {
	state BACKUP
	interface xenint
	virtual_router_id 51
	priority 150
	version 3
	advert_int 1
	garp_master_delay 1
	unicast_src_ip 192.168.0.1
	unicast_peer {
		192.168.0.2
	}
	track_interface {
		xenext
	}
	virtual_ipaddress {
		192.168.0.254/16 dev xenint
	}
	virtual_ipaddress_excluded {
		2001:db8::fe/64 dev xenint
	}
	notify_master "/usr/sbin/conntrack --delete --orig-src 192.168.0.0/16" root root
}
`, curacao().Keepalived())
	g := curacao()
	g.Stay, g.Interval, g.Uplinks = true, 250*time.Millisecond, nil
	assert.Contains(t, g.Keepalived(), "\n\tnopreempt\n")
	assert.Contains(t, g.Keepalived(), "\n\tadvert_int 0.25\n")
	assert.NotContains(t, g.Keepalived(), "track_interface")
}

func TestValidate(t *testing.T) {
	require.NoError(t, curacao().Validate())
	require.NoError(t, islay().Validate())
	for what, change := range map[string]func(*Gateway){
		"host":                        func(g *Gateway) { g.Host = "a b" },
		"no host":                     func(g *Gateway) { g.Host = "" },
		"a bridge that breaks out":    func(g *Gateway) { g.Bridge = "x\n}" },
		"an uplink that breaks out":   func(g *Gateway) { g.Uplinks = []string{"x {"} },
		"a long name":                 func(g *Gateway) { g.Bridge = "x234567890123456" },
		"ID 0":                        func(g *Gateway) { g.ID = 0 },
		"ID 256":                      func(g *Gateway) { g.ID = 256 },
		"priority of an owner":        func(g *Gateway) { g.Priority = 255 },
		"an interval between":         func(g *Gateway) { g.Interval = 15 * time.Millisecond },
		"an interval without end":     func(g *Gateway) { g.Interval = time.Minute },
		"no addresses":                func(g *Gateway) { g.Addresses = nil },
		"no address of the protocol":  func(g *Gateway) { g.Addresses = g.Addresses[:1] },
		"a zone":                      func(g *Gateway) { g.Peers = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} },
		"an address that is no host":  func(g *Gateway) { g.Addresses[1] = netip.MustParsePrefix("224.0.0.1/4") },
		"no peer":                     func(g *Gateway) { g.Peers = nil },
		"itself as peer":              func(g *Gateway) { g.Peers = []netip.Addr{g.Self} },
		"a peer of another protocol":  func(g *Gateway) { g.Peers = []netip.Addr{netip.MustParseAddr("2001:db8::2")} },
		"its own address as guests'":  func(g *Gateway) { g.Addresses[1] = netip.PrefixFrom(g.Self, 16) },
		"the peer's address as guest": func(g *Gateway) { g.Addresses[1] = netip.PrefixFrom(g.Peers[0], 16) },
	} {
		g := curacao()
		change(&g)
		assert.ErrorIs(t, g.Validate(), network.ErrInvalid, what)
	}
}

func TestPair(t *testing.T) {
	require.NoError(t, Pair(curacao(), islay()))
	turned := islay()
	turned.Addresses = []netip.Prefix{turned.Addresses[1], turned.Addresses[0]}
	require.NoError(t, Pair(curacao(), turned), "the order of addresses says nothing")
	for what, change := range map[string]func(*Gateway){
		"IDs":              func(g *Gateway) { g.ID++ },
		"addresses":        func(g *Gateway) { g.Addresses = g.Addresses[1:] },
		"intervals":        func(g *Gateway) { g.Interval = 2 * time.Second },
		"equal priorities": func(g *Gateway) { g.Priority = 150 },
		"peers":            func(g *Gateway) { g.Peers = []netip.Addr{netip.MustParseAddr("192.168.0.3")} },
	} {
		g := islay()
		change(&g)
		err := Pair(curacao(), g)
		require.ErrorIs(t, err, network.ErrConflict, what)
		assert.ErrorContains(t, err, what+" of curacao and islay")
	}
}

func TestFindings(t *testing.T) {
	guest := network.Guest{UUID: uuid.New(), Ports: []network.Port{{Bridge: "xenint"}}, Forwards: []network.Forward{{
		Proto: network.TCP, Port: 80, To: netip.MustParseAddrPort("192.168.0.10:80"), Return: network.ReturnIngress,
	}}}
	order := func() network.State {
		return network.State{
			Bridges: []network.Bridge{{Name: "xenint", Addresses: []netip.Prefix{
				netip.MustParsePrefix("192.168.0.1/16"), netip.MustParsePrefix("2001:db8::1/64"),
			}}},
			Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "xenext"}},
			Guests:      []network.Guest{guest},
		}
	}
	for want, change := range map[string]func(*network.State){
		"": func(*network.State) {},
		"gateway-address-fixed": func(s *network.State) {
			s.Bridges[0].Addresses = append(s.Bridges[0].Addresses, netip.MustParsePrefix("192.168.0.254/32"))
		},
		"gateway-address-outside gateway-address-outside": func(s *network.State) { s.Bridges[0].Addresses = nil },
		"gateway-no-masquerade":                           func(s *network.State) { s.Masquerades = nil },
		"gateway-return-path": func(s *network.State) {
			g := guest
			g.Forwards = []network.Forward{g.Forwards[0]}
			g.Forwards[0].Return = network.ReturnGateway
			elsewhere := g
			elsewhere.Ports = []network.Port{{Bridge: "xenext"}}
			s.Guests = []network.Guest{g, elsewhere}
		},
	} {
		s := order()
		change(&s)
		var got []string
		for _, f := range Findings(curacao(), s) {
			got = append(got, f.Code)
		}
		assert.Equal(t, want, strings.Join(got, " "))
	}
	assert.Empty(t, Findings(curacao(), network.State{Masquerades: order().Masquerades}), "a bridge made by hand is not known")
}
