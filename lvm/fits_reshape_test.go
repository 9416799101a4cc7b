package lvm

import (
	"errors"
	"io/fs"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever is asked for: it fits and is whole extents, or it is refused.
func TestFitsGrowProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		extent := int64(1) << rapid.IntRange(12, 26).Draw(t, "extent")
		g := Group{Name: "g", Size: extent * 100, Free: extent * rapid.Int64Range(0, 60).Draw(t, "free"), Extent: extent}
		have := []Volume{
			{ID: ID{"g", "web1"}, Kind: Thick, Size: extent * 7},
			{ID: ID{"g", "pool"}, Kind: Pool, Size: extent * 20},
			{ID: ID{"g", "thin"}, Kind: Thin, Size: extent * 5, Pool: "pool"},
		}
		if rapid.Bool().Draw(t, "oversell") {
			have[1].Tags = []string{TagOversell}
		}
		v := rapid.SampledFrom(have).Draw(t, "volume")
		size := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 200*extent)).Draw(t, "size")
		got, err := FitsGrow(g, have, v.Name, size)
		if err != nil {
			known := errors.Is(err, ErrInvalid) || errors.Is(err, ErrNoSpace)
			assert.True(t, known, "%v", err)
			return
		}
		assert.GreaterOrEqual(t, got, size)
		assert.GreaterOrEqual(t, got, v.Size)
		assert.Less(t, got-max(size, v.Size), extent)
		assert.Zero(t, got%extent)
		switch {
		case v.Kind != Thin:
			assert.LessOrEqual(t, got-v.Size, g.Free)
		case len(have[1].Tags) == 0:
			assert.LessOrEqual(t, got, have[1].Size)
		}
	})
}

func TestFitsPool(t *testing.T) {
	g := Group{Name: "g", Size: 200 << 30, Free: 150 << 30, Extent: 4 << 20}
	id := ID{"g", "pool"}
	for _, c := range []struct {
		spec           PoolSpec
		data, metadata int64
	}{
		{PoolSpec{ID: id, Size: 1}, 4 << 20, 4 << 20},
		{PoolSpec{ID: id, Size: 100 << 30}, 100 << 30, 100 << 20},
		{PoolSpec{ID: id, Size: 100 << 30, Block: 1 << 20}, 100 << 30, 8 << 20},
		{PoolSpec{ID: id, Size: 100 << 30, Metadata: 1<<30 - 1}, 100 << 30, 1 << 30},
	} {
		data, metadata, err := FitsPool(g, nil, c.spec)
		require.NoError(t, err)
		assert.Equal(t, c.data, data)
		assert.Equal(t, c.metadata, metadata)
	}
	for _, size := range []int64{150 << 30, 200 << 30, 201 << 30, math.MaxInt64} {
		_, _, err := FitsPool(g, nil, PoolSpec{ID: id, Size: size})
		assert.ErrorIs(t, err, ErrNoSpace)
	}
	_, _, err := FitsPool(g, []Volume{{ID: id}}, PoolSpec{ID: id, Size: 1})
	assert.ErrorIs(t, err, fs.ErrExist)
}

// Thin volumes that may be oversold are bounded by what LVM can count.
func TestFitsOversold(t *testing.T) {
	g := Group{Name: "g", Size: 1 << 30, Free: 1 << 30, Extent: 4 << 20}
	pool := Volume{ID: ID{"g", "pool"}, Kind: Pool, Size: 1 << 30, Tags: []string{TagOversell}}
	spec := Spec{ID: ID{"g", "web1"}, Pool: "pool", Size: 1<<40 + 1}
	size, err := Fits(g, []Volume{pool}, spec)
	require.NoError(t, err)
	assert.Equal(t, int64(1<<40+4<<20), size)
	spec.Size = math.MaxInt64
	_, err = Fits(g, []Volume{pool}, spec)
	assert.ErrorIs(t, err, ErrNoSpace)
	pool.Tags = nil
	spec.Size = 1<<30 + 1
	_, err = Fits(g, []Volume{pool}, spec)
	assert.ErrorIs(t, err, ErrNoSpace)
}
