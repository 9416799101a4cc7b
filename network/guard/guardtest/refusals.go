package guardtest

import (
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
)

// refuses checks that Set and Apply say word and change nothing.
func (s suite) refuses(t *testing.T, word error, g guard.Guest) {
	t.Helper()
	before, err := s.Manager.Read(t.Context())
	require.NoError(t, err)
	err = s.Manager.Set(t.Context(), g)
	require.ErrorIs(t, err, word)
	var failed *guard.Error
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "set", failed.Op)
	assert.Equal(t, g.UUID.String(), failed.Name)
	_, err = s.Manager.Apply(t.Context(), before.With(g))
	require.ErrorIs(t, err, word)
	s.holds(t, before)
}

// with is guest 2 changed.
func with(change func(*guard.Port)) guard.Guest {
	g := guest(2)
	change(&g.Ports[0])
	return g
}

func (s suite) conflicts(t *testing.T) {
	first := guest(1)
	first.Ports[0].Networks = []netip.Prefix{netip.MustParsePrefix("2001:db8:1:1::/64")}
	s.mustSet(t, first)
	for _, change := range []func(*guard.Port){
		func(p *guard.Port) { p.Vif = first.Ports[0].Vif },
		func(p *guard.Port) { p.MAC = first.Ports[0].MAC },
		func(p *guard.Port) { p.Addresses[0] = first.Ports[0].Addresses[0] },
		func(p *guard.Port) { p.Addresses[1] = first.Ports[0].Addresses[1] },
		func(p *guard.Port) { p.Addresses[1] = netip.MustParseAddr("2001:db8:1:1::9") },
		func(p *guard.Port) { p.Networks = first.Ports[0].Networks },
	} {
		s.refuses(t, network.ErrConflict, with(change))
	}
}

func (s suite) invalid(t *testing.T) {
	s.mustSet(t, guest(1))
	network64 := func(text string) func(*guard.Port) {
		return func(p *guard.Port) { p.Networks = []netip.Prefix{netip.MustParsePrefix(text)} }
	}
	for _, change := range []func(*guard.Port){
		func(p *guard.Port) { p.Vif = "" },
		func(p *guard.Port) { p.Vif = "x0000000000.0" },
		func(p *guard.Port) { p.Vif = `x"; flush` },
		func(p *guard.Port) { p.MAC = network.MAC{} },
		func(p *guard.Port) { p.MAC[0] = 1 },
		func(p *guard.Port) { p.Addresses[0] = netip.Addr{} },
		func(p *guard.Port) { p.Addresses[0] = netip.MustParseAddr("0.0.0.0") },
		func(p *guard.Port) { p.Addresses[0] = netip.MustParseAddr("224.0.0.1") },
		func(p *guard.Port) { p.Addresses[0] = netip.MustParseAddr("fe80::1%eth0") },
		func(p *guard.Port) { p.Networks = []netip.Prefix{{}} },
		network64("10.0.0.0/24"), network64("2001:db8::/63"), network64("2001:db8::/65"), network64("fe80::/64"),
		network64("ff02::/64"), network64("::/64"),
	} {
		s.refuses(t, network.ErrInvalid, with(change))
	}
	g := guest(2)
	g.UUID = uuid.Nil
	s.refuses(t, network.ErrInvalid, g)
	_, err := s.Manager.Apply(t.Context(), guard.State{Guests: []guard.Guest{guest(3), guest(3)}})
	require.ErrorIs(t, err, network.ErrInvalid)
}

func (s suite) dom0(t *testing.T) {
	s.mustSet(t, guest(1))
	s.refuses(t, network.ErrForeign, with(func(p *guard.Port) { p.Vif = s.Uplink }))
	s.refuses(t, network.ErrConflict, with(func(p *guard.Port) { p.Addresses[0] = s.Address }))
	s.refuses(t, network.ErrConflict, with(func(p *guard.Port) { p.MAC = s.MAC }))
}

func (s suite) refused(t *testing.T) {
	s.mustSet(t, guest(1))
	s.mustSet(t, guest(2))
	s.refuses(t, network.ErrConflict, with(func(p *guard.Port) { p.MAC = guest(1).Ports[0].MAC }))
	s.holds(t, guard.State{LetUnknown: true, Guests: []guard.Guest{guest(1), guest(2)}})
}
