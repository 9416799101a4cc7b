package lvmtest

import (
	"bytes"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

func thin(s *suite) {
	free := s.group().Free
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2*s.extent - 1, Pool: s.Pool, Tags: []string{"a"}})
	assert.Equal(s, lvm.Volume{ID: s.id("web1"), Size: 2 * s.extent, Kind: lvm.Thin, Pool: s.Pool, Tags: []string{"a"}, Active: true, Path: v.Path}, v)
	assert.Equal(s, free, s.group().Free, "it takes no room of the group")
	s.zeros(v.ID)
	s.write(v.ID, 100, []byte("secret"))
	require.NoError(s, s.Manager.Remove(s.ctx, v.ID))
	v = s.create(lvm.Spec{ID: s.id("web2"), Size: 2 * s.extent, Pool: s.Pool, Skip: true, Inactive: true})
	assert.False(s, v.Active)
	s.Boot(s)
	assert.False(s, s.volume("web2").Active)
	require.NoError(s, s.Manager.Activate(s.ctx, v.ID))
	s.zeros(v.ID)
	s.refused(s.Manager.Wipe(s.ctx, v.ID), "wipe", lvm.ErrInvalid)
}

func thinPromises(s *suite) {
	room := s.volume(s.Pool).Size
	s.create(lvm.Spec{ID: s.id("web1"), Size: room - s.extent, Pool: s.Pool})
	_, err := s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web2"), Size: 2 * s.extent, Pool: s.Pool})
	s.refused(err, "create", lvm.ErrNoSpace)
	_, err = s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web2"), Size: 1<<63 - 1, Pool: s.Pool})
	s.refused(err, "create", lvm.ErrNoSpace)
	_, err = s.Manager.Snapshot(s.ctx, s.id("web1"), "snap", nil)
	s.refused(err, "snapshot", lvm.ErrNoSpace)
	s.refused(s.Manager.Remove(s.ctx, s.id(s.Pool)), "remove", lvm.ErrBusy)
	s.create(lvm.Spec{ID: s.id("web2"), Size: s.extent, Pool: s.Pool})
}

func thinSnapshot(s *suite) {
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2 * s.extent, Pool: s.Pool})
	s.write(v.ID, 0, []byte("before"))
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
	require.NoError(s, err)
	assert.Equal(s, lvm.Volume{ID: s.id("web1-snap"), Size: v.Size, Kind: lvm.Thin, Origin: "web1", Pool: s.Pool, Active: true, Path: snap.Path}, snap)
	s.write(v.ID, 0, []byte("after!"))
	assert.Equal(s, "before", string(s.content(snap.ID)[:6]))
	require.NoError(s, s.Manager.Deactivate(s.ctx, snap.ID), "it is a volume of its own")
	require.NoError(s, s.Manager.Remove(s.ctx, v.ID), "and needs its origin no longer")
	require.NoError(s, s.Manager.Activate(s.ctx, snap.ID))
	assert.Equal(s, "before", string(s.content(snap.ID)[:6]))
	assert.Empty(s, s.volume("web1-snap").Origin)
	_, err = s.Manager.Changed(s.ctx, snap.ID)
	s.refused(err, "changed", lvm.ErrInvalid)
}

// mergeThin puts a snapshot in the place of its origin.
func mergeThin(s *suite) {
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2 * s.extent, Pool: s.Pool, Tags: []string{"mine"}})
	before := bytes.Repeat([]byte("before.."), int(v.Size/8))
	s.write(v.ID, 0, before)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", &lvm.SnapshotOptions{Tags: []string{"its"}})
	require.NoError(s, err)
	s.write(v.ID, 0, []byte("after!!!"))
	later, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-later", nil)
	require.NoError(s, err)
	child, err := s.Manager.Snapshot(s.ctx, snap.ID, "web1-child", nil)
	require.NoError(s, err)
	s.mergeRefused(v, snap)
	merged, err := s.Manager.Merge(s.ctx, snap.ID)
	require.NoError(s, err)
	assert.Equal(s, v, merged)
	assert.True(s, bytes.Equal(before, s.content(v.ID)))
	assert.Equal(s, "web1", s.volume("web1-child").Origin, "of what took that name")
	require.NoError(s, s.Manager.Remove(s.ctx, child.ID))
	assert.Equal(s, "after!!!", string(s.content(later.ID)[:8]))
	assert.Empty(s, s.volume("web1-later").Origin, "a volume of its own")

	small, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-small", nil)
	require.NoError(s, err)
	_, err = s.Manager.Grow(s.ctx, v.ID, 3*s.extent)
	require.NoError(s, err)
	_, err = s.Manager.Merge(s.ctx, small.ID)
	s.refused(err, "merge", lvm.ErrInvalid)
}
