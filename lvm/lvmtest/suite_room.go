package lvmtest

import (
	"bytes"
	"errors"
	"io/fs"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

// growRoom keeps a snapshot from overflowing, while it and its origin are open.
func growRoom(s *suite) {
	v := s.active("web1", 4)
	before := bytes.Repeat([]byte("before.."), int(v.Size/8))
	s.write(v.ID, 0, before)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", &lvm.SnapshotOptions{Size: s.extent})
	require.NoError(s, err)
	after := bytes.Repeat([]byte("after..."), int(s.extent/16))
	s.write(v.ID, 0, after)
	half, err := s.Manager.Fill(s.ctx, snap.ID)
	require.NoError(s, err)
	free := s.group().Free
	origin, reader := s.Hold(s, v), s.Hold(s, snap)
	grown, err := s.Manager.GrowRoom(s.ctx, snap.ID, 3*s.extent-1)
	require.NoError(s, err)
	assert.Equal(s, lvm.Fill{Used: half.Used, Size: 3 * s.extent}, grown)
	assert.Equal(s, free-2*s.extent, s.group().Free)
	for _, same := range []int64{3 * s.extent, 3*s.extent - 1} {
		again, err := s.Manager.GrowRoom(s.ctx, snap.ID, same)
		require.NoError(s, err, "twice is no error")
		assert.Equal(s, grown, again)
	}
	reader()
	origin()
	for at := s.extent / 2; at < 2*s.extent; at += int64(len(after)) { // more than it had room for
		s.write(v.ID, at, after)
	}
	assert.True(s, bytes.Equal(before, s.content(snap.ID)))
	extents, err := s.Manager.Changed(s.ctx, snap.ID)
	require.NoError(s, err)
	assert.Equal(s, []lvm.Extent{{Length: 2 * s.extent}}, extents)
	assert.Equal(s, v, s.volume("web1"))
	assert.Equal(s, snap, s.volume("web1-snap"))

	all, err := s.Manager.GrowRoom(s.ctx, snap.ID, 1<<62)
	require.NoError(s, err, "no more than it can need")
	assert.GreaterOrEqual(s, all.Size, lvm.SnapshotRoom(v.Size))
	assert.LessOrEqual(s, all.Size, lvm.SnapshotRoom(v.Size)+s.extent)
}

// growMetadata does the same for a pool.
func growMetadata(s *suite) {
	pool, err := s.Manager.CreatePool(s.ctx, lvm.PoolSpec{ID: s.id("pool2"), Size: 2 * s.extent})
	require.NoError(s, err)
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2 * s.extent, Pool: "pool2"})
	s.write(v.ID, 0, []byte("hello"))
	before, err := s.Manager.Fill(s.ctx, pool.ID)
	require.NoError(s, err)
	free := s.group().Free
	release := s.Hold(s, v)
	grown, err := s.Manager.GrowRoom(s.ctx, pool.ID, before.MetaSize+1)
	require.NoError(s, err)
	release()
	assert.Equal(s, before.MetaSize+s.extent, grown.MetaSize)
	assert.Equal(s, before.Size, grown.Size, "data has its own")
	assert.Less(s, s.group().Free, free)
	assert.GreaterOrEqual(s, s.group().Free, free-2*s.extent)
	again, err := s.Manager.GrowRoom(s.ctx, pool.ID, grown.MetaSize)
	require.NoError(s, err)
	assert.Equal(s, grown, again)
	assert.Equal(s, pool, s.volume("pool2"))
	assert.Equal(s, "hello", string(s.content(v.ID)[:5]))
}

func growRoomRefused(s *suite) {
	v := s.active("web1", 4)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", &lvm.SnapshotOptions{Size: 3 * s.extent})
	require.NoError(s, err)
	pool, err := s.Manager.Fill(s.ctx, s.id(s.Pool))
	require.NoError(s, err)
	for _, c := range []struct {
		name string
		size int64
		want error
	}{
		{"web1", 8 * s.extent, errors.ErrUnsupported}, {"web2", 1, fs.ErrNotExist},
		{snap.Name, 0, lvm.ErrInvalid}, {snap.Name, -1 << 63, lvm.ErrInvalid}, {snap.Name, 2 * s.extent, lvm.ErrInvalid},
		{s.Pool, 0, lvm.ErrInvalid}, {s.Pool, 1<<63 - 1, lvm.ErrInvalid}, {s.Pool, pool.MetaSize + s.group().Free, lvm.ErrNoSpace},
	} {
		_, err := s.Manager.GrowRoom(s.ctx, s.id(c.name), c.size)
		s.refused(err, "grow room", c.want)
	}
	full, err := s.Manager.Fill(s.ctx, snap.ID)
	require.NoError(s, err)
	assert.Equal(s, 3*s.extent, full.Size)
}
