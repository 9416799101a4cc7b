package networktest

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/ether"
	"github.com/xenhost/xenhost/network"
)

// Site is a host on which nothing carries our mark yet.
type Site struct {
	Manager network.Manager
	// Foreign is a bridge made by hand, with one port and one IPv4 address.
	Foreign network.Bridge
	// Free are two interfaces that are in no bridge.
	Free [2]string
	// Lacks are kinds of interfaces that the kernel can not make: "bond", "vlan".
	Lacks []string
	// Listen lets something in dom0 listen until the test ends.
	Listen func(t *testing.T, proto network.Proto, at netip.AddrPort)
}

// TestManager is the conformance suite of network.Manager. site is called for
// each case and gives a fresh host.
func TestManager(t *testing.T, site func(t *testing.T) Site) {
	for _, c := range []struct {
		name string
		run  func(s suite, t *testing.T)
	}{
		{"a fresh host has nothing of ours", suite.fresh},
		{"what is set is read", suite.set},
		{"setting again changes nothing", suite.setAgain},
		{"a guest's part is replaced whole", suite.replace},
		{"a guest without ports and forwards is kept", suite.bareGuest},
		{"removing what is not there is no error", suite.remove},
		{"guests do not touch each other", suite.apart},
		{"what two guests want is a conflict", suite.conflicts},
		{"different addresses share a port", suite.listenApart},
		{"what no host takes is invalid", suite.invalid},
		{"each kind of forward is read as it was set", suite.kinds},
		{"forwards change their kind", suite.changeKind},
		{"a range meets what is inside it", suite.ranges},
		{"a whole address is one guest's", suite.wholeAddress},
		{"guests share a port", suite.spread},
		{"IPv4 and IPv6 ports are apart", suite.familiesApart},
		{"what no forward can be is invalid", suite.badForwards},
		{"masquerades of each kind", suite.masquerades},
		{"dom0 keeps its ports", suite.reserved},
		{"an interface tells its MTU", suite.mtu},
		{"a bridge must be there", suite.noBridge},
		{"a refused change leaves the old part", suite.refused},
		{"a plan is applied and then empty", suite.apply},
		{"guests swap ports in one apply", suite.swap},
		{"applying nothing leaves what is foreign", suite.applyNothing},
		{"a foreign bridge is used as it is", suite.foreignBridge},
		{"a foreign bridge is never changed", suite.foreignRefused},
		{"interfaces of ours move between bridges", suite.movePorts},
		{"an interface must be there and free", suite.badInterfaces},
		{"a masquerade has a source and a way out", suite.badMasquerades},
		{"what contradicts itself is refused whole", suite.twins},
		{"a bridge in use is not removed", suite.bridgeInUse},
		{"a bond carries a bridge", suite.bond},
		{"a vlan is a bridge's port", suite.vlan},
		{"a vxlan is a bridge's port", suite.vxlan},
		{"a bond, a vlan on it and a bridge on that", suite.tower},
		{"what no interface can be is refused", suite.badLinks},
		{"a guest is routed", suite.routed},
		{"a guest changes between bridge and route", suite.changePlace},
		{"a routed guest's uplink must be there", suite.noUplink},
		{"what no routed guest can have is invalid", suite.badRouted},
		{"networks of routed guests do not meet", suite.networksApart},
		{"many set at the same time", suite.concurrent},
		{"a cancelled call changes nothing", suite.cancelled},
		{"what is passed in is copied", suite.copies},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(suite{site(t)}, t) })
	}
}

// suite is one case's host.
type suite struct{ Site }

// guest is guest number n on the foreign bridge, with one address and one
// forward to it.
func (s suite) guest(n byte) network.Guest {
	id := uuid.UUID{0xa0, 0, 0, n, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
	addr := netip.AddrFrom4([4]byte{10, 99, 0, n})
	return network.Guest{
		UUID: id,
		Ports: []network.Port{{
			Vif: network.VifName(id, 0), Bridge: s.Foreign.Name,
			MAC: ether.Addr{0, 0x16, 0x3e, 0, 0, n}, Addresses: []netip.Addr{addr},
		}},
		Forwards: []network.Forward{{Proto: network.TCP, Port: 8000 + uint16(n), To: netip.AddrPortFrom(addr, 80)}},
	}
}

func (s suite) read(t *testing.T) network.State {
	t.Helper()
	have, err := s.Manager.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, have.Normalize(), have, "Read gives the normal form")
	return have
}

// holds checks that exactly the wanted state is there, and recorded.
func (s suite) holds(t *testing.T, want network.State) {
	t.Helper()
	assert.Equal(t, want.Normalize(), s.read(t))
	recorded, err := s.Manager.Recorded(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want.Normalize(), recorded.Normalize())
}

