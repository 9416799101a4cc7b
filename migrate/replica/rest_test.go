package replica_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// TestLeftOn: who wrote to a replica was killed, and its volumes are on. The
// next agent turns them off; nothing could have started from them meanwhile.
func TestLeftOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.copied(nil)
	volumes := w.Machine("islay").Volumes
	for _, d := range w.guest.Disks {
		require.NoError(t, volumes.Activate(t.Context(), d.Volume))
	}
	require.ErrorIs(t, w.Host("islay").Start(t.Context(), w.guest.UUID), owner.ErrNotOwner)
	_, err := w.Host("islay").Refence(t.Context())
	require.NoError(t, err)
	w.atRest()
	w.PowerOff("islay")
	boot, err := w.PowerOn(t.Context(), "islay")
	require.NoError(t, err)
	assert.Empty(t, boot.Started)
	assert.Empty(t, boot.Unfinished)
	w.atRest()
}

// TestTerminate: what is kept here of a guest goes with it, and the guest
// itself is untouched; and what was remembered of it, when it ends.
func TestTerminate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.copied(nil)
	require.NoError(t, w.Host("islay").Terminate(t.Context(), w.guest.UUID))
	kept, err := replica.List(t.Context(), w.Host("islay"))
	require.NoError(t, err)
	assert.Empty(t, kept)
	left, err := w.Machine("islay").Volumes.Volumes(t.Context(), "guests")
	require.NoError(t, err)
	assert.Empty(t, left)
	assert.NoDirExists(t, w.Host("islay").ReplicaDir(w.guest.UUID))
	report := w.copied(nil)
	assert.Equal(t, 1, report.Generation.Number)

	require.NoError(t, w.Host("curacao").Terminate(t.Context(), w.guest.UUID))
	left, err = w.Machine("curacao").Volumes.Volumes(t.Context(), "guests")
	require.NoError(t, err)
	assert.Empty(t, left, "nor snapshots")
	assert.NoDirExists(t, w.Host("curacao").ReplicatingDir(w.guest.UUID, "islay"))
	w.atRest()
}
