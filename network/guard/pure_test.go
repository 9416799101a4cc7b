package guard

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/network"
)

func web1() Guest {
	id := uuid.MustParse("7f3a0b1c-0000-4000-8000-000000000001")
	return Guest{UUID: id, Ports: []Port{{
		Vif: network.VifName(id, 0), MAC: network.MAC{0, 0x16, 0x3e, 0, 0, 1},
		Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.10"), netip.MustParseAddr("64:ff9b::a")},
		Networks:  []netip.Prefix{netip.MustParsePrefix("2001:db8:1:2::/64"), netip.MustParsePrefix("1:2:3:4::/64")},
	}}}
}

// The file is what nft 1.0.6 listed after Apply of this state.
func TestListing(t *testing.T) {
	text, err := os.ReadFile("testdata/nft-1.0.6.json")
	require.NoError(t, err)
	l, err := parse(bridge, text)
	require.NoError(t, err)
	assert.Equal(t, State{Guests: []Guest{web1()}}.Normalize(), l.state())
	assert.EqualValues(t, 3, l.drops["drop_arp"])

	changed, err := parse(bridge, []byte(strings.Replace(string(text), `"accept": null`, `"drop": null`, 1)))
	require.NoError(t, err)
	assert.True(t, changed.state().Open)
	for _, broken := range []string{"", "{", `{"nftables": [{"set": {"name": "v6", "elem": [{"concat": ["x", "0xzz"]}]}}]}`,
		`{"nftables": [{"set": {"name": "net6", "elem": [{"concat": ["x", "0x10000000000000000"]}]}}]}`,
		`{"nftables": [{"set": {"name": "macs", "elem": [{"range": [1, 2]}]}}]}`} {
		_, err := parse(bridge, []byte(broken))
		assert.Error(t, err, broken)
	}
	empty, err := parse(bridge, []byte(`{"nftables": []}`))
	require.NoError(t, err)
	assert.Equal(t, State{Open: true}, empty.state(), "an empty table is no guard")
}

// Whatever is listed, a state comes out that could be applied again, or an error.
func FuzzListing(f *testing.F) {
	text, err := os.ReadFile("testdata/nft-1.0.6.json")
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"nftables": [{"set": {"name": "ports", "elem": [{"elem": {"val": "x7f3a0b1c.0", "comment": "no uuid"}}]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parse(bridge, text)
		if err != nil {
			return
		}
		for _, s := range []State{l.state(), stateOf(l.elements)} {
			for _, g := range s.Guests {
				require.NoError(t, State{Guests: []Guest{g}}.Validate())
			}
			require.Equal(t, s, s.Normalize())
		}
	})
}

func anyState() *rapid.Generator[State] {
	return rapid.Custom(func(t *rapid.T) State {
		s := State{LetUnknown: rapid.Bool().Draw(t, "unknown")}
		for n := range rapid.IntRange(0, 4).Draw(t, "guests") {
			g := Guest{UUID: uuid.UUID{byte(n), 1: rapid.Byte().Draw(t, "id"), 15: 1}}
			for i := range rapid.IntRange(0, 2).Draw(t, "ports") {
				p := Port{Vif: network.VifName(g.UUID, i), MAC: network.MAC{2, byte(n), byte(i), 0, 0, rapid.Byte().Draw(t, "mac")}}
				for a := range rapid.IntRange(0, 3).Draw(t, "addresses") {
					p.Addresses = append(p.Addresses, netip.AddrFrom4([4]byte{10, byte(n), byte(i), byte(a + 1)}))
				}
				if rapid.Bool().Draw(t, "six") {
					p.Addresses = append(p.Addresses, netip.AddrFrom16([16]byte{0x20, 1, byte(n), byte(i), 15: 1}))
					p.Networks = append(p.Networks, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 2, byte(n), byte(i), 15: 1}), 64))
				}
				g.Ports = append(g.Ports, p)
			}
			s.Guests = append(s.Guests, g)
		}
		return s
	})
}

// play does to have what the difference of two states says of one table.
func play(have map[element]bool, k kind, a, b State) {
	for line := range strings.Lines(difference(k, a.of(k), b.of(k))) {
		verb, set := strings.Fields(line)[0], strings.Fields(line)[4]
		if verb == "flush" {
			for e := range have {
				if e.in == k && e.set == "ours" {
					delete(have, e)
				}
			}
		}
		for _, e := range map[string][]element{"add": b.of(k), "delete": a.of(k)}[verb] {
			if e.set == set && strings.Contains(line, " "+e.text()) {
				if verb == "add" {
					have[e] = true
				} else {
					delete(have, e)
				}
			}
		}
	}
}

// What is rendered as elements is read back, a plan of equal states is empty,
// and doing the difference of two states gives the second.
func TestElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyState().Draw(t, "a").Normalize(), anyState().Draw(t, "b").Normalize()
		require.NoError(t, a.Validate())
		require.Equal(t, a, stateOf(a.elements()))
		require.Empty(t, Plan(a, a))
		require.Equal(t, equal(a.elements(), b.elements()), Plan(a, b).Empty())

		have := setOf(a.elements())
		for _, k := range kinds() {
			play(have, k, a, b)
		}
		require.Equal(t, setOf(b.elements()), have)
	})
}

func TestOurs(t *testing.T) {
	for _, vif := range []string{"x7f3a0b1c.0", "x00000000.z", "xffffffff.0-emu"} {
		assert.True(t, Ours(vif), vif)
	}
	for _, vif := range []string{"", "x", "xe", "vif7.0", "xenext", "xover0", "X7f3a0b1c.0", "x7F3a0b1c.0", "eth0"} {
		assert.False(t, Ours(vif), vif)
	}
}

func TestOf(t *testing.T) {
	want := web1()
	want.Ports[0].Networks = nil
	assert.Equal(t, want, Of(network.Guest{UUID: want.UUID, Ports: []network.Port{{
		Vif: want.Ports[0].Vif, Bridge: "xenint", MAC: want.Ports[0].MAC, Addresses: want.Ports[0].Addresses,
	}}}))
}

func TestPlanReads(t *testing.T) {
	g := web1()
	assert.Equal(t, `+ guard's rules
+ port x7f3a0b1c.0 of 7f3a0b1c-0000-4000-8000-000000000001
+ mac 00:16:3e:00:00:01 on x7f3a0b1c.0
+ address 192.168.0.10 on x7f3a0b1c.0
+ address 64:ff9b::a on x7f3a0b1c.0
+ network 1:2:3:4::/64 on x7f3a0b1c.0
+ network 2001:db8:1:2::/64 on x7f3a0b1c.0
`, Plan(State{Open: true}, State{Guests: []Guest{g}}).String())
	moved := web1()
	moved.Ports[0].Addresses[0] = netip.MustParseAddr("192.168.0.11")
	assert.Equal(t, "- address 192.168.0.10 on x7f3a0b1c.0\n+ address 192.168.0.11 on x7f3a0b1c.0\n",
		Plan(State{Guests: []Guest{g}}, State{Guests: []Guest{moved}}).String())
	assert.Equal(t, "+ passage for unknown vifs\n", Plan(State{}, State{LetUnknown: true}).String())
}
