package host_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
	"github.com/xenhost/xenhost/xen/xentest"
)

// seen tells what guards a guest at the moment at which its domain is created.
type seen struct {
	*xentest.Fake
	guard *guardtest.Fake
	ports [][]guard.Port
}

func (s *seen) Create(ctx context.Context, spec xen.Spec, opts *xen.CreateOptions) (xen.Domain, error) {
	have, err := s.guard.Read(ctx)
	if err != nil {
		return xen.Domain{}, err
	}
	g, _ := have.Guest(spec.UUID)
	s.ports = append(s.ports, g.Ports)
	return s.Fake.Create(ctx, spec, opts)
}

// guarded is a host on fakes that has a guard; address 192.168.0.1 is dom0's.
func guarded(t *testing.T) (*world, *seen) {
	t.Helper()
	w := &world{
		domains: xentest.New(nil), volumes: lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests"}),
		network: networktest.New(nil), state: t.TempDir(),
	}
	s := &seen{Fake: w.domains, guard: guardtest.New(guard.Dom0{
		Addresses: map[netip.Addr]string{netip.MustParseAddr("192.168.0.1"): "dom0 on xenint"},
	})}
	w.Host = host.New(host.Config{Name: "curacao", Domains: s, Volumes: w.volumes, Network: w.network, Guard: s.guard, StateDir: w.state})
	return w, s
}

func guardOf(t *testing.T, s *seen) guard.State {
	t.Helper()
	have, err := s.guard.Read(t.Context())
	require.NoError(t, err)
	return have
}

func TestGuardIsThereBeforeTheDomain(t *testing.T) {
	w, s := guarded(t)
	ctx, want := t.Context(), guard.Of(web1(t).Network())
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	_, err = w.Stop(ctx, id)
	require.NoError(t, err)
	s.guard.Flush()
	require.NoError(t, w.Start(ctx, id))
	w.domains.PowerOff()
	w.domains.PowerOn()
	s.guard.Flush()
	report, err := w.Boot(ctx)
	require.NoError(t, err)
	require.Len(t, report.Started, 1)
	assert.Equal(t, [][]guard.Port{want.Ports, want.Ports, want.Ports}, s.ports, "provisioned, started, booted")
	assert.Equal(t, guard.State{Guests: []guard.Guest{want}}, guardOf(t, s), "Boot knows all guests, so others may not send")
	require.NoError(t, w.Terminate(ctx, id))
	assert.Equal(t, guard.State{}, guardOf(t, s))
}

func TestNoDomainWithoutGuard(t *testing.T) {
	w, s := guarded(t)
	ctx, broken := t.Context(), errors.New("nft is not there")
	greedy := web1(t)
	greedy.Nics[0].Addresses[0] = netip.MustParseAddr("192.168.0.1")
	greedy.Forwards = nil
	_, err := w.Provision(ctx, greedy, nil)
	require.ErrorIs(t, err, network.ErrConflict, "dom0's own address")
	s.guard.Fail("set", broken)
	_, err = w.Provision(ctx, web1(t), nil)
	require.ErrorIs(t, err, broken)
	_, err = w.Provision(ctx, web1(t), &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err)
	s.guard.Fail("set", broken)
	require.ErrorIs(t, w.Start(ctx, id), broken)
	require.NoError(t, w.Start(ctx, id))
	w.domains.PowerOff()
	w.domains.PowerOn()
	s.guard.Fail("apply", broken)
	_, err = w.Boot(ctx)
	require.ErrorIs(t, err, broken)
	assert.Len(t, s.ports, 1, "only the start that had a guard came to a domain")
}

func TestGuardFollowsAMove(t *testing.T) {
	w, s := guarded(t)
	handAway(t, w)
	require.Len(t, guardOf(t, s).Guests, 1)
	l := hold(t, w)
	require.NoError(t, l.SetRecord(record(owner.Released, 2, "islay")))
	require.NoError(t, l.PutAside(t.Context()))
	assert.Empty(t, guardOf(t, s).Guests, "who is away is unknown here")
}

// A routed guest has no bridge anywhere: not in its domain, not in the network,
// not in the guard; and it is made again so at boot.
func TestRoutedGuest(t *testing.T) {
	w, s := guarded(t)
	ctx, g := t.Context(), web1(t)
	g.Nics[0] = host.Nic{
		MAC: g.Nics[0].MAC, Routed: true, Uplink: "xenext",
		Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("2001:db8::10")},
		Networks:  []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/64")},
	}
	g.Forwards = nil
	bad := g
	bad.Nics = []host.Nic{g.Nics[0]}
	bad.Nics[0].Bridge = "xenint"
	require.Error(t, bad.Validate())
	_, err := w.Provision(ctx, g, nil)
	require.NoError(t, err)
	holds := func() {
		have, err := w.network.Read(ctx)
		require.NoError(t, err)
		assert.Equal(t, []network.Guest{g.Network().Normalize()}, have.Guests)
		require.True(t, have.Guests[0].Ports[0].Routed)
		guarded, _ := guardOf(t, s).Guest(id)
		assert.Equal(t, guard.Of(g.Network()).Normalize(), guarded)
		assert.Equal(t, guarded.Ports, s.ports[len(s.ports)-1], "before its domain was there")
	}
	holds()
	assert.Equal(t, []xen.Vif{{Name: network.VifName(id, 0), Routed: true, MAC: g.Nics[0].MAC}}, g.Spec(nil).Vifs)
	w.domains.PowerOff()
	w.domains.PowerOn()
	s.guard.Flush()
	_, err = w.Boot(ctx)
	require.NoError(t, err)
	holds()
	require.NoError(t, w.Terminate(ctx, id))
	have, err := w.network.Read(ctx)
	require.NoError(t, err)
	assert.Empty(t, have.Guests)
}
