package image

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// tiny is a qcow2 image of 512-byte clusters: tables at 512 and 1024, one
// cluster of data.
func tiny() []byte {
	b := make([]byte, 2048)
	copy(b, "QFI\xfb")
	be := binary.BigEndian
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 9)
	be.PutUint64(b[24:], 4096)
	be.PutUint32(b[36:], 1)
	be.PutUint64(b[40:], 512)
	be.PutUint32(b[100:], 104)
	be.PutUint64(b[512:], 1024)
	be.PutUint64(b[1024+8:], 1536)
	be.PutUint64(b[1024+16:], zero)
	copy(b[1536:], "data")
	return b
}

func TestTiny(t *testing.T) {
	q, err := newQcow2(bytes.NewReader(tiny()), 2048)
	require.NoError(t, err)
	b := make([]byte, 4096)
	n, err := q.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, 4096, n)
	require.Equal(t, []byte("data"), bytes.Trim(b, "\x00"))
	require.Equal(t, 512, bytes.Index(b, []byte("data")))
}

// FuzzQcow2: whatever an image says, it reads as a disk or is an error, within
// bounds.
func FuzzQcow2(f *testing.F) {
	f.Add(tiny())
	packed := tiny()
	binary.BigEndian.PutUint64(packed[1024:], compressed|1536)
	f.Add(packed)
	f.Add([]byte("QFI\xfb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := newQcow2(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(q.l1), maxL1)
		piece := make([]byte, min(q.size, 64<<10))
		for _, at := range []int64{0, q.size / 2, q.size - int64(len(piece))} {
			_, _ = q.ReadAt(piece, at)
		}
	})
}

// FuzzPartition: a partition is inside its disk.
func FuzzPartition(f *testing.F) {
	b := make([]byte, 4096)
	copy(b[446:], []byte{0, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0})
	b[510], b[511] = 0x55, 0xaa
	f.Add(b, 1)
	g := bytes.Clone(b)
	copy(g[512:], "EFI PART")
	binary.LittleEndian.PutUint64(g[512+72:], 2)
	binary.LittleEndian.PutUint32(g[512+80:], 4)
	binary.LittleEndian.PutUint32(g[512+84:], 128)
	g[1024], g[1024+32], g[1024+40] = 1, 3, 4
	f.Add(g, 1)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		start, length, err := partition(bytes.NewReader(data), int64(len(data)), n)
		if err == nil {
			require.Positive(t, start)
			require.Positive(t, length)
			require.LessOrEqual(t, start+length, int64(len(data)))
		}
	})
}
