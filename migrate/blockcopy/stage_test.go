package blockcopy_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// TestStage: what is staged changes nothing, survives, and is applied as it
// arrived.
func TestStage(t *testing.T) {
	n := newNights(t)
	r := n.open(t)
	stats, err := r.Stage(t.Context(), bytes.NewReader(n.delta), n.tr)
	require.NoError(t, err)
	require.True(t, bytes.Equal(n.old, n.dst.now))
	r = n.open(t) // as after a crash
	assert.Equal(t, n.from, r.Generation())
	require.Equal(t, stats.Generation(), r.Staged())
	p, err := r.Pending(t.Context())
	require.NoError(t, err)
	assert.Nil(t, p, "it is not cut")
	require.ErrorIs(t, r.Apply(t.Context(), n.from), blockcopy.ErrBase)
	require.NoError(t, r.Apply(t.Context(), stats.Generation()))
	require.True(t, bytes.Equal(n.new, n.dst.now))
	assert.Equal(t, stats.Generation(), r.Generation())
	assert.Zero(t, r.Staged())
	require.ErrorIs(t, r.Apply(t.Context(), stats.Generation()), blockcopy.ErrBase)
}

// TestStageReplaced: a delta that arrives takes the place of the staged one,
// and so does nothing.
func TestStageReplaced(t *testing.T) {
	n := newNights(t)
	r := n.open(t)
	first, err := r.Stage(t.Context(), bytes.NewReader(n.delta), n.tr)
	require.NoError(t, err)
	tr := blockcopy.NewTransfer(nightSize)
	tr.Base = n.from
	second, err := r.Stage(t.Context(), bytes.NewReader(n.stream(t, tr)), tr)
	require.NoError(t, err)
	require.ErrorIs(t, r.Apply(t.Context(), first.Generation()), blockcopy.ErrBase)
	require.NoError(t, r.Unstage())
	require.ErrorIs(t, r.Apply(t.Context(), second.Generation()), blockcopy.ErrBase)
	require.True(t, bytes.Equal(n.old, n.dst.now))
	_, err = r.Receive(t.Context(), bytes.NewReader(n.delta), n.tr)
	require.NoError(t, err)
	require.True(t, bytes.Equal(n.new, n.dst.now))
}

// TestApplyCrashes fails the power in each operation of Apply: afterwards the
// volume holds the old generation, with the new one waiting, or the new one.
func TestApplyCrashes(t *testing.T) {
	base := newNights(t)
	for k := 0; ; k++ {
		n := base.again()
		r := n.open(t)
		stats, err := r.Stage(t.Context(), bytes.NewReader(n.delta), n.tr)
		require.NoError(t, err)
		crashed := n.crash(k, 0.5, func() error { return r.Apply(t.Context(), stats.Generation()) })
		r = n.open(t)
		n.whole(t, r, "applied")
		if r.Generation() == n.from {
			require.NoError(t, r.Apply(t.Context(), stats.Generation()), "in operation %d", k)
			require.True(t, bytes.Equal(n.new, n.dst.now))
		}
		if !crashed {
			require.Greater(t, k, 5)
			return
		}
	}
}
