package blockcopy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// A thick volume: the first copy, then by the table of its snapshot, then the
// snapshot overflows and the index has to do, then all of it once more.
func TestDom0Thick(t *testing.T) {
	v := newVolumes(t, "xhthick", 4*volumeSize, "")
	snap, first := v.night(t, "web1-monday", blockcopy.ByHashes, v.opts)
	assert.EqualValues(t, volumeSize, first.Stats.Read)

	v.busy(t, 40)
	opts := v.opts
	opts.Changes, opts.Since = blockcopy.Extents(v.changed(t, snap, 4096)), first.Generation
	report := v.push(t, v.src.Path, blockcopy.ByChanges, opts)
	assert.Less(t, report.Stats.Read, int64(40*(9*4096)))
	require.NoError(t, v.Remove(t.Context(), snap))

	small, err := v.Snapshot(t.Context(), v.src.ID, "web1-tuesday", &lvm.SnapshotOptions{Size: 1 << 20})
	require.NoError(t, err)
	v.busy(t, 400)
	_, err = v.Changed(t.Context(), small.ID)
	require.ErrorIs(t, err, lvm.ErrSnapshotInvalid)
	assert.EqualValues(t, volumeSize, v.push(t, v.src.Path, blockcopy.ByIndex, v.opts).Stats.Read)
	require.NoError(t, v.Remove(t.Context(), small.ID))

	v.busy(t, 10)
	v.push(t, v.src.Path, blockcopy.ByHashes, blockcopy.PushOptions{Verify: true}) // what it has is asked
	v.busy(t, 10)
	v.push(t, v.src.Path, blockcopy.ByAll, blockcopy.PushOptions{Whole: true})
}

// A thin volume: the blocks of its pool that changed or were given back, by
// thin_delta, refined by the index.
func TestDom0Thin(t *testing.T) {
	v := newVolumes(t, "xhthin", 5*volumeSize, "pool")
	v.opts.Fresh = true
	snap, first := v.night(t, "web1-monday", blockcopy.ByAll, v.opts)
	v.opts.Fresh = false
	assert.Less(t, first.Stats.Data, int64(volumeSize*7/10), "zeros are left out on a fresh one")

	v.busy(t, 20)
	v.discard(t, 8<<20, 1<<20)
	opts := v.opts
	opts.Changes, opts.Since = blockcopy.Extents(v.changed(t, snap, thinBlock)), first.Generation
	report := v.push(t, v.src.Path, blockcopy.ByChanges, opts)
	assert.Less(t, report.Stats.Read, int64(20*2*thinBlock))
	assert.Less(t, report.Stats.Data, report.Stats.Read, "blocks of 4 KiB, not of the pool")
	assert.Positive(t, report.Stats.Zeros, "what was given back")

	v.busy(t, 20)
	assert.EqualValues(t, volumeSize, v.push(t, v.src.Path, blockcopy.ByIndex, v.opts).Stats.Read)
}
