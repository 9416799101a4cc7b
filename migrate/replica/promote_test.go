package replica_test

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// off is the operator's word.
func off(of string) replica.Proof { return replica.Proof{Host: of, Vouch: owner.PoweredOff} }

// runningWorld has a guest that writes records, one each 30 ms: the simulated
// snapshots take some milliseconds.
func runningWorld(t *testing.T) *world {
	t.Helper()
	inner, err := migratetest.NewWorld(t.TempDir(), &migratetest.Options{Every: 30 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(inner.Close)
	w := &world{T: t, World: inner}
	g := w.Guest("web1", diskSize)
	g.Rates.Upload = 50 * shaping.Mbit
	w.guest, err = w.Provision(t.Context(), "curacao", g)
	require.NoError(t, err)
	return w
}

// records reads the last record of the replica on islay.
func (w *world) records() (last uint64) {
	w.Helper()
	w.with("islay", w.guest.Disks[0], func(path string) {
		var err error
		last, err = migratetest.Records(path, w.guest.UUID)
		require.NoError(w, err)
	})
	return last
}

func (w *world) await(more uint64) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	require.NoError(w, w.Await(ctx, w.guest.UUID, w.Acked(w.guest.UUID)+more))
}

func (w *world) ran() replica.Report {
	w.Helper()
	r := w.dial()
	defer r.Close()
	report, err := w.copy(w.Context(), r, &replica.Options{Verify: true})
	require.NoError(w, err)
	return report
}

// TestPromote: the host dies, the replica becomes the guest, the host comes back
// and has no claim, and the guest goes home by a delta.
func TestPromote(t *testing.T) {
	t.Parallel()
	w := runningWorld(t)
	ctx, id := t.Context(), w.guest.UUID
	w.ran()
	w.await(5)
	before := w.Acked(id)
	w.ran()
	has := w.records()
	assert.GreaterOrEqual(t, has, before, "acknowledged before the snapshot")
	w.await(5)
	w.PowerOff("curacao")
	written := w.Acked(id)
	islay := w.Host("islay")

	for _, proof := range []replica.Proof{{}, {Host: "curacao"}, off("jura"), {Host: "curacao", Vouch: "asleep"}, {Host: "curacao", Vouch: owner.Destroyed, Fence: "both"}} {
		_, err := replica.Promote(ctx, islay, id, proof, nil)
		require.ErrorIs(t, err, replica.ErrUnproven, "%+v", proof)
	}
	w.atRest()
	dry, err := replica.Promote(ctx, islay, id, off("curacao"), &replica.PromoteOptions{DryRun: true})
	require.NoError(t, err)
	assert.Contains(t, dry.String(), "web1 would be on islay, with generation 2 of curacao")
	w.atRest()

	w.AcceptLoss(id)
	p, err := replica.Promote(ctx, islay, id, off("curacao"), &replica.PromoteOptions{Verify: true})
	require.NoError(t, err)
	t.Logf("%s%d records acknowledged, %d in the replica, %d lost", p, written, has, written-has)
	assert.True(t, p.Started)
	assert.EqualValues(t, 2, p.Epoch)
	assert.Less(t, p.Window, time.Minute)
	w.await(3)
	require.NoError(t, w.Check(ctx))
	s, err := islay.Guest(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, owner.Override{Host: "curacao", Vouch: owner.PoweredOff}, s.Owner.Override)
	assert.Equal(t, owner.Running, s.Owner.State)
	ports, err := w.Machine("islay").Network.Read(ctx)
	require.NoError(t, err)
	assert.Equal(t, w.guest.Network().Ports, ports.Guests[0].Ports)
	rates, err := w.Machine("islay").Shaping.Read(ctx)
	require.NoError(t, err)
	assert.Len(t, rates.Guests, 1)
	_, err = replica.Promote(ctx, islay, id, off("curacao"), nil)
	require.ErrorIs(t, err, fs.ErrExist)

	w.returns()
}

// returns lets the old host come back, and the guest go home.
func (w *world) returns() {
	ctx, id := w.Context(), w.guest.UUID
	boot, err := w.PowerOn(ctx, "curacao")
	require.NoError(w, err)
	assert.Empty(w, boot.Started)
	require.Contains(w, boot.Superseded, id)
	require.ErrorIs(w, w.Host("curacao").Start(ctx, id), owner.ErrNotOwner)
	resumed, err := migrate.Resume(ctx, w.Host("curacao"), w.dial(), id, nil)
	require.NoError(w, err)
	assert.Equal(w, handover.Forward, resumed.Way)
	require.NoError(w, w.Settled(ctx, id))

	back, err := w.Dial(ctx, "islay", "curacao")
	require.NoError(w, err)
	plan, err := replica.PlanCopy(ctx, w.Host("islay"), back, id, nil)
	require.NoError(w, err)
	report, err := plan.Run(ctx)
	require.NoError(w, err)
	require.NoError(w, w.Settled(ctx, id))
	assert.Equal(w, blockcopy.ByHashes, report.Disks[0].How)
	assert.Less(w, report.Disks[0].Stats.Data+report.Disks[0].Stats.Zeros, int64(diskSize/2), "what differs")
	move, err := migrate.PlanMove(ctx, w.Host("islay"), back, id, migrate.Cold, nil)
	require.NoError(w, err)
	_, err = move.Run(ctx)
	require.NoError(w, err)
	require.Equal(w, "curacao", w.Where(ctx, id))
	w.await(3)
	require.NoError(w, w.Settled(ctx, id))
	w.ran() // and the nights go on
	w.atRest()
}

// TestPromoteCut: a promotion that fails anywhere is finished by the next one.
func TestPromoteCut(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"tag", "skip", "activate", "deactivate", "open"} {
		w := newWorld(t)
		w.define(func(g *host.Guest) { g.Off = false })
		w.copied(nil)
		w.PowerOff("curacao")
		w.Machine("islay").Volumes.Fail(op, fs.ErrPermission)
		_, err := replica.Promote(t.Context(), w.Host("islay"), w.guest.UUID, off("curacao"), nil)
		require.ErrorIs(t, err, fs.ErrPermission, op)
		p, err := replica.Promote(t.Context(), w.Host("islay"), w.guest.UUID, replica.Proof{Host: "curacao", Fence: "outlet 4 is off"}, nil)
		require.NoError(t, err, op)
		assert.True(t, p.Started)
		assert.EqualValues(t, 2, p.Epoch, op)
		require.NoError(t, w.Settled(t.Context(), w.guest.UUID), op)
	}
}

