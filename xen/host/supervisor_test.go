package host

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

// A toolstack that ended between destroying the old domain and making the new
// one: the guest is still wanted.
func TestSupervisorFinishesARestart(t *testing.T) {
	domains, ctx := xentest.New(nil), t.Context()
	h := New(Config{
		Name: "curacao", Domains: domains, Volumes: lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests"}),
		Network: networktest.New(nil), StateDir: t.TempDir(),
	})
	g, err := h.Provision(ctx, Guest{
		Name: "web1", Memory: 128 << 20, Kernel: "/boot/vmlinuz",
		Disks: []Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "web1"}, Size: 8 << 20}},
	}, nil)
	require.NoError(t, err)
	s := newSupervisor(h, &SuperviseOptions{Patience: time.Hour})
	require.NoError(t, s.look(ctx))
	require.Empty(t, s.down)

	require.NoError(t, domains.LoseMonitor(g.UUID))
	require.NoError(t, domains.GuestReboot(g.UUID))
	require.NoError(t, s.look(ctx))
	first := s.down[g.UUID]
	assert.Equal(t, 1, first.domid)
	assert.Equal(t, xen.Reboot, first.reason)
	require.NoError(t, s.look(ctx))
	assert.Equal(t, first, s.down[g.UUID], "since the first look")

	require.NoError(t, domains.Destroy(ctx, g.UUID))
	require.NoError(t, s.look(ctx))
	second := s.down[g.UUID]
	assert.Equal(t, fallen{reason: xen.Reboot, since: second.since}, second)
	assert.True(t, second.since.After(first.since), "the toolstack has its time again")
	list, err := domains.List(ctx)
	require.NoError(t, err)
	require.Empty(t, list)

	second.since = time.Now().Add(-2 * time.Hour)
	s.down[g.UUID] = second
	require.NoError(t, s.look(ctx))
	d, err := domains.Lookup(ctx, g.UUID)
	require.NoError(t, err)
	assert.Equal(t, xen.Running, d.State)
	assert.Empty(t, s.down)
}

func TestSupervisorSlowsDown(t *testing.T) {
	s := newSupervisor(nil, &SuperviseOptions{Patience: time.Second})
	id, now := [16]byte{1}, time.Now()
	for _, tc := range []struct {
		crashes []time.Duration // ago
		pause   time.Duration
	}{
		{nil, time.Second},
		{[]time.Duration{time.Minute}, 2 * time.Second},
		{[]time.Duration{time.Hour, time.Minute}, 2 * time.Second},
		{[]time.Duration{3, 2, 1}, 8 * time.Second},
		{[]time.Duration{9, 8, 7, 6, 5, 4, 3, 2, 1}, 16 * time.Second},
	} {
		s.restarts[id] = nil
		for _, ago := range tc.crashes {
			s.restarts[id] = append(s.restarts[id], now.Add(-ago))
		}
		assert.Equal(t, tc.pause, s.due(id, fallen{since: now}).Sub(now), "%v", tc.crashes)
	}
}
