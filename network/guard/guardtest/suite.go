package guardtest

import (
	"context"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
)

// Site is a host without a guard.
type Site struct {
	Manager guard.Manager
	// Uplink is an interface that leads out of the host; dom0 has Address and
	// MAC on it.
	Uplink  string
	Address netip.Addr
	MAC     network.MAC
	// Flush removes all rules of the host, as somebody else would.
	Flush func(t *testing.T)
}

// TestManager is the conformance suite of guard.Manager. site is called for
// each case and gives a fresh host.
func TestManager(t *testing.T, site func(t *testing.T) Site) {
	for _, c := range []struct {
		name string
		run  func(s suite, t *testing.T)
	}{
		{"a fresh host is open", suite.fresh},
		{"what is set is read", suite.set},
		{"setting again changes nothing", suite.setAgain},
		{"a guest's part is replaced whole", suite.replace},
		{"guests do not touch each other", suite.apart},
		{"removing what is not there is no error", suite.remove},
		{"a plan is applied and then empty", suite.apply},
		{"applying closes the door to unknown vifs", suite.unknown},
		{"opening removes the guard", suite.open},
		{"after a flush all is made again", suite.flush},
		{"what two ports want is a conflict", suite.conflicts},
		{"what no host takes is invalid", suite.invalid},
		{"dom0's own are refused", suite.dom0},
		{"a refused change leaves the old part", suite.refused},
		{"many set at the same time", suite.concurrent},
		{"a cancelled call changes nothing", suite.cancelled},
		{"what is passed in is copied", suite.copies},
		{"a fresh guard has dropped nothing", suite.drops},
		{"a guest is routed", suite.routed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(suite{site(t)}, t) })
	}
}

type suite struct{ Site }

// guest number n has one port, with an address of each protocol.
func guest(n byte) guard.Guest {
	id := uuid.UUID{0xa0, 0, 0, n, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
	return guard.Guest{UUID: id, Ports: []guard.Port{{
		Vif: network.VifName(id, 0), MAC: network.MAC{0, 0x16, 0x3e, 0, 0, n},
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 99, 0, n}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: n})},
	}}}
}

func (s suite) holds(t *testing.T, want guard.State) {
	t.Helper()
	have, err := s.Manager.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want.Normalize(), have)
}

func (s suite) mustSet(t *testing.T, g guard.Guest) {
	t.Helper()
	require.NoError(t, s.Manager.Set(t.Context(), g))
}

func (s suite) mustApply(t *testing.T, want guard.State) {
	t.Helper()
	before, err := s.Manager.Read(t.Context())
	require.NoError(t, err)
	plan, err := s.Manager.Apply(t.Context(), want)
	require.NoError(t, err)
	assert.Equal(t, guard.Plan(before, want), plan)
	s.holds(t, want)
}

func (s suite) fresh(t *testing.T) { s.holds(t, guard.State{Open: true}) }

func (s suite) set(t *testing.T) {
	g := guest(1)
	g.Ports = append(g.Ports, guard.Port{
		Vif: network.VifName(g.UUID, 1), MAC: network.MAC{0, 0x16, 0x3e, 1, 0, 1},
		Addresses: []netip.Addr{netip.MustParseAddr("fe80::1:2"), netip.MustParseAddr("64:ff9b::1"), netip.MustParseAddr("::ffff:10.99.1.1")},
		Networks:  []netip.Prefix{netip.MustParsePrefix("2001:db8:0:1::7/64"), netip.MustParsePrefix("1:2:3:4::/64")},
	}, guard.Port{Vif: network.VifName(g.UUID, 2), MAC: network.MAC{0, 0x16, 0x3e, 1, 0, 2}})
	s.mustSet(t, g)
	s.holds(t, guard.State{LetUnknown: true, Guests: []guard.Guest{g}})
}

func (s suite) setAgain(t *testing.T) {
	for range 2 {
		s.mustSet(t, guest(1))
		s.holds(t, guard.State{LetUnknown: true, Guests: []guard.Guest{guest(1)}})
	}
}

func (s suite) replace(t *testing.T) {
	s.mustSet(t, guest(1))
	g := guest(1)
	g.Ports[0].MAC[3] = 7
	g.Ports[0].Addresses = []netip.Addr{netip.MustParseAddr("10.99.0.77")}
	s.mustSet(t, g)
	s.holds(t, guard.State{LetUnknown: true, Guests: []guard.Guest{g}})
	s.mustSet(t, guard.Guest{UUID: g.UUID})
	s.holds(t, guard.State{LetUnknown: true})
}

func (s suite) apart(t *testing.T) {
	for n := range byte(3) {
		s.mustSet(t, guest(n+1))
	}
	require.NoError(t, s.Manager.Remove(t.Context(), guest(2).UUID))
	s.holds(t, guard.State{LetUnknown: true, Guests: []guard.Guest{guest(1), guest(3)}})
}

func (s suite) remove(t *testing.T) {
	require.NoError(t, s.Manager.Remove(t.Context(), guest(1).UUID))
	s.holds(t, guard.State{Open: true})
	s.mustSet(t, guest(1))
	for range 2 {
		require.NoError(t, s.Manager.Remove(t.Context(), guest(1).UUID))
		s.holds(t, guard.State{LetUnknown: true})
	}
}

