package lvm

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestValidName(t *testing.T) {
	for _, name := range []string{"a", "web1", "web-1", "a-", strings.Repeat("a", 63)} {
		assert.NoError(t, ValidName(name), name)
	}
	for _, name := range []string{"", "-", "1a", "A", "a_b", "a.b", "a b", "a\n", "snapshot", "snapshot-1", "pvmove0", strings.Repeat("a", 64)} {
		assert.ErrorIs(t, ValidName(name), ErrInvalid, name)
	}
}

// The store that Snapshot makes has a place for every chunk: SnapshotRoom
// against the layout that the test of the table builds by hand.
func TestSnapshotRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 8<<20).Draw(t, "size")
		chunks := (size + ChunkSize - 1) / ChunkSize
		last := int64(1)
		for range chunks {
			if last++; (last-1)%(ChunkSize/16+1) == 0 {
				last++ // an area
			}
		}
		assert.GreaterOrEqual(t, SnapshotRoom(size), (last+1)*ChunkSize)
		assert.LessOrEqual(t, SnapshotRoom(size), (last+2)*ChunkSize)
	})
}

func TestRound(t *testing.T) {
	g := Group{Extent: 4 << 20}
	for size, want := range map[int64]int64{1: 4 << 20, 4 << 20: 4 << 20, 4<<20 + 1: 8 << 20} {
		assert.Equal(t, want, g.Round(size))
	}
}

func TestMapperPath(t *testing.T) {
	c := New(nil, nil)
	assert.Equal(t, "/dev/mapper/my--guests-web1--snap-cow", c.mapperPath(ID{"my-guests", "web1-snap"}, "-cow"))
	assert.Equal(t, "/dev/my-guests/web1-snap", c.path(ID{"my-guests", "web1-snap"}))
}
