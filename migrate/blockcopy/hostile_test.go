package blockcopy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// forge is a sender that knows the key and lies as it likes.
type forge struct {
	tr   blockcopy.Transfer
	out  bytes.Buffer
	root []byte // key and headers
	n    uint64
}

func newForge(size int64) *forge {
	f := &forge{tr: blockcopy.NewTransfer(size)}
	f.root = append(f.root, f.tr.Key[:]...)
	return f
}

// head appends a header whose CRC is right.
func (f *forge) head(typ, codec byte, offset uint64, raw, coded uint32, hash []byte) *forge {
	b := make([]byte, 40)
	b[0], b[1] = typ, codec
	binary.LittleEndian.PutUint64(b[4:], offset)
	binary.LittleEndian.PutUint32(b[12:], raw)
	binary.LittleEndian.PutUint32(b[16:], coded)
	copy(b[20:36], hash)
	binary.LittleEndian.PutUint32(b[36:], crc32.Checksum(b[:36], crc32.MakeTable(crc32.Castagnoli)))
	f.out.Write(b)
	f.root = append(f.root, b...)
	f.n++
	return f
}

func (f *forge) data(offset uint64, p []byte) *forge {
	sum := sha256.Sum256(append(bytes.Clone(f.tr.Key[:]), p...))
	f.head(1, 0, offset, uint32(len(p)), uint32(len(p)), sum[:16])
	f.out.Write(p)
	return f
}

func (f *forge) end() *forge {
	root, n := sha256.Sum256(f.root), f.n
	f.head(3, 0, n, 0, 32, nil)
	f.out.Write(root[:])
	return f
}

func TestForgedFramesAreRefused(t *testing.T) {
	const size = 4 << 20
	page := bytes.Repeat([]byte{7}, 4096)
	for name, f := range map[string]*forge{
		"beyond the end":              newForge(size).data(size, page).end(),
		"across the end":              newForge(size).data(size-100, page).end(),
		"negative offset":             newForge(size).data(1<<63, page).end(),
		"offset that overflows":       newForge(size).data(1<<63-10, page).end(),
		"the same twice":              newForge(size).data(0, page).data(0, page).end(),
		"backwards":                   newForge(size).data(8192, page).data(0, page).end(),
		"zeros beyond the end":        newForge(size).head(2, 0, size-4096, 8192, 0, nil).end(),
		"zeros with a payload":        newForge(size).head(2, 0, 0, 4096, 4096, nil).end(),
		"zeros, too many":             newForge(size).head(2, 0, 0, 1<<20+1, 0, nil).end(),
		"data, too many":              newForge(size).head(1, 0, 0, 1<<20+1, 1<<20+1, nil).end(),
		"data, 4 GiB":                 newForge(size).head(1, 0, 0, 1<<32-1, 1<<32-1, nil).end(),
		"no data":                     newForge(size).head(1, 0, 0, 0, 0, nil).end(),
		"plain of another length":     newForge(size).head(1, 0, 0, 4096, 4095, nil).end(),
		"packed, longer than raw":     newForge(size).head(1, 1, 0, 4096, 8192, nil).end(),
		"unknown codec":               newForge(size).head(1, 9, 0, 4096, 4096, nil).end(),
		"unknown type":                newForge(size).head(4, 0, 0, 4096, 4096, nil).end(),
		"nothing at all":              newForge(size),
		"no END":                      newForge(size).data(0, page),
		"END with a count too high":   newForge(size).head(3, 0, 1, 0, 32, nil),
		"END with a payload too long": newForge(size).head(3, 0, 0, 0, 64, nil),
	} {
		dst := newDisk(size)
		_, err := blockcopy.Receive(t.Context(), &f.out, dst, f.tr)
		require.ErrorIs(t, err, blockcopy.ErrStream, name)
		assert.False(t, dst.synced, name)
	}
}

