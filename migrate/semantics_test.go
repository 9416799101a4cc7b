package migrate_test

import (
	"context"
	"io/fs"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// TestReport: what a move says of itself, and what the other host has then.
func TestReport(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	var last migrate.Event
	events := 0
	report, err := w.move(ctx, "curacao", &migrate.Options{Progress: func(e migrate.Event) {
		if e.Total > 0 {
			assert.LessOrEqual(t, e.Done, e.Total)
		}
		last, events = e, events+1
	}})
	require.NoError(t, err)
	assert.Greater(t, events, 17)
	assert.Equal(t, handover.Step{Name: handover.Release, Host: "curacao"}, last.Step)
	assert.Equal(t, handover.Forward, report.Way)
	assert.Equal(t, "islay", report.Owner)
	assert.Equal(t, xen.Clean, report.Ending)
	assert.Positive(t, report.Downtime)
	assert.Greater(t, report.Duration, report.Downtime)
	assert.Len(t, report.Sums["xvda"], 64)
	require.Len(t, report.Passes, 2)
	assert.EqualValues(t, 1<<20, report.Passes[0].Read)
	assert.Less(t, report.Passes[1].Read, int64(1<<20), "only what changed")
	require.Equal(t, "islay", w.lives("after the move"))

	s, err := w.Host("islay").Guest(ctx, w.guest.UUID)
	require.NoError(t, err)
	assert.Equal(t, w.guest, s.Guest, "MAC, addresses, all of it")
	assert.Equal(t, owner.Record{UUID: w.guest.UUID, State: owner.Running, Epoch: 2, Since: s.Owner.Since}, s.Owner)
	old, err := w.Host("curacao").Guest(ctx, w.guest.UUID)
	require.NoError(t, err)
	assert.Equal(t, owner.Released, old.Owner.State)
	require.ErrorIs(t, w.Host("curacao").Start(ctx, w.guest.UUID), host.ErrNotOwner)
}

// TestForwardsTravel: the guest is reached by the same port at the other host.
func TestForwardsTravel(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	g := w.Guest("web2", 1<<20)
	g.Forwards = []network.Forward{{Proto: network.TCP, Port: 8080, To: addrPort(g, 80)}}
	g, err := w.Provision(ctx, "curacao", g)
	require.NoError(t, err)
	w.guest = g
	_, _, ok := w.Machine("curacao").Network.Lookup(network.TCP, 8080)
	require.True(t, ok)
	_, err = w.move(ctx, "curacao", nil)
	require.NoError(t, err)
	_, _, ok = w.Machine("curacao").Network.Lookup(network.TCP, 8080)
	assert.False(t, ok)
	id, to, ok := w.Machine("islay").Network.Lookup(network.TCP, 8080)
	assert.True(t, ok)
	assert.Equal(t, g.UUID, id)
	assert.Equal(t, g.Forwards[0].To, to)
}

// TestThereAndBack: the volume that stayed fenced is taken again, and epochs
// grow.
func TestThereAndBack(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	for i, on := range []string{"islay", "curacao", "islay"} {
		from, to, err := w.pair("curacao")
		require.NoError(t, err)
		if on == "curacao" {
			from, to = to, from
		}
		plan, err := migrate.PlanMove(ctx, from, to, w.guest.UUID, migrate.Cold, nil)
		require.NoError(t, err)
		assert.Equal(t, i > 0, plan.Disks[0].Kept)
		report, err := plan.Run(ctx)
		require.NoError(t, err)
		require.Equal(t, on, w.lives("after move"))
		s, err := w.Host(on).Guest(ctx, w.guest.UUID)
		require.NoError(t, err)
		assert.EqualValues(t, i+2, s.Owner.Epoch)
		if i > 0 {
			p := report.Passes[0]
			assert.EqualValues(t, 4<<10, p.Asked, "the hashes of 1 MiB")
			assert.Less(t, p.Data, p.Read, "what is there already is not sent")
		}
	}
}

// TestOff: a guest that is off is moved and stays off, both local.
func TestOff(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	g := w.Guest("web2", 1<<20)
	g.Disks = append(g.Disks, host.Disk{Dev: "xvdb", Volume: lvm.ID{Group: "guests", Name: "web2-data"}, Size: 2 << 20})
	g, err := w.Host("curacao").Provision(ctx, g, &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err)
	plan, err := migrate.PlanMove(ctx, w.Host("curacao"), w.Host("islay"), g.UUID, migrate.Cold, nil)
	require.NoError(t, err)
	assert.Contains(t, plan.String(), "no downtime: web2 does not run")
	report, err := plan.Run(ctx)
	require.NoError(t, err)
	assert.Len(t, report.Passes, 4)
	assert.Empty(t, report.Ending)
	assert.Zero(t, report.Downtime)
	s, err := w.Host("islay").Guest(ctx, g.UUID)
	require.NoError(t, err)
	assert.Nil(t, s.Domain)
	assert.True(t, s.Guest.Off)
	require.NoError(t, w.Settled(ctx, g.UUID))
	require.NoError(t, w.Host("islay").Start(ctx, g.UUID))
}

// TestCancel: a context that ends in the middle is rolled back like any
// failure, with time of its own.
func TestCancel(t *testing.T) {
	for _, step := range []handover.Name{handover.Receive, handover.Copy, handover.Stop, handover.Verify, handover.Fence} {
		w := newWorld(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		report, err := w.move(ctx, "curacao", at(step, cancel))
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, handover.Back, report.Way)
		require.Equal(t, "curacao", w.lives("cancelled before "+string(step)))
		s, err := w.Host("islay").Guest(t.Context(), w.guest.UUID)
		require.NoError(t, err)
		assert.Equal(t, owner.Aborted, s.Owner.State)
	}
	w := newWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.move(ctx, "curacao", at(handover.Commit, cancel))
	require.NoError(t, err, "after the cut-over it goes on")
	require.Equal(t, "islay", w.lives("cancelled before commit"))
}

// TestPlanRefuses: everything that stands in the way is said at once, and
// nothing is changed.
func TestPlanRefuses(t *testing.T) {
	w, ctx := newWorld(t, &migratetest.Options{Memory: 320 << 20, Group: lvmtest.GroupSpec{Name: "guests", Size: 8 << 20, Extent: 1 << 20}}), t.Context()
	big := w.Guest("big", 5<<20)
	big.Memory = 100 << 20
	_, err := w.Provision(ctx, "islay", big)
	require.NoError(t, err)
	same := w.Guest("web1", 1<<20) // another one of that name
	same.Disks[0].Volume.Name = "other"
	_, err = w.Host("islay").Provision(ctx, same, &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err)
	full, err := w.Host("islay").Provision(ctx, w.Guest("full", 2<<20), &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err)
	before := w.Machine("islay").Volumes.String()

	_, err = w.move(ctx, "curacao", nil)
	require.ErrorIs(t, err, migrate.ErrRefused)
	for _, why := range []string{"islay: name: guest " + same.UUID.String(), "not enough free memory", "not enough free space (0 extents, needs 1)"} {
		assert.ErrorContains(t, err, why)
	}
	assert.Equal(t, before, w.Machine("islay").Volumes.String())
	require.Equal(t, "curacao", w.lives("refused"))

	w.guest = full // it is on the other host
	_, err = w.move(ctx, "curacao", nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = migrate.PlanMove(ctx, w.Host("islay"), w.Host("islay"), full.UUID, migrate.Cold, nil)
	require.ErrorIs(t, err, host.ErrInvalid)
	_, err = migrate.PlanMove(ctx, w.Host("islay"), w.Host("curacao"), full.UUID, "warm", nil)
	require.ErrorContains(t, err, `unsupported operation: a "warm" move`)
}

// TestPlanGoesStale: what changed since the plan is seen by Run.
func TestPlanGoesStale(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	plan, err := migrate.PlanMove(ctx, w.Host("curacao"), w.Host("islay"), w.guest.UUID, migrate.Cold, nil)
	require.NoError(t, err)
	_, err = plan.Run(ctx)
	require.NoError(t, err)
	_, err = plan.Run(ctx)
	require.ErrorIs(t, err, migrate.ErrNotOwner)
	require.Equal(t, "islay", w.lives("after the second Run"))
}

// put writes records past the rules of a move, as a restored backup would.
func (w world) put(on string, records ...owner.Record) {
	w.t.Helper()
	l, err := w.Host(on).Hold(w.guest.UUID)
	require.NoError(w.t, err)
	defer l.Release()
	for _, r := range records {
		r.UUID = w.guest.UUID
		require.NoError(w.t, l.SetRecord(r))
	}
}

// TestLift: a source that is fenced gets its guest back if the target gave it
// up durably, and only then.
func TestLift(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	m := uuid.New()
	l, err := w.Host("curacao").Hold(w.guest.UUID)
	require.NoError(t, err)
	require.NoError(t, l.SetRecord(owner.Record{UUID: w.guest.UUID, State: owner.Prepared, Epoch: 1, Peer: "islay", Move: m}))
	_, err = l.Stop(ctx)
	require.NoError(t, err)
	require.NoError(t, l.Fence(ctx, 2))
	require.NoError(t, l.SetRecord(owner.Record{UUID: w.guest.UUID, State: owner.Fenced, Epoch: 2, Peer: "islay", Move: m}))
	l.Release()
	_, err = w.resume("curacao", nil)
	require.ErrorIs(t, err, migrate.ErrConflict, "islay says nothing")
	require.ErrorContains(t, err, "curacao says fenced (epoch 2, with islay), islay says nothing")

	w.put("islay", owner.Record{State: owner.Receiving, Epoch: 2, Peer: "curacao", Move: m}, owner.Record{State: owner.Aborted, Epoch: 2, Peer: "curacao", Move: m})
	report, err := w.resume("islay", nil)
	require.NoError(t, err)
	assert.Equal(t, handover.Lift, report.Way)
	require.Equal(t, "curacao", w.lives("lifted"))
	s, err := w.Host("curacao").Guest(ctx, w.guest.UUID)
	require.NoError(t, err)
	assert.EqualValues(t, 3, s.Owner.Epoch)
	_, err = w.move(ctx, "curacao", nil)
	require.NoError(t, err)
	require.Equal(t, "islay", w.lives("moved after all"))
}

// TestYield: where both hosts have a record of owning a guest, the lower epoch
// is stopped and fenced.
func TestYield(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	other, err := migratetest.NewWorld(folder(t), nil) // its islay has the guest at epoch 2
	require.NoError(t, err)
	t.Cleanup(other.Close)
	_, err = other.Provision(ctx, "curacao", w.guest)
	require.NoError(t, err)
	plan, err := migrate.PlanMove(ctx, other.Host("curacao"), other.Host("islay"), w.guest.UUID, migrate.Cold, nil)
	require.NoError(t, err)
	_, err = plan.Run(ctx)
	require.NoError(t, err)

	report, err := migrate.Resume(ctx, w.Host("curacao"), other.Host("islay"), w.guest.UUID, nil)
	require.NoError(t, err)
	assert.Equal(t, handover.Yield, report.Way)
	assert.Contains(t, report.Why, "islay has the higher epoch")
	assert.Equal(t, "islay", report.Owner)
	s, err := w.Host("curacao").Guest(ctx, w.guest.UUID)
	require.NoError(t, err)
	assert.Nil(t, s.Domain)
	assert.Equal(t, owner.Released, s.Owner.State)
	assert.True(t, s.Volumes[0].Skip)
	assert.False(t, s.Volumes[0].Active)
	require.ErrorIs(t, w.Host("curacao").Start(ctx, w.guest.UUID), host.ErrNotOwner)
	require.NoError(t, other.Settled(ctx, w.guest.UUID))
}

// TestResumeOfNothing says so.
func TestResumeOfNothing(t *testing.T) {
	w := newWorld(t, nil)
	report, err := w.resume("curacao", nil)
	require.NoError(t, err)
	assert.Equal(t, handover.Nothing, report.Way)
	assert.Equal(t, "curacao owns it and no move is open", report.Why)
	assert.Equal(t, "curacao", report.Owner)
	w.guest.UUID = uuid.New()
	_, err = w.resume("curacao", nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
