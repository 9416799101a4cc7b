package replica_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/replica"
)

// TestMoveOntoReplica: a move to the host that keeps the replica sends what
// differs from it. The guest's replica is then on the other side.
func TestMoveOntoReplica(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Cold, migrate.Live} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := runningWorld(t)
			ctx, id := t.Context(), w.guest.UUID
			device, err := w.Machine("curacao").Volumes.Open(ctx, w.guest.Disks[0].Volume)
			require.NoError(t, err)
			_, err = device.WriteAt(make([]byte, 512), 0) // of the image's part of the disk
			require.NoError(t, err)
			require.NoError(t, device.Close())
			w.ran()
			w.await(3)
			plan, err := migrate.PlanMove(ctx, w.Host("curacao"), w.dial(), id, mode, nil)
			require.NoError(t, err)
			report, err := plan.Run(ctx)
			require.NoError(t, err)
			assert.Equal(t, handover.Forward, report.Way)
			assert.Positive(t, report.Passes[0].Asked, "it was asked for its hashes")
			assert.Less(t, report.Passes[0].Data+report.Passes[0].Zeros, int64(diskSize/2))
			w.await(3)
			require.NoError(t, w.Settled(ctx, id))
			require.Equal(t, "islay", w.Where(ctx, id))
			assert.Empty(t, w.snapshots(), "nothing is left for the nights")

			back, err := w.Dial(ctx, "islay", "curacao")
			require.NoError(t, err)
			again, err := replica.PlanCopy(ctx, w.Host("islay"), back, id, &replica.Options{Verify: true})
			require.NoError(t, err)
			made, err := again.Run(ctx)
			require.NoError(t, err)
			assert.Equal(t, 1, made.Generation.Number, "what it had from before is none any more")
			require.NoError(t, w.Settled(ctx, id))
		})
	}
}

// TestMoveGivenUp: a move onto a replica that is rolled back has written to it:
// there is no generation until the next run, which sends what differs.
func TestMoveGivenUp(t *testing.T) {
	t.Parallel()
	w := runningWorld(t)
	ctx, id := t.Context(), w.guest.UUID
	w.ran()
	w.await(3)
	peer := w.dial()
	plan, err := migrate.PlanMove(ctx, w.Host("curacao"), peer, id, migrate.Cold, &migrate.Options{OnStep: func(s handover.Step) error {
		if s.Name == handover.Ready {
			return assert.AnError
		}
		return nil
	}})
	require.NoError(t, err)
	_, err = plan.Run(ctx)
	require.ErrorIs(t, err, assert.AnError)
	require.NoError(t, w.Settled(ctx, id))
	kept, err := peer.Kept(ctx)
	require.NoError(t, err)
	assert.Empty(t, kept, "it is no replica")
	_, err = replica.Promote(ctx, w.Host("islay"), id, off("curacao"), nil)
	require.Error(t, err)
	report := w.ran()
	assert.Equal(t, 1, report.Generation.Number)
	w.atRest()
	require.NoError(t, w.Settled(ctx, id))
}