func (s suite) apply(t *testing.T) {
	s.mustApply(t, guard.State{})
	s.mustApply(t, guard.State{Guests: []guard.Guest{guest(1), guest(2)}})
	changed := guest(2)
	changed.Ports[0].Addresses[0] = netip.MustParseAddr("10.99.0.3")
	s.mustApply(t, guard.State{Guests: []guard.Guest{changed, guest(4)}})
	plan, err := s.Manager.Apply(t.Context(), guard.State{Guests: []guard.Guest{guest(4), changed}})
	require.NoError(t, err)
	assert.Empty(t, plan)
	// A vif that goes from one guest to another is both removed and added.
	moved := guest(5)
	moved.Ports = guest(4).Ports
	s.mustApply(t, guard.State{Guests: []guard.Guest{moved}})
}

func (s suite) unknown(t *testing.T) {
	s.mustSet(t, guest(1))
	s.mustApply(t, guard.State{Guests: []guard.Guest{guest(1)}})
	s.mustSet(t, guest(2))
	s.holds(t, guard.State{Guests: []guard.Guest{guest(1), guest(2)}})
	s.mustApply(t, guard.State{LetUnknown: true})
}

func (s suite) open(t *testing.T) {
	s.mustApply(t, guard.State{Guests: []guard.Guest{guest(1)}})
	s.mustApply(t, guard.State{Open: true})
	s.mustApply(t, guard.State{Open: true})
	_, err := s.Manager.Apply(t.Context(), guard.State{Open: true, Guests: []guard.Guest{guest(1)}})
	require.ErrorIs(t, err, network.ErrInvalid)
}

func (s suite) flush(t *testing.T) {
	want := guard.State{Guests: []guard.Guest{guest(1), guest(2)}}
	s.mustApply(t, want)
	s.Flush(t)
	s.holds(t, guard.State{Open: true})
	s.mustApply(t, want)
	s.Flush(t)
	s.mustSet(t, guest(2))
	s.holds(t, guard.State{LetUnknown: true, Guests: []guard.Guest{guest(2)}})
}

func (s suite) concurrent(t *testing.T) {
	const n = 8
	var wait sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wait.Go(func() { errs[i] = s.Manager.Set(t.Context(), guest(byte(i+1))) })
	}
	wait.Wait()
	want := guard.State{LetUnknown: true}
	for i := range n {
		require.NoError(t, errs[i])
		want.Guests = append(want.Guests, guest(byte(i+1)))
	}
	s.holds(t, want)
}

func (s suite) cancelled(t *testing.T) {
	s.mustSet(t, guest(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Manager.Read(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Manager.Apply(ctx, guard.State{})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.Manager.Set(ctx, guest(2)), context.Canceled)
	require.ErrorIs(t, s.Manager.Remove(ctx, guest(1).UUID), context.Canceled)
	_, err = s.Manager.Drops(ctx)
	require.ErrorIs(t, err, context.Canceled)
	s.holds(t, guard.State{LetUnknown: true, Guests: []guard.Guest{guest(1)}})
}

func (s suite) copies(t *testing.T) {
	g := guest(1)
	s.mustSet(t, g)
	g.Ports[0].Addresses[0] = netip.MustParseAddr("10.99.0.2")
	have, err := s.Manager.Read(t.Context())
	require.NoError(t, err)
	have.Guests[0].Ports[0].Addresses[0] = netip.MustParseAddr("10.99.0.3")
	s.holds(t, guard.State{LetUnknown: true, Guests: []guard.Guest{guest(1)}})
}

func (s suite) drops(t *testing.T) {
	d, err := s.Manager.Drops(t.Context())
	require.NoError(t, err)
	assert.Zero(t, d, "without rules nothing is dropped")
	s.mustApply(t, guard.State{Guests: []guard.Guest{guest(1)}})
	d, err = s.Manager.Drops(t.Context())
	require.NoError(t, err)
	assert.Zero(t, d)
}

func (s suite) routed(t *testing.T) {
	g := guest(2)
	g.Ports[0].Routed = true
	g.Ports[0].Networks = []netip.Prefix{
		netip.MustParsePrefix("10.98.0.0/29"), netip.MustParsePrefix("10.97.0.1/32"), netip.MustParsePrefix("2001:db8:7::/48"), netip.MustParsePrefix("2001:db8:8::1/128"),
	}
	s.mustSet(t, guest(1))
	s.mustSet(t, g)
	s.holds(t, guard.State{LetUnknown: true, Guests: []guard.Guest{guest(1), g}})
	s.mustApply(t, guard.State{Guests: []guard.Guest{guest(1), g}})
	s.refuses(t, network.ErrConflict, with3(func(p *guard.Port) { p.Networks = []netip.Prefix{netip.MustParsePrefix("2001:db8:7:1::/64")} }))
	s.refuses(t, network.ErrConflict, with3(func(p *guard.Port) { p.Addresses[0] = netip.MustParseAddr("10.98.0.3") }))
	s.refuses(t, network.ErrInvalid, with3(func(p *guard.Port) { p.Routed, p.Networks = true, []netip.Prefix{netip.MustParsePrefix("::/0")} }))
	less := guest(2)
	less.Ports[0].Routed = true
	s.mustApply(t, guard.State{Guests: []guard.Guest{guest(1), less}})
	s.mustApply(t, guard.State{Guests: []guard.Guest{guest(1), guest(2)}}) // on a bridge now
	s.mustApply(t, guard.State{Guests: []guard.Guest{g}})
	require.NoError(t, s.Manager.Remove(t.Context(), g.UUID))
	s.holds(t, guard.State{})
}

// with3 is guest 3 changed.
func with3(change func(*guard.Port)) guard.Guest {
	g := guest(3)
	change(&g.Ports[0])
	return g
}