// TestNothingBehindEnd: what follows END is not read as frames.
func TestNothingBehindEnd(t *testing.T) {
	f := newForge(8192).data(0, bytes.Repeat([]byte{1}, 4096)).end()
	f.data(4096, bytes.Repeat([]byte{2}, 4096)).end()
	dst := newDisk(8192)
	_, err := blockcopy.Receive(t.Context(), &f.out, dst, f.tr)
	require.NoError(t, err)
	assert.Equal(t, make([]byte, 4096), dst.data[4096:])
	assert.Equal(t, 1, dst.writes)
}

// TestPackedBomb: a frame that unpacks to more than it says costs no more
// memory than a frame may have.
func TestPackedBomb(t *testing.T) {
	src, tr := newDisk(1<<20), blockcopy.NewTransfer(1<<20)
	src.data[0] = 1
	s, _ := stream(t, src, nil, tr)
	binary.LittleEndian.PutUint32(s[12:], 4096) // says 4 KiB, is 1 MiB
	coded := binary.LittleEndian.Uint32(s[16:])
	require.Less(t, coded, uint32(4096))
	binary.LittleEndian.PutUint32(s[36:], crc32.Checksum(s[:36], crc32.MakeTable(crc32.Castagnoli)))
	dst := newDisk(1 << 20)
	_, err := blockcopy.Receive(t.Context(), bytes.NewReader(s), dst, tr)
	require.ErrorIs(t, err, blockcopy.ErrStream)
	assert.Zero(t, dst.writes)
}

// TestDamage flips a bit of each byte of a stream and cuts it at each place: it
// is refused, and what was written is a part of what was sent. A bit of a
// packed frame that means nothing to the unpacker is let pass: what it unpacks
// to is proven all the same.
func TestDamage(t *testing.T) {
	const size = 2 * 4096
	src, tr := newDisk(size), blockcopy.NewTransfer(size)
	for i := range src.data[:300] {
		src.data[i] = byte(i * i >> 7)
	}
	s, _ := stream(t, src, nil, tr)
	for i := range s {
		for _, damaged := range [][]byte{flip(s, i), s[:i]} {
			dst := newDisk(size)
			_, err := blockcopy.Receive(t.Context(), bytes.NewReader(damaged), dst, tr)
			if err == nil {
				require.Equal(t, src.data, dst.data, "byte %d", i)
				continue
			}
			require.ErrorIs(t, err, blockcopy.ErrStream, "byte %d", i)
			require.True(t, bytes.Equal(dst.data, make([]byte, size)) || bytes.Equal(dst.data, src.data), "byte %d", i)
		}
	}
	other := blockcopy.NewTransfer(size) // a stream of another transfer
	_, err := blockcopy.Receive(t.Context(), bytes.NewReader(s), newDisk(size), other)
	require.ErrorIs(t, err, blockcopy.ErrStream)
}

func flip(s []byte, i int) []byte {
	c := bytes.Clone(s)
	c[i] ^= 0x10
	return c
}

// FuzzReceive: no bytes crash the receiver, make it allocate without bounds,
// or write outside the volume (disk fails the test through errBounds).
func FuzzReceive(f *testing.F) {
	const size = 64 << 10
	src, tr := newDisk(size), blockcopy.Transfer{Size: size}
	fill(src.data, 6)
	s, _ := stream(f, src, nil, tr)
	f.Add(s)
	f.Add(s[:100])
	f.Add([]byte("XENHOST1"))
	f.Fuzz(func(t *testing.T, in []byte) {
		dst := newDisk(size)
		_, err := blockcopy.Receive(t.Context(), bytes.NewReader(in), dst, tr)
		require.NotErrorIs(t, err, errBounds)
		if err == nil && !bytes.Equal(in[:min(len(in), len(s))], s) {
			// A stream of its own with a root that is right: all it wrote has
			// the key's hash, so with a secret key this can not be forged.
			assert.True(t, dst.synced)
		}
	})
}
