package lvmtest

import (
	"bytes"
	"math/rand/v2"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

// changed writes at random places and compares what Changed tells with the
// bytes, over several rounds on one snapshot.
func changed(s *suite) {
	v := s.active("web1", 2)
	random := rand.New(rand.NewPCG(1, 2))
	s.write(v.ID, 4096, noise(random, 64<<10))
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
	require.NoError(s, err)
	extents, err := s.Manager.Changed(s.ctx, snap.ID)
	require.NoError(s, err)
	assert.Empty(s, extents)

	for round := range 3 {
		s.scribble(v, random, 150, 9000)
		if round == 2 {
			s.write(v.ID, v.Size-1, []byte{1}) // the end of the volume too
		}
		s.compare(v, snap, lvm.ChunkSize)
	}
}

// changedThin does the same in a pool, discards included, and goes on after the
// origin has grown.
func changedThin(s *suite) {
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 3 * s.extent, Pool: s.Pool})
	random := rand.New(rand.NewPCG(3, 4))
	s.write(v.ID, 0, noise(random, int(s.extent)+5*poolBlock))
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
	require.NoError(s, err)
	extents, err := s.Manager.Changed(s.ctx, snap.ID)
	require.NoError(s, err)
	assert.Empty(s, extents)

	s.scribble(v, random, 6, 100_000)
	s.Discard(s, v, 7*poolBlock, 2*poolBlock)
	extents = s.compare(v, snap, poolBlock)
	assert.Contains(s, extents, lvm.Extent{Offset: 7 * poolBlock, Length: 2 * poolBlock, Kind: lvm.Discard})
	v, err = s.Manager.Grow(s.ctx, v.ID, 4*s.extent)
	require.NoError(s, err)
	s.write(v.ID, v.Size-1, []byte{1})
	s.compare(v, snap, poolBlock)

	require.NoError(s, s.Manager.Deactivate(s.ctx, snap.ID))
	_, err = s.Manager.Changed(s.ctx, snap.ID)
	require.NoError(s, err, "it is read from the pool")
	require.NoError(s, s.Manager.Deactivate(s.ctx, v.ID))
	_, err = s.Manager.Changed(s.ctx, snap.ID)
	s.refused(err, "changed", lvm.ErrInactive)
}

// changedOften goes through new snapshots of one volume, thick and thin, with
// as many and as large writes as chance wants.
func changedOften(s *suite) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, pool := range []string{"", s.Pool} {
		v := s.create(lvm.Spec{ID: s.id("web1"), Size: 3*s.extent - 1, Pool: pool})
		piece := int64(lvm.ChunkSize)
		if pool != "" {
			piece = poolBlock
		}
		for range 4 {
			snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
			require.NoError(s, err)
			s.scribble(v, random, random.IntN(20), 1<<(3+random.IntN(16)))
			if pool != "" {
				s.Discard(s, v, random.Int64N(v.Size/piece)*piece, piece)
			}
			s.scribble(snap, random, random.IntN(3), 1<<16) // it tells of its own changes too
			s.compare(v, snap, piece)
			require.NoError(s, s.Manager.Remove(s.ctx, snap.ID))
		}
		require.NoError(s, s.Manager.Remove(s.ctx, v.ID))
	}
}

// noise has no byte that is zero.
func noise(random *rand.Rand, length int) []byte {
	p := make([]byte, length)
	for i := range p {
		p[i] = byte(random.Uint32()) | 1
	}
	return p
}

// scribble writes noise at random places.
func (s *suite) scribble(v lvm.Volume, random *rand.Rand, times, most int) {
	s.Helper()
	d := s.open(v.ID)
	for range times {
		p := noise(random, 1+random.IntN(most))
		_, err := d.WriteAt(p, random.Int64N(v.Size-int64(len(p))+1))
		require.NoError(s, err)
	}
	require.NoError(s, d.Sync())
	require.NoError(s, d.Close())
}

// compare asserts that Changed tells of those pieces, and no others, of which a
// byte differs, and that what it calls a discard reads as zeros.
func (s *suite) compare(origin, snap lvm.Volume, piece int64) []lvm.Extent {
	s.Helper()
	extents, err := s.Manager.Changed(s.ctx, snap.ID)
	require.NoError(s, err)
	now, then := s.content(origin.ID), s.content(snap.ID)
	var told []lvm.Extent
	for i, e := range extents {
		if i > 0 && extents[i-1].Kind == e.Kind {
			assert.Greater(s, e.Offset, extents[i-1].Offset+extents[i-1].Length, "as few as there can be")
		}
		if e.Kind != lvm.Data {
			assert.True(s, bytes.Equal(now[e.Offset:e.Offset+e.Length], make([]byte, e.Length)), "%v", e)
		}
		told = join(told, lvm.Extent{Offset: e.Offset, Length: e.Length})
	}
	assert.Equal(s, piecesThatDiffer(now, append(then, make([]byte, len(now)-len(then))...), piece), told)
	return extents
}

func piecesThatDiffer(a, b []byte, piece int64) []lvm.Extent {
	var out []lvm.Extent
	for off := int64(0); off < int64(len(a)); off += piece {
		end := min(off+piece, int64(len(a)))
		if !bytes.Equal(a[off:end], b[off:end]) {
			out = join(out, lvm.Extent{Offset: off, Length: end - off})
		}
	}
	return out
}
