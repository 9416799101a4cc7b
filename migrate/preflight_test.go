package migrate_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/cpuid"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

// TestLiveRefused: each difference of the hosts that a running guest would not
// survive is refused by its name or number, whoever moves, and nothing is
// changed. A cold move does not mind.
func TestLiveRefused(t *testing.T) {
	for name, c := range map[string]struct {
		differ func(w world)
		why    string
	}{
		"a feature of the CPU is missing": {func(w world) {
			w.Machine("islay").Domains.SetCPU(xentest.CPU("AuthenticAMD", cpuid.Set{"1d": 0x178bfbff, "1c": 0x80a02201, "7b0": 0x9}))
		}, "islay: the CPU of the host lacks sse4.1, sse4.2, avx2"},
		"another vendor": {func(w world) {
			w.Machine("islay").Domains.SetCPU(xentest.CPU("GenuineIntel", cpuid.Set{"1d": 0xffffffff, "1c": 0xffffffff, "7b0": 0xffffffff}))
		}, `islay: the domain was started on a CPU of another vendor: "AuthenticAMD"`},
		"an older Xen":       {func(w world) { w.Machine("islay").Domains.SetVersion("4.14.6") }, "Xen 4.14.6 on islay can not take a domain from Xen 4.17.7"},
		"a much older Xen":   {func(w world) { w.Machine("islay").Domains.SetVersion("3.99") }, "Xen 3.99 on islay"},
		"a kernel in tables": {func(w world) { w.define(host.AnyMove, "Linux 4.14.3") }, "the guest runs linux 4.14.3: it breaks when it is moved live (tornadovps.com/documentation/live-migration)"},
		"the guest's policy": {func(w world) { w.define(host.NeverLive, "") }, "the guest is never to be moved live: its definition says never-live"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			c.differ(w)
			w.mode = migrate.Live
			for _, mover := range []string{"curacao", "islay"} {
				_, err := w.move(t.Context(), mover, nil)
				require.ErrorIs(t, err, migrate.ErrRefused)
				require.ErrorContains(t, err, c.why)
				assert.Equal(t, name == "the guest's policy", errors.Is(err, host.ErrNeverLive))
			}
			require.Equal(t, "curacao", w.lives("refused"))
			s, err := w.Host("islay").Guests(t.Context())
			require.NoError(t, err)
			assert.Empty(t, s, "nothing was written there")
			w.mode = migrate.Cold
			_, err = w.move(t.Context(), "curacao", nil)
			require.NoError(t, err)
			require.Equal(t, "islay", w.lives("moved cold"))
		})
	}
}

// define writes the guest's policy down and checks that it is kept.
func (w world) define(policy host.MovePolicy, system string) {
	ctx := w.t.Context()
	require.NoError(w.t, w.Host("curacao").SetMoves(ctx, w.guest.UUID, policy, system))
	s, err := w.Host("curacao").Guest(ctx, w.guest.UUID)
	require.NoError(w.t, err)
	require.Equal(w.t, policy, s.Guest.Moves)
	require.ErrorIs(w.t, w.Host("curacao").SetMoves(ctx, w.guest.UUID, "sometimes", ""), host.ErrInvalid)
	require.ErrorIs(w.t, w.Host("curacao").SetMoves(ctx, w.guest.UUID, "", "linux; reboot"), host.ErrInvalid)
	after, err := w.Host("curacao").Guest(ctx, w.guest.UUID)
	require.NoError(w.t, err)
	require.Equal(w.t, s.Guest, after.Guest, "what was refused changed nothing")
}

// TestNewerXen: to a newer Xen, or one with more in its CPU, a guest goes live.
// It keeps what it saw, so that the way back is open too.
func TestNewerXen(t *testing.T) {
	w := newWorld(t, nil)
	w.mode = migrate.Live
	w.Machine("islay").Domains.SetVersion("4.20.1")
	w.Machine("islay").Domains.SetCPU(xentest.CPU("AuthenticAMD", cpuid.Set{"1d": 0x178bfbff, "1c": 0x80b82203, "7b0": 0x2029}))
	_, err := w.move(t.Context(), "curacao", nil)
	require.NoError(t, err)
	require.Equal(t, "islay", w.lives("moved"))
	w.from, w.to = "islay", "curacao"
	_, err = w.move(t.Context(), "curacao", nil)
	require.ErrorContains(t, err, "Xen 4.17.7 on curacao can not take a domain from Xen 4.20.1")
	w.Machine("islay").Domains.SetVersion("4.17.7")
	_, err = w.move(t.Context(), "curacao", nil)
	require.NoError(t, err)
	require.Equal(t, "curacao", w.lives("and back"))
}

