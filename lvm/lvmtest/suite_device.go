package lvmtest

import (
	"bytes"
	"io"
	"math/rand/v2"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

// deviceModel does random reads, writes and zeroing at any offset, and does the
// same to bytes in memory.
func deviceModel(s *suite) {
	v := s.active("web1", 1)
	d := s.open(v.ID)
	model := make([]byte, v.Size)
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		length := int64(1) << random.IntN(18)
		if random.IntN(2) == 0 {
			length = 1 + random.Int64N(length)
		}
		off := random.Int64N(v.Size - length + 1)
		if random.IntN(2) == 0 {
			off = off / 4096 * 4096
		}
		switch p := make([]byte, length); random.IntN(4) {
		case 0:
			require.NoError(s, d.Zero(off, length))
			clear(model[off : off+length])
		case 1:
			n, err := d.ReadAt(p, off)
			require.NoError(s, err)
			require.Equal(s, int(length), n)
			require.True(s, bytes.Equal(model[off:off+length], p), "%d bytes at %d", length, off)
		default:
			for i := range p {
				p[i] = byte(random.Uint32())
			}
			n, err := d.WriteAt(p, off)
			require.NoError(s, err)
			require.Equal(s, int(length), n)
			copy(model[off:], p)
		}
	}
	require.NoError(s, d.Sync())
	require.NoError(s, d.Close())
	assert.True(s, bytes.Equal(model, s.content(v.ID)))
}

func deviceEnds(s *suite) {
	v := s.active("web1", 1)
	d := s.open(v.ID)
	assert.Equal(s, v.Size, d.Size())
	p := make([]byte, 10)
	n, err := d.ReadAt(p, v.Size-4)
	assert.Equal(s, 4, n)
	assert.ErrorIs(s, err, io.EOF)
	_, err = d.ReadAt(p, v.Size)
	assert.ErrorIs(s, err, io.EOF)
	_, err = d.ReadAt(p, -1)
	assert.ErrorIs(s, err, lvm.ErrInvalid)
	for _, off := range []int64{-1, v.Size - 9, v.Size, 1<<63 - 1} {
		_, err = d.WriteAt(p, off)
		assert.ErrorIs(s, err, lvm.ErrInvalid)
		assert.ErrorIs(s, d.Zero(off, 10), lvm.ErrInvalid)
	}
	assert.ErrorIs(s, d.Zero(0, -1), lvm.ErrInvalid)
	assert.NoError(s, d.Zero(v.Size, 0))
	n, err = d.WriteAt([]byte("0123456789"), v.Size-10)
	assert.NoError(s, err)
	assert.Equal(s, 10, n)
	require.NoError(s, d.Close())
	assert.Error(s, d.Close())
	assert.Equal(s, "0123456789", string(s.content(v.ID)[v.Size-10:]))
}
