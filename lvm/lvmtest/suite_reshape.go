package lvmtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

// growUnwiped makes a volume of two pieces, which is one volume all the same.
func growUnwiped(s *suite) {
	before := s.group().Free
	v := s.unwiped("web1", 1)
	s.unwiped("web2", 1)
	grown, err := s.Manager.Grow(s.ctx, v.ID, 2*s.extent+1)
	require.NoError(s, err)
	v.Size = 3 * s.extent
	assert.Equal(s, v, grown, "still to be wiped")
	assert.Equal(s, v, s.volume("web1"))
	assert.Equal(s, []string{"web1", "web2"}, s.names())
	assert.Equal(s, before-4*s.extent, s.group().Free)
	for _, same := range []int64{3 * s.extent, 2*s.extent + 1} {
		grown, err = s.Manager.Grow(s.ctx, v.ID, same)
		require.NoError(s, err, "twice is no error")
		assert.Equal(s, v, grown)
	}
}

func growRefused(s *suite) {
	v := s.unwiped("web1", 2)
	for _, size := range []int64{0, -1, -1 << 63, 1, s.extent} {
		_, err := s.Manager.Grow(s.ctx, v.ID, size)
		s.refused(err, "grow", lvm.ErrInvalid)
	}
	free := s.group().Free
	_, err := s.Manager.Grow(s.ctx, v.ID, v.Size+free+1)
	s.refused(err, "grow", lvm.ErrNoSpace)
	assert.EqualError(s, err, fmt.Sprintf("lvm: grow %s: not enough free space (%d extents, needs %d)", v.ID, free/s.extent, free/s.extent+1))
	_, err = s.Manager.Grow(s.ctx, v.ID, 1<<63-1)
	s.refused(err, "grow", lvm.ErrNoSpace)
	assert.Equal(s, []lvm.Volume{v}, except(s.volumes(), s.Pool))
}

func rename(s *suite) {
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 1, Tags: []string{"a"}, Unwiped: true})
	renamed, err := s.Manager.Rename(s.ctx, v.ID, "web-2")
	require.NoError(s, err)
	v.ID, v.Path = s.id("web-2"), strings.TrimSuffix(v.Path, "web1")+"web-2"
	assert.Equal(s, v, renamed)
	assert.Equal(s, []lvm.Volume{v}, except(s.volumes(), s.Pool))
	_, err = s.Manager.Rename(s.ctx, s.id("web1"), "web-2")
	s.refused(err, "rename", fs.ErrNotExist)
}

func renameRefused(s *suite) {
	s.unwiped("web1", 1)
	s.unwiped("web2", 1)
	before := s.volumes()
	for _, name := range append(hostile(), "Web1", "snapshot1", strings.Repeat("a", 64)) {
		_, err := s.Manager.Rename(s.ctx, s.id("web1"), name)
		s.refused(err, "rename", lvm.ErrInvalid)
	}
	for _, name := range []string{"web2", "web1"} {
		_, err := s.Manager.Rename(s.ctx, s.id("web1"), name)
		s.refused(err, "rename", fs.ErrExist)
	}
	assert.Equal(s, before, s.volumes())
}

func mergeOfNone(s *suite) {
	v := s.unwiped("web1", 1)
	_, err := s.Manager.Merge(s.ctx, v.ID)
	s.refused(err, "merge", lvm.ErrInvalid)
}

// growOnline fills what the volume grows by with a former owner's data, and
// looks at it as the domain that has it open does.
func growOnline(s *suite) {
	v := s.active("web1", 1)
	former := s.active("former", 3)
	s.write(former.ID, 0, bytes.Repeat([]byte("secret.."), int(former.Size/8)))
	require.NoError(s, s.Manager.Remove(s.ctx, former.ID))
	data := bytes.Repeat([]byte("12345678"), int(v.Size/8))
	s.write(v.ID, 0, data)
	before := s.group().Free
	release := s.Hold(s, v)
	grown, err := s.Manager.Grow(s.ctx, v.ID, 4*s.extent)
	require.NoError(s, err)
	assert.Equal(s, 4*s.extent, grown.Size)
	assert.True(s, grown.Open)
	release()
	all := s.content(v.ID)
	assert.True(s, bytes.Equal(data, all[:len(data)]))
	assert.True(s, bytes.Equal(make([]byte, 3*s.extent), all[len(data):]), "what it grew by reads as zeros")
	assert.Equal(s, []string{"web1"}, s.names())
	assert.Equal(s, before-3*s.extent, s.group().Free)
	s.Boot(s)
	assert.Equal(s, grown.Size, s.volume("web1").Size)
}

