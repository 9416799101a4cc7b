package lvmtest

import (
	"bytes"
	"context"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

const ours = "xenhost.test=guard"

// guard runs lvm.Guard until it ends by itself.
func (s *suite) guard(ids []lvm.ID, opts lvm.GuardOptions) error {
	s.Helper()
	opts.Every = 20 * time.Millisecond
	return lvm.Guard(s.ctx, s.Manager, ours, ids, &opts)
}

// looks ends a Guard once it has looked that often.
type looks struct {
	lvm.Manager
	left int
	end  context.CancelFunc
}

func (l *looks) Fill(ctx context.Context, id lvm.ID) (lvm.Fill, error) {
	if l.left--; l.left == 0 {
		defer l.end()
	}
	return l.Manager.Fill(ctx, id)
}

// guardThick gives up a snapshot at its limit, once its reader has let go.
func guardThick(s *suite) {
	v := s.active("web1", 2)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", &lvm.SnapshotOptions{Size: s.extent, Tags: []string{ours}})
	require.NoError(s, err)
	other, err := s.Manager.Snapshot(s.ctx, v.ID, "other", nil)
	require.NoError(s, err)
	s.refused(s.guard([]lvm.ID{snap.ID, other.ID}, lvm.GuardOptions{}), "guard", lvm.ErrInvalid)
	s.refused(s.guard([]lvm.ID{v.ID}, lvm.GuardOptions{}), "guard", lvm.ErrInvalid)

	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	three := &looks{s.Manager, 3, cancel}
	require.NoError(s, lvm.Guard(ctx, three, ours, []lvm.ID{snap.ID}, &lvm.GuardOptions{Every: time.Millisecond}), "there is room")
	assert.Zero(s, three.left)

	s.write(v.ID, 0, bytes.Repeat([]byte("12345678"), int(s.extent/16)))
	reader := s.Hold(s, snap)
	var told []lvm.ID
	err = s.guard([]lvm.ID{snap.ID}, lvm.GuardOptions{Limit: 0.4, GivesUp: func(v lvm.Volume, why error) {
		told = append(told, v.ID)
		assert.ErrorIs(s, why, lvm.ErrAborted)
		reader()
	}})
	s.refused(err, "guard", lvm.ErrAborted)
	assert.NotErrorIs(s, err, lvm.ErrSnapshotInvalid)
	assert.ErrorContains(s, err, "guard "+snap.ID.String())
	assert.Equal(s, []lvm.ID{snap.ID}, told)
	assert.Equal(s, []string{"other", "web1"}, s.names())
	assert.NoError(s, s.guard([]lvm.ID{snap.ID}, lvm.GuardOptions{}), "it is gone")
}

// guardOverflowed comes too late.
func guardOverflowed(s *suite) {
	v := s.active("web1", 3)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", &lvm.SnapshotOptions{Size: s.extent, Tags: []string{ours}})
	require.NoError(s, err)
	s.write(v.ID, 0, bytes.Repeat([]byte("12345678"), int(2*s.extent/8)))
	err = s.guard([]lvm.ID{snap.ID}, lvm.GuardOptions{})
	s.refused(err, "guard", lvm.ErrAborted)
	s.refused(err, "guard", lvm.ErrSnapshotInvalid)
	assert.Equal(s, []string{"web1"}, s.names())
}

// guardThin gives up as many snapshots of a pool as it takes, in their order.
func guardThin(s *suite) {
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2 * s.extent, Pool: s.Pool})
	noise := bytes.Repeat([]byte("12345678"), int(v.Size/8))
	var ids []lvm.ID
	for i, name := range []string{"first", "second", "third"} {
		noise[0] = byte(i)
		s.write(v.ID, 0, noise[:v.Size]) // each snapshot will hold two extents of its own
		snap, err := s.Manager.Snapshot(s.ctx, v.ID, name, &lvm.SnapshotOptions{Tags: []string{ours}})
		require.NoError(s, err)
		ids = append(ids, snap.ID)
	}
	s.write(v.ID, 0, bytes.Repeat([]byte("87654321"), int(v.Size/8)))
	full, err := s.Manager.Fill(s.ctx, s.id(s.Pool))
	require.NoError(s, err)
	assert.Equal(s, 8*s.extent, full.Used, "the pool is full")
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	few := &looks{s.Manager, -1, cancel}
	err = lvm.Guard(ctx, few, ours, ids, &lvm.GuardOptions{Every: time.Millisecond, Limit: 0.7, GivesUp: func(v lvm.Volume, _ error) {
		if v.Name == "second" {
			few.left = 6 // with it gone there is room again; nothing more is to be given up
		}
	}})
	s.refused(err, "guard", lvm.ErrAborted)
	assert.ErrorContains(s, err, "pool "+s.Pool)
	assert.Equal(s, []string{"third", "web1"}, s.names())
}
