package lvm

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// store builds an exception store by the documented layout, apart from the
// parser: pairs are entered in order, saved chunks follow as the kernel
// allots them (never one that an area takes).
func store(chunk int64, storeChunks int64, olds ...int64) []byte {
	s := make([]byte, chunk*storeChunks)
	for i, word := range []uint32{cowMagic, 1, 1, uint32(chunk / 512)} {
		binary.LittleEndian.PutUint32(s[4*i:], word)
	}
	perArea := chunk / 16
	saved := int64(2)
	for i, old := range olds {
		if (saved-1)%(perArea+1) == 0 {
			saved++
		}
		area := 1 + int64(i)/perArea*(perArea+1)
		at := area*chunk + int64(i)%perArea*16
		binary.LittleEndian.PutUint64(s[at:], uint64(old))
		binary.LittleEndian.PutUint64(s[at+8:], uint64(saved))
		saved++
	}
	return s
}

// The first entries of a store as a 6.1 kernel wrote it after writes to the
// chunks 10, 300, 301 and 5.
func TestReadCOWGolden(t *testing.T) {
	s := make([]byte, 16*4096)
	copy(s, "SnAp\x01\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00")
	for i, pair := range [][2]byte{{10, 2}, {44, 3}, {45, 4}, {5, 5}} {
		s[4096+16*i], s[4096+16*i+8] = pair[0], pair[1]
	}
	s[4096+16+1], s[4096+32+1] = 1, 1 // 256 + 44, 256 + 45
	extents, err := readCOW(bytes.NewReader(s), int64(len(s)), 8<<20)
	require.NoError(t, err)
	assert.Equal(t, []Extent{{Offset: 5 * 4096, Length: 4096}, {Offset: 10 * 4096, Length: 4096}, {Offset: 300 * 4096, Length: 8192}}, extents)
}

func TestReadCOWSecondArea(t *testing.T) {
	var olds []int64
	for i := range int64(305) {
		olds = append(olds, 2*i)
	}
	s := store(4096, 320, olds...)
	assert.NotZero(t, s[258*4096+8], "entry 256 is in the area at chunk 258")
	extents, err := readCOW(bytes.NewReader(s), int64(len(s)), 1<<30)
	require.NoError(t, err)
	assert.Len(t, extents, 305)
}

// A store that is exactly full has no room for the area that would follow.
func TestReadCOWFull(t *testing.T) {
	var olds []int64
	for i := range int64(256) {
		olds = append(olds, i)
	}
	s := store(4096, 258, olds...)
	extents, err := readCOW(bytes.NewReader(s), int64(len(s)), 1<<20)
	require.NoError(t, err)
	assert.Equal(t, []Extent{{Length: 1 << 20}}, extents)
}

func TestReadCOWLastChunkIsCut(t *testing.T) {
	s := store(65536, 8, 1)
	extents, err := readCOW(bytes.NewReader(s), int64(len(s)), 65536+4096)
	require.NoError(t, err)
	assert.Equal(t, []Extent{{Offset: 65536, Length: 4096}}, extents)
}

func TestReadCOWRefuses(t *testing.T) {
	change := func(at int, to byte) []byte { s := store(4096, 8, 3); s[at] = to; return s }
	for name, s := range map[string][]byte{
		"magic":              change(0, 'X'),
		"version":            change(8, 2),
		"chunk size":         change(12, 7),
		"origin too short":   change(4096+3, 1),
		"saved outside":      change(4096+8, 200),
		"saved in a header":  change(4096+8, 1),
		"shorter than areas": store(4096, 8, 3)[:4096+100],
	} {
		_, err := readCOW(bytes.NewReader(s), 8*4096, 16*4096)
		assert.Error(t, err, name)
		assert.NotErrorIs(t, err, ErrSnapshotInvalid, name)
	}
	_, err := readCOW(bytes.NewReader(change(4, 0)), 8*4096, 16*4096)
	assert.ErrorIs(t, err, ErrSnapshotInvalid)
}

// overflows turns invalid after its header was read once.
type overflows struct {
	*bytes.Reader
	data  []byte
	reads int
}

func (o *overflows) ReadAt(p []byte, off int64) (int, error) {
	if o.reads++; o.reads == 2 {
		o.data[4] = 0
	}
	return o.Reader.ReadAt(p, off)
}

func TestReadCOWOverflowsMeanwhile(t *testing.T) {
	s := store(4096, 8, 3)
	_, err := readCOW(&overflows{Reader: bytes.NewReader(s), data: s}, int64(len(s)), 1<<20)
	assert.ErrorIs(t, err, ErrSnapshotInvalid)
}

func TestReadCOWProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chunk := int64(4096) << rapid.IntRange(0, 3).Draw(t, "chunk")
		olds := rapid.SliceOfNDistinct(rapid.Int64Range(0, 4095), 0, 600, rapid.ID).Draw(t, "olds")
		s := store(chunk, 610, olds...)
		extents, err := readCOW(bytes.NewReader(s), int64(len(s)), 4096*chunk)
		require.NoError(t, err)
		var got []int64
		for i, e := range extents {
			for off := e.Offset; off < e.Offset+e.Length; off += chunk {
				got = append(got, off/chunk)
			}
			if i > 0 {
				assert.Greater(t, e.Offset, extents[i-1].Offset+extents[i-1].Length, "sorted and apart")
			}
		}
		slices.Sort(olds)
		assert.ElementsMatch(t, olds, got)
	})
}

func FuzzReadCOW(f *testing.F) {
	f.Add(store(4096, 8, 3, 4, 9), int64(64<<10))
	f.Add(store(8192, 4), int64(5000))
	f.Fuzz(func(t *testing.T, data []byte, origin int64) {
		if origin < 1 || origin > 1<<40 {
			return
		}
		extents, err := readCOW(bytes.NewReader(data), int64(len(data)), origin)
		if err != nil {
			return
		}
		end := int64(-1)
		for _, e := range extents {
			assert.Greater(t, e.Offset, end)
			assert.Positive(t, e.Length)
			end = e.Offset + e.Length
		}
		assert.LessOrEqual(t, end, origin)
	})
}