func growWithSnapshot(s *suite) {
	v := s.active("web1", 1)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
	require.NoError(s, err)
	_, err = s.Manager.Grow(s.ctx, v.ID, 2*s.extent)
	s.refused(err, "grow", lvm.ErrBusy)
	assert.ErrorContains(s, err, "web1-snap")
	_, err = s.Manager.Grow(s.ctx, snap.ID, 2*s.extent)
	s.refused(err, "grow", errors.ErrUnsupported)
	assert.Equal(s, v, s.volume("web1"))
}

func renameOnline(s *suite) {
	v := s.active("web1", 1)
	s.write(v.ID, 0, []byte("before"))
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
	require.NoError(s, err)
	release := s.Hold(s, v)
	renamed, err := s.Manager.Rename(s.ctx, v.ID, "web2")
	require.NoError(s, err)
	assert.True(s, renamed.Open)
	release()
	assert.NoFileExists(s, v.Path)
	assert.FileExists(s, renamed.Path)
	assert.Equal(s, "web2", s.volume("web1-snap").Origin)
	s.write(renamed.ID, 0, []byte("after!"))
	snap, err = s.Manager.Rename(s.ctx, snap.ID, "web2-snap")
	require.NoError(s, err)
	assert.Equal(s, "before", string(s.content(snap.ID)[:6]))
	extents, err := s.Manager.Changed(s.ctx, snap.ID)
	require.NoError(s, err)
	assert.Equal(s, []lvm.Extent{{Length: lvm.ChunkSize}}, extents)
}

// mergeThick gives a volume back what it was, beside another snapshot.
func mergeThick(s *suite) {
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2 * s.extent, Tags: []string{"mine"}})
	before := bytes.Repeat([]byte("before.."), int(v.Size/8))
	s.write(v.ID, 0, before)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", &lvm.SnapshotOptions{Tags: []string{"its"}})
	require.NoError(s, err)
	s.write(v.ID, 5000, bytes.Repeat([]byte("after!!!"), int(s.extent/8)))
	later, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-later", nil)
	require.NoError(s, err)
	middle := s.content(v.ID)
	s.mergeRefused(v, snap)
	merged, err := s.Manager.Merge(s.ctx, snap.ID)
	require.NoError(s, err)
	assert.Equal(s, v, merged)
	assert.Equal(s, []string{"web1", "web1-later"}, s.names())
	assert.True(s, bytes.Equal(before, s.content(v.ID)))
	assert.True(s, bytes.Equal(middle, s.content(later.ID)), "the other one shows what it did")
	_, err = s.Manager.Merge(s.ctx, snap.ID)
	s.refused(err, "merge", fs.ErrNotExist)
}

func (s *suite) mergeRefused(origin, snap lvm.Volume) {
	s.Helper()
	for _, v := range []lvm.Volume{origin, snap} {
		release := s.Hold(s, v)
		_, err := s.Manager.Merge(s.ctx, snap.ID)
		s.refused(err, "merge", lvm.ErrBusy)
		release()
	}
	require.NoError(s, s.Manager.Deactivate(s.ctx, origin.ID))
	_, err := s.Manager.Merge(s.ctx, snap.ID)
	s.refused(err, "merge", lvm.ErrInactive)
	require.NoError(s, s.Manager.Activate(s.ctx, origin.ID))
	_, err = s.Manager.Merge(s.ctx, origin.ID)
	s.refused(err, "merge", lvm.ErrInvalid)
}
