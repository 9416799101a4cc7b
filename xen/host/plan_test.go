package host_test

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/shapingtest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

// planned is a world with a guest that can grow to 512 MiB and 4 vCPUs while it
// runs.
func planned(t *testing.T) (*world, *shapingtest.Fake, host.Guest) {
	t.Helper()
	w := &world{
		domains: xentest.New(&xentest.Options{Memory: 1 << 30}), network: networktest.New(nil), state: t.TempDir(),
		volumes: lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests", Size: 64 << 20, Extent: 1 << 20}),
	}
	shape := shapingtest.New(nil)
	w.Host = host.New(host.Config{
		Name: "curacao", Domains: w.domains, Volumes: w.volumes, Network: w.network, Shaping: shape, StateDir: w.state, Grace: 50 * time.Millisecond,
		Uplink: shaping.Uplink{Dev: "eth0", Rate: shaping.Gbit},
	})
	_, err := w.Boot(t.Context())
	require.NoError(t, err)
	g := web1(t)
	g.MaxMemory, g.MaxVCPUs = 512<<20, 4
	g, err = w.Provision(t.Context(), g, nil)
	require.NoError(t, err)
	return w, shape, g
}

func whens(changes []host.Change) map[string]host.When {
	m := make(map[string]host.When)
	for _, c := range changes {
		m[c.What] = c.When
	}
	return m
}

func large() host.Plan {
	limit := 150
	return host.Plan{
		Memory: 256 << 20, VCPUs: 2, Weight: 512, Cap: &limit, Rates: &shaping.Policy{Download: 50 * shaping.Mbit},
		Disks: map[string]int64{"xvda": 12<<20 - 5},
	}
}

func TestChangePlanLive(t *testing.T) {
	w, _, g := planned(t)
	ctx := t.Context()
	before, err := w.domains.Lookup(ctx, id)
	require.NoError(t, err)
	changes, err := w.ChangePlan(ctx, id, large(), nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]host.When{"memory": host.Live, "vcpus": host.Live, "share": host.Live, "rates": host.Live, "disk xvda": host.Live}, whens(changes))
	now, err := w.domains.Config(ctx, id)
	require.NoError(t, err)
	assert.EqualValues(t, 256<<20, now.Memory)
	assert.Equal(t, 2, now.VCPUs)
	assert.Equal(t, 512, now.Weight)
	assert.Equal(t, 150, now.Cap)
	d, err := w.domains.Lookup(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, before.ID, d.ID, "it ran on")
	v, err := w.volumes.Volume(ctx, g.Disks[0].Volume)
	require.NoError(t, err)
	assert.EqualValues(t, 12<<20, v.Size)
	s, err := w.Guest(ctx, id)
	require.NoError(t, err)
	assert.EqualValues(t, 12<<20, s.Guest.Disks[0].Size)
	assert.Equal(t, *large().Rates, s.Guest.Rates)
	w.noClaims(t)

	again, err := w.ChangePlan(ctx, id, large(), nil)
	require.NoError(t, err)
	assert.Empty(t, again)

	require.NoError(t, w.domains.GuestReboot(id))
	rebooted, err := w.domains.Config(ctx, id)
	require.NoError(t, err)
	assert.EqualValues(t, 256<<20, rebooted.Memory, "it keeps it over a reboot")
}

// What can not be had while the guest runs is staged, or a restart has it.
func TestChangePlanStaged(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w, _, _ := planned(t)
		ctx := t.Context()
		changes, err := w.ChangePlan(ctx, id, host.Plan{Memory: 768 << 20, VCPUs: 3}, &host.PlanOptions{Restart: restart})
		require.NoError(t, err)
		want := map[string]host.When{"memory": host.Staged, "vcpus": host.Live}
		memory := int64(128 << 20)
		if restart {
			want["memory"], memory = host.Restarted, 768<<20
		}
		assert.Equal(t, want, whens(changes))
		d, err := w.domains.Lookup(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, memory, d.Memory)
		if !restart {
			require.NoError(t, w.domains.GuestReboot(id))
			d, err = w.domains.Lookup(ctx, id)
			require.NoError(t, err)
			assert.EqualValues(t, 768<<20, d.Memory)
		}
		assert.Equal(t, 3, d.VCPUs)
	}
	// A guest that does not answer has it after its next start.
	w, _, _ := planned(t)
	w.domains.IgnoreShutdown(id)
	changes, err := w.ChangePlan(t.Context(), id, host.Plan{Memory: 256 << 20}, nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]host.When{"memory": host.Staged}, whens(changes))
	// So has one that is off.
	_, err = w.Stop(t.Context(), id)
	require.NoError(t, err)
	changes, err = w.ChangePlan(t.Context(), id, host.Plan{Memory: 64 << 20, Disks: map[string]int64{"xvda": 9 << 20}}, nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]host.When{"memory": host.Staged, "disk xvda": host.Staged}, whens(changes))
	require.NoError(t, w.Start(t.Context(), id))
	d, err := w.domains.Lookup(t.Context(), id)
	require.NoError(t, err)
	assert.EqualValues(t, 64<<20, d.Memory)
}

