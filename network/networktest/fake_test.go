package networktest_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/ether"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/networktest"
)

func web1() network.Guest {
	id := uuid.MustParse("7f3a0000-0000-4000-8000-000000000001")
	return network.Guest{
		UUID: id,
		Ports: []network.Port{{
			Vif: network.VifName(id, 0), Bridge: "xenint", MAC: ether.Addr{0, 0x16, 0x3e, 0, 0, 1},
			Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.10")},
		}},
		Forwards: []network.Forward{{Proto: network.TCP, Port: 8080, To: netip.MustParseAddrPort("192.168.0.10:80")}},
	}
}

func TestFakeFaultsStrikeOnce(t *testing.T) {
	ctx := context.Background()
	f := networktest.New(nil)
	broken := errors.New("plug pulled")

	f.Fail("set", broken)
	require.ErrorIs(t, f.Set(ctx, web1()), broken)
	_, _, ok := f.Lookup(network.TCP, 8080)
	assert.False(t, ok, "Fail changes nothing")

	f.FailAfter("set", broken)
	require.ErrorIs(t, f.Set(ctx, web1()), broken)
	id, to, ok := f.Lookup(network.TCP, 8080)
	assert.True(t, ok, "FailAfter does its work first")
	assert.Equal(t, web1().UUID, id)
	assert.Equal(t, "192.168.0.10:80", to.String())

	require.NoError(t, f.Set(ctx, web1()))
}

func TestFakePrintsItsWorld(t *testing.T) {
	f := networktest.New(nil)
	require.NoError(t, f.Set(context.Background(), web1()))
	assert.Equal(t, `xenext (by hand) eth0 203.0.113.1/24
xenint (by hand) eth1 192.168.0.1/16
guest 7f3a0000-0000-4000-8000-000000000001
port x7f3a0000.0 on xenint mac 00:16:3e:00:00:01 of 7f3a0000-0000-4000-8000-000000000001
address 192.168.0.10 on x7f3a0000.0 of 7f3a0000-0000-4000-8000-000000000001
forward tcp *:8080 -> 192.168.0.10:80 of 7f3a0000-0000-4000-8000-000000000001
`, f.String())
}

func TestFake(t *testing.T) {
	networktest.TestManager(t, func(*testing.T) networktest.Site {
		f := networktest.New(nil)
		return networktest.Site{
			Manager: f,
			Foreign: network.Bridge{
				Name: "xenint", Ports: []string{"eth1"},
				Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.1/16")},
			},
			Free:   [2]string{"eth2", "eth3"},
			Listen: func(_ *testing.T, proto network.Proto, at netip.AddrPort) { f.Listen(proto, at) },
		}
	})
}
