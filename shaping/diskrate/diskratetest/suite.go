package diskratetest

import (
	"context"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/shaping/diskrate"
)

// Site is a host without limits on its disks.
type Site struct {
	Manager diskrate.Manager
	// Paths are two devices that may be limited, and IDs their numbers.
	Paths [2]string
	IDs   [2]diskrate.Device
	// Begin starts a thread of that name that serves a disk; End ends it.
	Begin, End func(t *testing.T, name string)
}

// TestManager is the conformance suite of diskrate.Manager. site is called for
// each case and gives a fresh host.
func TestManager(t *testing.T, site func(t *testing.T) Site) {
	for _, c := range []struct {
		name string
		run  func(s suite, t *testing.T)
	}{
		{"a fresh host has no limits", suite.fresh},
		{"what is set is read", suite.set},
		{"a limit changes in place", suite.change},
		{"the last limit leaves nothing", suite.takeOff},
		{"a thread that comes is taken in", suite.comes},
		{"what no kernel takes is invalid", suite.invalid},
		{"a device must be there", suite.missing},
		{"a cancelled call changes nothing", suite.cancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(suite{site(t)}, t) })
	}
}

type suite struct{ Site }

// has checks that exactly this is in force.
func (s suite) has(t *testing.T, limits map[diskrate.Device]diskrate.Limit, loose ...string) {
	t.Helper()
	have, err := s.Manager.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, diskrate.State{Limits: limits, Loose: loose}, have)
}

type limits = map[diskrate.Device]diskrate.Limit

func (s suite) fresh(t *testing.T) {
	s.Begin(t, "1.xvda-0")
	s.has(t, limits{})
	require.NoError(t, s.Manager.Refresh(t.Context()))
	require.NoError(t, s.Manager.Set(t.Context(), s.Paths[0], diskrate.Limit{}), "there is none to take off")
	s.has(t, limits{})
}

func (s suite) set(t *testing.T) {
	s.Begin(t, "1.xvda-0")
	a := diskrate.Limit{ReadBytes: 1 << 40, WriteBytes: diskrate.MinBytes, ReadOps: diskrate.MinOps, WriteOps: diskrate.MaxOps}
	b := diskrate.Limit{WriteOps: 100}
	for range 2 {
		require.NoError(t, s.Manager.Set(t.Context(), s.Paths[0], a))
		require.NoError(t, s.Manager.Set(t.Context(), s.Paths[1], b))
		s.has(t, limits{s.IDs[0]: a, s.IDs[1]: b})
	}
}

func (s suite) change(t *testing.T) {
	for _, l := range []diskrate.Limit{{ReadBytes: 1 << 20}, {ReadBytes: 2 << 20, ReadOps: 9}, {WriteBytes: 1 << 20}} {
		require.NoError(t, s.Manager.Set(t.Context(), s.Paths[0], l))
		s.has(t, limits{s.IDs[0]: l})
	}
}

func (s suite) takeOff(t *testing.T) {
	s.Begin(t, "1.xvda-0")
	l := diskrate.Limit{ReadBytes: 1 << 20}
	for _, path := range s.Paths {
		require.NoError(t, s.Manager.Set(t.Context(), path, l))
	}
	require.NoError(t, s.Manager.Set(t.Context(), s.Paths[0], diskrate.Limit{}))
	s.has(t, limits{s.IDs[1]: l})
	require.NoError(t, s.Manager.Set(t.Context(), s.Paths[1], diskrate.Limit{}))
	s.has(t, limits{})
	require.NoError(t, s.Manager.Set(t.Context(), s.Paths[1], l))
	s.has(t, limits{s.IDs[1]: l})
}

func (s suite) comes(t *testing.T) {
	l := diskrate.Limit{ReadBytes: 1 << 20}
	require.NoError(t, s.Manager.Set(t.Context(), s.Paths[0], l))
	s.Begin(t, "1.xvda-0")
	s.Begin(t, "1.xvda-1")
	s.has(t, limits{s.IDs[0]: l}, "1.xvda-0", "1.xvda-1")
	require.NoError(t, s.Manager.Refresh(t.Context()))
	s.has(t, limits{s.IDs[0]: l})
	s.End(t, "1.xvda-0") // the guest reboots
	s.Begin(t, "2.xvda-0")
	s.has(t, limits{s.IDs[0]: l}, "2.xvda-0")
	require.NoError(t, s.Manager.Set(t.Context(), s.Paths[0], l))
	s.has(t, limits{s.IDs[0]: l})
}

func (s suite) invalid(t *testing.T) {
	for _, l := range []diskrate.Limit{
		{ReadBytes: -1}, {WriteBytes: diskrate.MinBytes - 1}, {ReadOps: -1}, {ReadOps: diskrate.MinOps - 1}, {WriteOps: diskrate.MaxOps + 1},
	} {
		err := s.Manager.Set(t.Context(), s.Paths[0], l)
		require.ErrorIs(t, err, diskrate.ErrInvalid, "%v", l)
		var e *diskrate.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "set", e.Op)
		assert.Equal(t, s.Paths[0], e.Name)
		s.has(t, limits{})
	}
}

func (s suite) missing(t *testing.T) {
	require.ErrorIs(t, s.Manager.Set(t.Context(), "/dev/xenhost/nosuch", diskrate.Limit{ReadOps: 9}), fs.ErrNotExist)
	s.has(t, limits{})
}

func (s suite) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Manager.Read(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.Manager.Set(ctx, s.Paths[0], diskrate.Limit{ReadOps: 9}), context.Canceled)
	require.ErrorIs(t, s.Manager.Refresh(ctx), context.Canceled)
	s.has(t, limits{})
}
