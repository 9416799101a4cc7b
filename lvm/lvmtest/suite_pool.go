package lvmtest

import (
	"bytes"
	"errors"
	"io/fs"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

func poolsRefused(s *suite) {
	s.unwiped("taken", 1)
	free := s.group().Free
	for _, c := range []struct {
		spec lvm.PoolSpec
		want error
	}{
		{lvm.PoolSpec{ID: s.id("taken"), Size: 1}, fs.ErrExist},
		{lvm.PoolSpec{ID: s.id("pool2")}, lvm.ErrInvalid},
		{lvm.PoolSpec{ID: s.id("pool2"), Size: -1}, lvm.ErrInvalid},
		{lvm.PoolSpec{ID: s.id("pool2"), Size: 1, Block: 4096}, lvm.ErrInvalid},
		{lvm.PoolSpec{ID: s.id("pool2"), Size: 1, Block: 2 << 30}, lvm.ErrInvalid},
		{lvm.PoolSpec{ID: s.id("pool2"), Size: 1, Metadata: 4096}, lvm.ErrInvalid},
		{lvm.PoolSpec{ID: s.id("pool2"), Size: 1, Tags: []string{"a b"}}, lvm.ErrInvalid},
		{lvm.PoolSpec{ID: s.id("Pool2"), Size: 1}, lvm.ErrInvalid},
		{lvm.PoolSpec{ID: s.id("pool2"), Size: free}, lvm.ErrNoSpace}, // and none for metadata
		{lvm.PoolSpec{ID: s.id("pool2"), Size: 1<<63 - 1}, lvm.ErrNoSpace},
	} {
		_, err := s.Manager.CreatePool(s.ctx, c.spec)
		s.refused(err, "create pool", c.want)
	}
	assert.Equal(s, free, s.group().Free)
}

func fillOfNone(s *suite) {
	v := s.unwiped("web1", 1)
	_, err := s.Manager.Fill(s.ctx, v.ID)
	s.refused(err, "fill", lvm.ErrInactive)
}

// createPool makes a pool that may oversell only when it is told to.
func createPool(s *suite) {
	before := s.group().Free
	pool, err := s.Manager.CreatePool(s.ctx, lvm.PoolSpec{ID: s.id("pool2"), Size: 4*s.extent - 1, Block: 128 << 10, Tags: []string{"a"}})
	require.NoError(s, err)
	assert.Equal(s, lvm.Volume{ID: s.id("pool2"), Size: 4 * s.extent, Kind: lvm.Pool, Tags: []string{"a"}, Active: true}, pool)
	assert.Equal(s, pool, s.volume("pool2"))
	fill, err := s.Manager.Fill(s.ctx, pool.ID)
	require.NoError(s, err, "also while it has no volume")
	assert.Zero(s, fill.Used)
	assert.Equal(s, pool.Size, fill.Size)
	assert.Less(s, fill.MetaUsed, fill.MetaSize)
	assert.Less(s, fill.Share(), 0.5)

	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 4 * s.extent, Pool: "pool2"})
	_, err = s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
	s.refused(err, "snapshot", lvm.ErrNoSpace)
	_, err = s.Manager.Grow(s.ctx, v.ID, 5*s.extent)
	s.refused(err, "grow", lvm.ErrNoSpace)
	require.NoError(s, s.Manager.Tag(s.ctx, pool.ID, []string{lvm.TagOversell}, nil))
	_, err = s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
	require.NoError(s, err)
	grown, err := s.Manager.Grow(s.ctx, v.ID, 5*s.extent)
	require.NoError(s, err)
	assert.Equal(s, 5*s.extent, grown.Size)
	require.NoError(s, s.Manager.Tag(s.ctx, pool.ID, nil, []string{lvm.TagOversell}))
	_, err = s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web2"), Size: 1, Pool: "pool2"})
	s.refused(err, "create", lvm.ErrNoSpace)

	s.refused(s.Manager.Remove(s.ctx, pool.ID), "remove", lvm.ErrBusy)
	require.NoError(s, s.Manager.Remove(s.ctx, s.id("web1-snap")))
	require.NoError(s, s.Manager.Remove(s.ctx, v.ID))
	require.NoError(s, s.Manager.Remove(s.ctx, pool.ID))
	assert.Equal(s, before, s.group().Free)
}

// fill watches the counters of a snapshot and of a pool go up with what is written.
func fill(s *suite) {
	v := s.active("web1", 2)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", &lvm.SnapshotOptions{Size: s.extent})
	require.NoError(s, err)
	empty, err := s.Manager.Fill(s.ctx, snap.ID)
	require.NoError(s, err)
	assert.Equal(s, s.extent, empty.Size)
	s.write(v.ID, 0, bytes.Repeat([]byte("12345678"), int(s.extent/16)))
	half, err := s.Manager.Fill(s.ctx, snap.ID)
	require.NoError(s, err)
	assert.InDelta(s, s.extent/2, half.Used-empty.Used, 64<<10)
	assert.InDelta(s, 0.5, half.Share(), 0.1)
	s.write(v.ID, s.extent, bytes.Repeat([]byte("12345678"), int(s.extent/8)))
	_, err = s.Manager.Fill(s.ctx, snap.ID)
	s.refused(err, "fill", lvm.ErrSnapshotInvalid)
	_, err = s.Manager.Merge(s.ctx, snap.ID)
	s.refused(err, "merge", lvm.ErrSnapshotInvalid)

	thin := s.create(lvm.Spec{ID: s.id("web2"), Size: 4 * s.extent, Pool: s.Pool})
	empty, err = s.Manager.Fill(s.ctx, s.id(s.Pool))
	require.NoError(s, err)
	assert.Equal(s, s.volume(s.Pool).Size, empty.Size)
	s.write(thin.ID, 0, bytes.Repeat([]byte("12345678"), int(3*s.extent/8)))
	full, err := s.Manager.Fill(s.ctx, s.id(s.Pool))
	require.NoError(s, err)
	assert.Equal(s, 3*s.extent, full.Used-empty.Used)
	for _, name := range []string{"web1", "web2"} {
		_, err = s.Manager.Fill(s.ctx, s.id(name))
		s.refused(err, "fill", errors.ErrUnsupported)
	}
}

// growPool makes room in a pool while its volumes are there.
func growPool(s *suite) {
	pool, err := s.Manager.CreatePool(s.ctx, lvm.PoolSpec{ID: s.id("pool2"), Size: 2 * s.extent})
	require.NoError(s, err)
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2 * s.extent, Pool: "pool2"})
	s.write(v.ID, 0, []byte("hello"))
	grown, err := s.Manager.Grow(s.ctx, pool.ID, 4*s.extent)
	require.NoError(s, err)
	assert.Equal(s, 4*s.extent, grown.Size)
	full, err := s.Manager.Fill(s.ctx, pool.ID)
	require.NoError(s, err)
	assert.Equal(s, 4*s.extent, full.Size)
	release := s.Hold(s, v)
	v, err = s.Manager.Grow(s.ctx, v.ID, 3*s.extent)
	require.NoError(s, err)
	assert.Equal(s, 3*s.extent, v.Size)
	release()
	data := s.content(v.ID)
	assert.Equal(s, "hello", string(data[:5]))
	assert.True(s, bytes.Equal(make([]byte, len(data)-5), data[5:]))
}
