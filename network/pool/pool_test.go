package pool_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/pool"
)

func Example() {
	private := pool.Addresses{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/29")},
		Except:   []netip.Addr{netip.MustParseAddr("192.168.0.1")}, // the gateway
	}
	have := network.State{Guests: []network.Guest{guest(1, "192.168.0.2"), guest(2, "192.168.0.3")}}
	ip, err := private.Next(have)
	fmt.Println(ip, err)
	fmt.Println(private.Check(netip.MustParseAddr("192.168.0.3"), guest(1).UUID, have))
	mac, err := pool.MACs{}.Next(guest(3).UUID, 0, have)
	fmt.Println(mac, err)
	// Output:
	// 192.168.0.4 <nil>
	// pool: 192.168.0.3 belongs to guest 02000000-0000-0000-0000-000000000000: already taken
	// 00:16:3e:a6:c3:af <nil>
}

func guest(n byte, addresses ...string) network.Guest {
	id := uuid.UUID{n}
	g := network.Guest{UUID: id}
	for i, a := range addresses {
		g.Ports = append(g.Ports, network.Port{Vif: network.VifName(id, i), Bridge: "xenint", MAC: network.MAC{0, 0x16, 0x3e, 0, byte(i), n},
			Addresses: []netip.Addr{netip.MustParseAddr(a)}})
	}
	return g
}

func TestAddresses(t *testing.T) {
	bridge := network.State{Bridges: []network.Bridge{{Name: "xenint", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/30")}}}}
	for _, c := range []struct {
		prefixes string
		taken    []network.State
		want     string
	}{
		{"10.0.0.0/30", nil, "10.0.0.1"},
		{"10.0.0.0/30", []network.State{bridge}, "10.0.0.2"},
		{"10.0.0.0/30", []network.State{bridge, {Guests: []network.Guest{guest(1, "10.0.0.2")}}}, ""},
		{"10.0.0.0/31", nil, "10.0.0.0"},
		{"10.0.0.7/32", nil, "10.0.0.7"},
		{"fd00::/64", nil, "fd00::1"},
		{"fd00::/64", []network.State{{Guests: []network.Guest{guest(1, "fd00::1", "fd00::3")}}}, "fd00::2"},
		{"255.255.255.254/31", []network.State{{Guests: []network.Guest{guest(1, "255.255.255.254", "255.255.255.255")}}}, ""},
	} {
		got, err := pool.Addresses{Prefixes: []netip.Prefix{netip.MustParsePrefix(c.prefixes)}}.Next(c.taken...)
		if c.want == "" {
			require.ErrorIs(t, err, pool.ErrExhausted, c.prefixes)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, c.want, got.String())
	}
	_, err := pool.Addresses{Prefixes: []netip.Prefix{{}}}.Next()
	require.ErrorIs(t, err, network.ErrInvalid)
}

func TestCheck(t *testing.T) {
	p := pool.Addresses{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.9.0/24")},
		Except: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	have := network.State{Guests: []network.Guest{guest(1, "10.0.0.5")}}
	check := func(a string) error { return p.Check(netip.MustParseAddr(a), guest(1).UUID, have) }
	require.NoError(t, check("10.0.0.5"), "its own")
	require.NoError(t, check("::ffff:10.0.9.9"))
	for _, a := range []string{"10.0.0.0", "10.0.0.1", "10.0.0.255", "10.0.1.1", "fd00::1"} {
		require.ErrorIs(t, check(a), network.ErrInvalid, a)
	}
	require.ErrorIs(t, p.Check(netip.MustParseAddr("10.0.0.5"), guest(2).UUID, have), network.ErrConflict)
}

// TestNextIsFree: what Next gives, Check allows, and a host takes it.
func TestNextIsFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pool.Addresses{Prefixes: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "base")}), rapid.IntRange(27, 30).Draw(t, "bits"))}}
		var s network.State
		for n := range byte(40) {
			id := uuid.UUID{n + 1}
			ip, err := p.Next(s)
			if err != nil {
				require.ErrorIs(t, err, pool.ErrExhausted)
				require.GreaterOrEqual(t, int(n), 1<<(32-p.Prefixes[0].Bits())-2)
				return
			}
			require.NoError(t, p.Check(ip, id, s))
			mac, err := pool.MACs{}.Next(id, 0, s)
			require.NoError(t, err)
			s = s.With(network.Guest{UUID: id, Ports: []network.Port{{Vif: network.VifName(id, 0), Bridge: "xenint", MAC: mac, Addresses: []netip.Addr{ip}}}})
			require.NoError(t, s.Validate())
		}
	})
}

func TestMACs(t *testing.T) {
	a, err := pool.MACs{}.Next(uuid.UUID{1}, 0)
	require.NoError(t, err)
	second, err := pool.MACs{}.Next(uuid.UUID{1}, 1)
	require.NoError(t, err)
	assert.NotEqual(t, a, second)
	thief := guest(2, "10.0.0.1")
	thief.Ports[0].MAC = a
	other, err := pool.MACs{}.Next(uuid.UUID{1}, 0, network.State{Guests: []network.Guest{thief}})
	require.NoError(t, err)
	assert.NotEqual(t, a, other)
	mine := guest(1, "10.0.0.1")
	mine.Ports[0].MAC = a
	again, err := pool.MACs{}.Next(uuid.UUID{1}, 0, network.State{Guests: []network.Guest{mine}})
	require.NoError(t, err)
	assert.Equal(t, a, again, "what it has it keeps")
	_, err = pool.MACs{Prefix: [3]byte{1, 2, 3}}.Next(uuid.UUID{1}, 0)
	require.ErrorIs(t, err, network.ErrInvalid)
}