func (s suite) set(t *testing.T) {
	g := s.guest(1)
	second := netip.MustParseAddr("10.99.1.1")
	g.Ports = append(g.Ports, network.Port{
		Vif: network.VifName(g.UUID, 1), Bridge: s.Foreign.Name, MAC: ether.Addr{0, 0x16, 0x3e, 1, 0, 1},
		Addresses: []netip.Addr{second, netip.MustParseAddr("2001:db8::1")},
	})
	g.Forwards = append(g.Forwards,
		network.Forward{Proto: network.UDP, Port: 53, To: netip.AddrPortFrom(second, 5353), Return: network.ReturnIngress},
		network.Forward{Proto: network.TCP, Listen: netip.MustParseAddr("198.51.100.9"), Port: 65535, To: netip.AddrPortFrom(second, 1)},
	)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, network.State{Guests: []network.Guest{g}})
}

func (s suite) fresh(t *testing.T) { s.holds(t, network.State{}) }

func (s suite) setAgain(t *testing.T) {
	for range 2 {
		require.NoError(t, s.Manager.Set(t.Context(), s.guest(1)))
		s.holds(t, network.State{Guests: []network.Guest{s.guest(1)}})
	}
}

func (s suite) replace(t *testing.T) {
	g := s.guest(1)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	g.Ports[0].MAC[3] = 7
	g.Ports[0].Addresses[0] = netip.MustParseAddr("10.99.0.77")
	g.Forwards = []network.Forward{{Proto: network.UDP, Port: 8001, To: netip.MustParseAddrPort("10.99.0.77:81")}}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, network.State{Guests: []network.Guest{g}})
}

func (s suite) bareGuest(t *testing.T) {
	g := network.Guest{UUID: s.guest(1).UUID}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, network.State{Guests: []network.Guest{g}})
}

func (s suite) remove(t *testing.T) {
	require.NoError(t, s.Manager.Remove(t.Context(), s.guest(1).UUID))
	require.NoError(t, s.Manager.Set(t.Context(), s.guest(1)))
	for range 2 {
		require.NoError(t, s.Manager.Remove(t.Context(), s.guest(1).UUID))
		s.holds(t, network.State{})
	}
}

func (s suite) apart(t *testing.T) {
	for n := range byte(3) {
		require.NoError(t, s.Manager.Set(t.Context(), s.guest(n+1)))
	}
	require.NoError(t, s.Manager.Remove(t.Context(), s.guest(2).UUID))
	s.holds(t, network.State{Guests: []network.Guest{s.guest(1), s.guest(3)}})
}

func (s suite) concurrent(t *testing.T) {
	const n = 8
	var wait sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wait.Go(func() { errs[i] = s.Manager.Set(t.Context(), s.guest(byte(i+1))) })
	}
	wait.Wait()
	var want network.State
	for i := range n {
		require.NoError(t, errs[i])
		want.Guests = append(want.Guests, s.guest(byte(i+1)))
	}
	s.holds(t, want)
}

func (s suite) cancelled(t *testing.T) {
	require.NoError(t, s.Manager.Set(t.Context(), s.guest(1)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Manager.Read(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Manager.Apply(ctx, network.State{})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.Manager.Set(ctx, s.guest(2)), context.Canceled)
	require.ErrorIs(t, s.Manager.Remove(ctx, s.guest(1).UUID), context.Canceled)
	s.holds(t, network.State{Guests: []network.Guest{s.guest(1)}})
}

func (s suite) copies(t *testing.T) {
	g := s.guest(1)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	g.Ports[0].Addresses[0] = netip.MustParseAddr("10.99.0.2")
	g.Forwards[0].Port = 1
	s.read(t).Guests[0].Forwards[0].Port = 2
	s.holds(t, network.State{Guests: []network.Guest{s.guest(1)}})
}

func (s suite) noBridge(t *testing.T) {
	g := s.guest(1)
	g.Ports[0].Bridge = "nosuch0"
	require.ErrorIs(t, s.Manager.Set(t.Context(), g), fs.ErrNotExist)
	_, err := s.Manager.Apply(t.Context(), network.State{Guests: []network.Guest{g}})
	require.ErrorIs(t, err, fs.ErrNotExist)
	s.holds(t, network.State{})
}

// refusedWith checks that Set says word and changes nothing.
func (s suite) refusedWith(t *testing.T, word error, g network.Guest) {
	t.Helper()
	before := s.read(t)
	err := s.Manager.Set(t.Context(), g)
	require.ErrorIs(t, err, word)
	var e *network.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "set", e.Op)
	assert.Equal(t, fmt.Sprint(g.UUID), e.Name)
	assert.Equal(t, before, s.read(t))
}