// Whatever fails, the guest has its old plan, in force and on paper.
func TestChangePlanFails(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		plan    host.Plan
		restart bool
		fail    func(*world, *shapingtest.Fake)
	}{
		"share":           {large(), false, func(w *world, _ *shapingtest.Fake) { w.domains.FailAfter("set share", boom) }},
		"memory":          {large(), false, func(w *world, _ *shapingtest.Fake) { w.domains.Fail("set memory", boom) }},
		"vcpus":           {large(), false, func(w *world, _ *shapingtest.Fake) { w.domains.FailAfter("set vcpus", boom) }},
		"config":          {large(), false, func(w *world, _ *shapingtest.Fake) { w.domains.FailAfter("update config", boom) }},
		"disk":            {large(), false, func(w *world, _ *shapingtest.Fake) { w.volumes.Fail("grow", boom) }},
		"rates":           {large(), false, func(_ *world, s *shapingtest.Fake) { s.FailAfter("set", boom) }},
		"stop":            {host.Plan{Memory: 768 << 20, VCPUs: 2}, true, func(w *world, _ *shapingtest.Fake) { w.domains.Fail("shutdown", boom) }},
		"start":           {host.Plan{Memory: 768 << 20, VCPUs: 2}, true, func(w *world, _ *shapingtest.Fake) { w.domains.Fail("create", boom) }},
		"start, too late": {host.Plan{Memory: 768 << 20}, true, func(w *world, _ *shapingtest.Fake) { w.domains.Fail("create", boom) }},
	} {
		t.Run(name, func(t *testing.T) {
			w, shape, g := planned(t)
			ctx := t.Context()
			before, err := w.domains.Config(ctx, id)
			require.NoError(t, err)
			rates, err := shape.Read(ctx)
			require.NoError(t, err)
			c.fail(w, shape)
			_, err = w.ChangePlan(ctx, id, c.plan, &host.PlanOptions{Restart: c.restart})
			require.ErrorIs(t, err, boom)
			after, err := w.domains.Config(ctx, id)
			require.NoError(t, err, "it runs")
			assert.Equal(t, before, after)
			ratesAfter, err := shape.Read(ctx)
			require.NoError(t, err)
			assert.Equal(t, rates, ratesAfter)
			s, err := w.Guest(ctx, id)
			require.NoError(t, err)
			assert.Equal(t, g, s.Guest)
			require.NoError(t, w.domains.GuestReboot(id))
			after, err = w.domains.Config(ctx, id)
			require.NoError(t, err)
			assert.Equal(t, before, after, "nothing stays staged")
			w.noClaims(t)
			_, err = w.ChangePlan(ctx, id, c.plan, &host.PlanOptions{Restart: c.restart})
			require.NoError(t, err)
		})
	}
}

func TestChangePlanRefuses(t *testing.T) {
	w, _, _ := planned(t)
	ctx := t.Context()
	_, err := w.ChangePlan(ctx, id, host.Plan{Memory: 1 << 30}, nil)
	require.ErrorIs(t, err, xen.ErrNoMemory)
	_, err = w.ChangePlan(ctx, id, host.Plan{Disks: map[string]int64{"xvda": 1 << 30}}, nil)
	require.ErrorIs(t, err, lvm.ErrNoSpace)
	_, err = w.ChangePlan(ctx, id, host.Plan{Disks: map[string]int64{"xvdc": 1 << 20}}, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = w.ChangePlan(ctx, uuid.New(), host.Plan{Memory: 64 << 20}, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	big := plainGuest(7)
	big.Disks[0].Size = 40 << 20
	big, err = w.Provision(ctx, big, nil)
	require.NoError(t, err)
	_, err = w.ChangePlan(ctx, big.UUID, host.Plan{Disks: map[string]int64{"xvda": 1 << 20}}, nil)
	require.NoError(t, err, "within what rounding does")
	g, err := w.Guest(ctx, big.UUID)
	require.NoError(t, err)
	assert.EqualValues(t, 40<<20, g.Guest.Disks[0].Size)
	// What one was promised by a change of plan, no other gets.
	_, err = w.ChangePlan(ctx, id, host.Plan{Memory: 700 << 20}, nil)
	require.NoError(t, err)
	_, err = w.Provision(ctx, plainGuest(8), nil)
	require.ErrorIs(t, err, xen.ErrNoMemory)
}
