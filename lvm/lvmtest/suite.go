package lvmtest

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

// Harness is a Manager under test with one volume group of at least 40 extents
// that the suite may fill and empty.
type Harness struct {
	Manager lvm.Manager
	// Group is that group: without volumes, except Pool.
	Group string
	// Pool is a thin pool of 8 extents in it, with blocks of 64 KiB and room
	// for a second one beside it; "" where there can be none, which
	// TestContent does not accept.
	Pool string
	// Clear removes all volumes but Pool after a case; nil removes them one by
	// one, by the Manager.
	Clear func(t testing.TB)
	// Boot turns all volumes of the group off, and on again as a host's boot
	// scripts do (vgchange -ay).
	Boot func(t testing.TB)
	// Hold opens the device as a domain does, until release.
	Hold func(t testing.TB, v lvm.Volume) (release func())
	// Discard gives a range of an active thin volume back, as a guest does
	// with what it has freed (BLKDISCARD). TestMetadata needs none of these.
	Discard func(t testing.TB, v lvm.Volume, offset, length int64)
}

// suite is one case's view of the Harness.
type suite struct {
	Harness
	*testing.T
	ctx    context.Context
	extent int64
}

type suiteCase struct {
	name string
	run  func(s *suite)
}

func (h Harness) run(t *testing.T, cases []suiteCase) {
	t.Helper()
	extent := (&suite{Harness: h, T: t, ctx: context.Background()}).group().Extent
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			s := &suite{Harness: h, T: t, ctx: ctx, extent: extent}
			defer s.clear()
			c.run(s)
		})
	}
}

// clear removes all volumes but the pool: snapshots before their origins, and
// other pools when they are empty.
func (s *suite) clear() {
	if s.Clear != nil {
		s.Clear(s)
		return
	}
	volumes := s.volumes()
	for _, kinds := range [][]lvm.Kind{{lvm.Snapshot}, {lvm.Thick, lvm.Thin, lvm.Other}, {lvm.Pool}} {
		for _, v := range volumes {
			if v.Name != s.Pool && slices.Contains(kinds, v.Kind) {
				require.NoError(s, s.Manager.Remove(s.ctx, v.ID))
			}
		}
	}
}

func (s *suite) id(name string) lvm.ID { return lvm.ID{Group: s.Group, Name: name} }

func (s *suite) group() lvm.Group {
	s.Helper()
	groups, err := s.Manager.Groups(s.ctx)
	require.NoError(s, err)
	for _, g := range groups {
		if g.Name == s.Group {
			return g
		}
	}
	require.Fail(s, "no such group", s.Group)
	return lvm.Group{}
}

func (s *suite) volumes() []lvm.Volume {
	s.Helper()
	volumes, err := s.Manager.Volumes(s.ctx, s.Group)
	require.NoError(s, err)
	return volumes
}

// names are those of all volumes but the pool.
func (s *suite) names() []string {
	s.Helper()
	names := []string{}
	for _, v := range s.volumes() {
		if v.Name != s.Pool {
			names = append(names, v.Name)
		}
	}
	return names
}

func (s *suite) volume(name string) lvm.Volume {
	s.Helper()
	v, err := s.Manager.Volume(s.ctx, s.id(name))
	require.NoError(s, err)
	return v
}

func (s *suite) create(spec lvm.Spec) lvm.Volume {
	s.Helper()
	spec.Group = s.Group
	v, err := s.Manager.Create(s.ctx, spec)
	require.NoError(s, err)
	return v
}

// unwiped makes a volume of n extents that needs no device.
func (s *suite) unwiped(name string, extents int64) lvm.Volume {
	s.Helper()
	return s.create(lvm.Spec{ID: s.id(name), Size: extents * s.extent, Unwiped: true})
}

// active makes an active volume of n extents.
func (s *suite) active(name string, extents int64) lvm.Volume {
	s.Helper()
	v := s.create(lvm.Spec{ID: s.id(name), Size: extents * s.extent})
	require.True(s, v.Active)
	return v
}

func (s *suite) open(id lvm.ID) lvm.Device {
	s.Helper()
	d, err := s.Manager.Open(s.ctx, id)
	require.NoError(s, err)
	return d
}

// write writes to a volume, and has it on the disk when it returns.
func (s *suite) write(id lvm.ID, off int64, data []byte) {
	s.Helper()
	d := s.open(id)
	n, err := d.WriteAt(data, off)
	assert.NoError(s, err)
	assert.Equal(s, len(data), n)
	assert.NoError(s, d.Sync())
	require.NoError(s, d.Close())
}

// content returns all of a volume.
func (s *suite) content(id lvm.ID) []byte {
	s.Helper()
	d := s.open(id)
	data, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
	assert.NoError(s, err)
	assert.Len(s, data, int(d.Size()))
	require.NoError(s, d.Close())
	return data
}

// zeros asserts that all of a volume reads as zeros.
func (s *suite) zeros(id lvm.ID) {
	s.Helper()
	for i, b := range s.content(id) {
		if b != 0 {
			require.Failf(s, "not zero", "byte %d of %s is %#x", i, id, b)
		}
	}
}

// refused asserts that err is an *lvm.Error of op and that it is target.
func (s *suite) refused(err error, op string, target error) {
	s.Helper()
	var e *lvm.Error
	if assert.ErrorAs(s, err, &e) {
		assert.Equal(s, op, e.Op)
	}
	assert.ErrorIs(s, err, target)
}
