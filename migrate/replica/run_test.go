package replica_test

import (
	"io/fs"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen/host"
)

// TestNights: a first copy, then only what changed, by each of the ways to know
// that.
func TestNights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.copied(nil)
	assert.Equal(t, 1, first.Generation.Number)
	assert.Equal(t, blockcopy.ByAll, first.Disks[0].How)
	assert.Len(t, w.snapshots(), 2, "kept to tell what changes")

	w.write(2<<20, make([]byte, 4096))
	second := w.copied(&replica.Options{Verify: true})
	assert.Equal(t, 2, second.Generation.Number)
	assert.Equal(t, w.sums("curacao"), second.Generation.Sums)
	for _, d := range second.Disks {
		assert.Equal(t, blockcopy.ByChanges, d.How)
		assert.EqualValues(t, 4096, d.Stats.Read)
		assert.EqualValues(t, 4096, d.Stats.Data)
	}
	assert.Less(t, second.Sent, int64(20<<10))
	assert.Len(t, w.snapshots(), 2)

	nothing := w.copied(&replica.Options{IndexOnly: true})
	assert.Zero(t, nothing.Disks[0].Stats.Data)
	assert.Empty(t, w.snapshots())

	w.write(1<<20, make([]byte, 8192))
	fourth := w.copied(nil)
	assert.Equal(t, blockcopy.ByIndex, fourth.Disks[1].How)
	assert.EqualValues(t, diskSize, fourth.Disks[1].Stats.Read)
	assert.EqualValues(t, 8192, fourth.Disks[1].Stats.Data)
	assert.NotEmpty(t, fourth.Notes)
	assert.Empty(t, nothing.Notes)

	kept, err := w.dial().Kept(t.Context())
	require.NoError(t, err)
	require.Len(t, kept, 1)
	assert.Equal(t, fourth.Generation.Run, kept[0].Generation.Run)
	assert.Equal(t, "curacao", kept[0].Peer)
}

// TestGrows: the disk grows, the generation before stays whole, and what was
// there is not sent again.
func TestGrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.copied(&replica.Options{IndexOnly: true})
	grown, err := w.Machine("curacao").Volumes.Grow(t.Context(), w.guest.Disks[1].Volume, 2*diskSize)
	require.NoError(t, err)
	w.define(func(g *host.Guest) { g.Disks[1].Size = grown.Size })
	report := w.copied(nil)
	assert.Equal(t, blockcopy.ByHashes, report.Disks[1].How)
	assert.Zero(t, report.Disks[1].Stats.Data)
	assert.EqualValues(t, 2*diskSize, report.Generation.Guest.Disks[1].Size)
}

// TestOverflow: a snapshot that runs full never becomes a generation.
func TestOverflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.copied(nil)
	before := w.sums("islay")
	w.write(0, make([]byte, 1<<20))
	r := w.dial()
	var once sync.Once
	_, err := w.copy(t.Context(), r, &replica.Options{Room: 1 << 20, Progress: func(e replica.Event) {
		if e.Dev == "xvdb" { // the guest writes faster than is copied
			once.Do(func() { w.write(1<<20, make([]byte, 3<<20)) })
		}
	}})
	require.ErrorIs(t, err, lvm.ErrSnapshotInvalid)
	require.NoError(t, r.Close())
	assert.Equal(t, before, w.sums("islay"))
	w.atRest()

	report := w.copied(nil)
	assert.Equal(t, 2, report.Generation.Number)
	assert.Nil(t, report.Finished)
}

// TestNoRoom: where a group has no room for the snapshots of two nights, the
// older one goes, and the index has to do.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, &migratetest.Options{Group: lvmtest.GroupSpec{Name: "guests", Size: 24 << 20, Extent: 1 << 20}})
	w.copied(nil)
	w.write(1<<20, make([]byte, 4096))
	report := w.copied(nil)
	require.NotEmpty(t, report.Notes)
	assert.Contains(t, report.Notes[0], "no room for two snapshots")
	assert.Equal(t, blockcopy.ByIndex, report.Disks[0].How)
	assert.EqualValues(t, 4096, report.Disks[0].Stats.Data)
	assert.Len(t, w.snapshots(), 2)
}

// TestDiskGone: a disk that the guest has no more goes at the peer with the next
// generation, and comes back as a new one.
func TestDiskGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.copied(nil)
	data := w.guest.Disks[1]
	w.define(func(g *host.Guest) { g.Disks = g.Disks[:1] })
	report := w.copied(nil)
	assert.Equal(t, 2, report.Generation.Number)
	_, err := w.Machine("islay").Volumes.Volume(t.Context(), data.Volume)
	require.ErrorIs(t, err, fs.ErrNotExist)
	w.define(func(g *host.Guest) { g.Disks = append(g.Disks, data) })
	report = w.copied(nil)
	assert.Equal(t, 3, report.Generation.Number)
	assert.Equal(t, blockcopy.ByChanges, report.Disks[0].How)
	assert.Contains(t, []blockcopy.How{blockcopy.ByAll, blockcopy.ByHashes}, report.Disks[len(report.Disks)-1].How)
}

// TestDiffers: what somebody wrote to the copy is found, told, and mended.
func TestDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.copied(nil)
	w.flip("islay", w.guest.Disks[0], 50<<10)
	r := w.dial()
	_, err := w.copy(t.Context(), r, &replica.Options{Verify: true})
	require.ErrorIs(t, err, replica.ErrDiffers)
	require.NoError(t, r.Close())
	kept, err := replica.List(t.Context(), w.Host("islay"))
	require.NoError(t, err)
	assert.Contains(t, kept[0].Generation.Doubt, "SHA-256 of xvda")
	report := w.copied(&replica.Options{Verify: true})
	assert.Equal(t, blockcopy.ByHashes, report.Disks[0].How)
	assert.EqualValues(t, 4096, report.Disks[0].Stats.Data)
	assert.Empty(t, report.Generation.Doubt)
}

// TestLostVolume: a replica whose volume was removed is none, and is made anew.
func TestLostVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.copied(nil)
	require.NoError(t, w.Machine("islay").Volumes.Remove(t.Context(), w.guest.Disks[1].Volume))
	report := w.copied(nil)
	assert.Equal(t, 1, report.Generation.Number)
	assert.Equal(t, blockcopy.ByChanges, report.Disks[0].How)
	assert.Equal(t, blockcopy.ByAll, report.Disks[len(report.Disks)-1].How)
}

// TestRefused: nothing is touched for a stranger.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.Machine("islay").Volumes.Create(t.Context(), lvm.Spec{ID: w.guest.Disks[1].Volume, Size: diskSize})
	require.NoError(t, err)
	_, err = w.copy(t.Context(), w.dial(), nil)
	require.ErrorIs(t, err, host.ErrForeign)
	kept, err := replica.List(t.Context(), w.Host("islay"))
	require.NoError(t, err)
	require.Len(t, kept, 1)
	assert.Nil(t, kept[0].Generation)
	require.NoError(t, w.Host("islay").Terminate(t.Context(), w.guest.UUID))
	v, err := w.Machine("islay").Volumes.Volume(t.Context(), w.guest.Disks[1].Volume)
	require.NoError(t, err, "the stranger's volume")
	require.NoError(t, w.Machine("islay").Volumes.Remove(t.Context(), v.ID))
	w.copied(nil)
}