// TestPromoteRefused: what is not whole, or known to be wrong, is no guest.
func TestPromoteRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := replica.Promote(t.Context(), w.Host("islay"), w.guest.UUID, off("curacao"), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	w.write(0, make([]byte, 3<<20))
	require.True(t, w.killed(3<<20, nil))
	_, err = replica.Promote(t.Context(), w.Host("islay"), w.guest.UUID, off("curacao"), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "its first copy has not ended")

	w.copied(&replica.Options{Verify: true})
	w.flip("islay", w.guest.Disks[1], 1<<20)
	_, err = replica.Promote(t.Context(), w.Host("islay"), w.guest.UUID, off("curacao"), &replica.PromoteOptions{Verify: true})
	require.ErrorIs(t, err, replica.ErrDiffers)
	r := w.dial()
	_, err = w.copy(t.Context(), r, &replica.Options{Verify: true})
	require.ErrorIs(t, err, replica.ErrDiffers)
	require.NoError(t, r.Close())
	_, err = replica.Promote(t.Context(), w.Host("islay"), w.guest.UUID, off("curacao"), nil)
	require.ErrorIs(t, err, replica.ErrDoubtful)
	w.atRest()
	_, err = replica.Promote(t.Context(), w.Host("islay"), w.guest.UUID, off("curacao"), &replica.PromoteOptions{Doubtful: true, DryRun: true})
	require.NoError(t, err)
	w.copied(nil)
}