// TestMTU: a bridge with smaller frames is refused by both numbers, a larger one
// is taken.
func TestMTU(t *testing.T) {
	w := newWorld(t, nil)
	w.Machine("curacao").Network.SetMTU("xenint", 9000)
	for _, mode := range []migrate.Mode{migrate.Cold, migrate.Live} {
		w.mode = mode
		_, err := w.move(t.Context(), "curacao", nil)
		require.ErrorIs(t, err, migrate.ErrRefused)
		require.ErrorContains(t, err, "islay: bridge xenint has an MTU of 1500, and of 9000 on curacao")
	}
	w.Machine("islay").Network.SetMTU("xenint", 9216)
	_, err := w.move(t.Context(), "islay", nil)
	require.NoError(t, err)
	require.Equal(t, "islay", w.lives("moved"))
}

// TestAddressTaken: what another guest of the target has is seen before
// anything is copied, not after the commit.
func TestAddressTaken(t *testing.T) {
	for name, take := range map[string]func(w world, g *host.Guest){
		"address": func(w world, g *host.Guest) { g.Nics[0].Addresses = w.guest.Nics[0].Addresses },
		"mac":     func(w world, g *host.Guest) { g.Nics[0].MAC = w.guest.Nics[0].MAC },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			g := w.Guest("other", 1<<20)
			take(w, &g)
			_, err := w.Provision(t.Context(), "islay", g)
			require.NoError(t, err)
			_, err = w.move(t.Context(), "curacao", nil)
			require.ErrorIs(t, err, migrate.ErrRefused)
			require.ErrorContains(t, err, "belongs to guest "+g.UUID.String())
			require.Equal(t, "curacao", w.lives("refused"))
		})
	}
	w := newWorld(t, nil)
	one, other := w.Guest("one", 1<<20), w.Guest("other", 1<<20)
	one.Forwards = []network.Forward{{Proto: network.TCP, Port: 8080, To: addrPort(one, 80)}}
	other.Forwards = []network.Forward{{Proto: network.TCP, Port: 8080, To: addrPort(other, 80)}}
	one, err := w.Provision(t.Context(), "curacao", one)
	require.NoError(t, err)
	other, err = w.Provision(t.Context(), "islay", other)
	require.NoError(t, err)
	w.guest = one
	_, err = w.move(t.Context(), "curacao", nil)
	require.ErrorContains(t, err, "tcp port 8080 belongs to guest "+other.UUID.String())
}

// TestUnchecked: a host whose tool does not answer is told of, not guessed at.
func TestUnchecked(t *testing.T) {
	w := newWorld(t, nil)
	w.Machine("islay").Domains.Fail("cpu", errors.New("no xen-cpuid"))
	plan, err := migrate.PlanMove(t.Context(), w.Host("curacao"), w.Host("islay"), w.guest.UUID, migrate.Live, nil)
	require.NoError(t, err)
	require.Len(t, plan.Unchecked, 1)
	assert.Contains(t, plan.String(), "not checked: islay: features of the CPU: ")
}

// TestNeverLiveAtTheHost: the host itself keeps to the policy, whatever a mover
// asks for.
func TestNeverLiveAtTheHost(t *testing.T) {
	w := newWorldOf(t, xen.PVH)
	plan, err := migrate.PlanMove(t.Context(), w.Host("curacao"), w.Host("islay"), w.guest.UUID, migrate.Live, nil)
	require.NoError(t, err)
	w.define(host.NeverLive, "")
	report, err := plan.Run(t.Context())
	require.ErrorIs(t, err, host.ErrNeverLive)
	assert.Equal(t, handover.Nothing, report.Way)
	require.Equal(t, "curacao", w.lives("refused"))
}
