package blockcopy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// forge is a sender that knows the key and lies as it likes.
type forge struct {
	tr   blockcopy.Transfer
	out  bytes.Buffer
	root [32]byte
	n    uint64
}

func newForge(size int64) *forge {
	f := &forge{tr: blockcopy.NewTransfer(size)}
	return f.restart()
}

// restart begins the stream of the present Transfer.
func (f *forge) restart() *forge {
	d := append([]byte("xenhost blockcopy 2"), f.tr.Key[:]...)
	d = append(d, f.tr.Base[:]...)
	f.root = sha256.Sum256(binary.LittleEndian.AppendUint64(d, uint64(f.tr.Size)))
	f.out.Reset()
	f.n = 0
	return f
}

// head appends a header that is proven with raw, and its payload.
func (f *forge) head(typ, codec byte, offset uint64, blocks uint64, raw, coded uint32, proven, payload []byte) *forge {
	b := make([]byte, 76)
	b[0], b[1] = typ, codec
	binary.LittleEndian.PutUint32(b[4:], raw)
	binary.LittleEndian.PutUint64(b[8:], offset)
	binary.LittleEndian.PutUint32(b[16:], coded)
	if len(payload) > 0 {
		binary.LittleEndian.PutUint32(b[20:], crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
	}
	binary.LittleEndian.PutUint64(b[24:], blocks)
	sum := sha256.Sum256(slices.Concat(f.tr.Key[:], b[:56], proven))
	copy(b[56:], sum[:16])
	binary.LittleEndian.PutUint32(b[72:], crc32.Checksum(b[:72], crc32.MakeTable(crc32.Castagnoli)))
	f.out.Write(b)
	f.out.Write(payload)
	if typ != 3 {
		f.root = sha256.Sum256(append(f.root[:], b...))
		f.n++
	}
	return f
}

// data is one block.
func (f *forge) data(offset uint64, block int, p []byte) *forge {
	return f.head(1, 0, offset, 1<<block, uint32(len(p)), uint32(len(p)), p, p)
}

func (f *forge) end() *forge {
	return f.head(3, 0, f.n, 0, 0, 32, f.root[:], f.root[:])
}

func TestForgedFramesAreRefused(t *testing.T) {
	const size, mib = 4<<20 - 4096, 1 << 20
	page := bytes.Repeat([]byte{7}, 4096)
	forged := func() *forge { return newForge(size) }
	for name, f := range map[string]*forge{
		"beyond the end":              forged().data(4*mib, 0, page).end(),
		"far beyond the end":          forged().data(1<<62, 0, page).end(),
		"a block behind the end":      forged().head(1, 0, 3*mib, 1, 4096, 4096, page, page).head(1, 0, 3*mib, 0, 4096, 4096, page, page).end(),
		"across the end":              forged().head(1, 0, 3*mib+1, 1, 4096, 4096, page, page).end(),
		"negative offset":             forged().data(1<<63, 0, page).end(),
		"no extent begins there":      forged().data(4096, 0, page).end(),
		"the same twice":              forged().data(0, 0, page).data(0, 0, page).end(),
		"one extent in two frames":    forged().data(0, 0, page).data(0, 1, page).end(),
		"backwards":                   forged().data(mib, 0, page).data(0, 0, page).end(),
		"more blocks than bytes":      forged().head(1, 0, 0, 3, 4096, 4096, page, page).end(),
		"more bytes than blocks":      forged().head(1, 0, 0, 0, 4096, 4096, page, page).end(),
		"zeros, blocks and no bytes":  forged().head(2, 0, 0, 1, 0, 0, nil, nil).end(),
		"zeros with a payload":        forged().head(2, 0, 0, 1, 4096, 4096, nil, page).end(),
		"zeros, too many":             forged().head(2, 0, 0, 1, mib+1, 0, nil, nil).end(),
		"zeros that are not proven":   forged().head(2, 0, 0, 1, 4096, 0, page, nil).end(),
		"data, too many":              forged().head(1, 0, 0, 1, mib+1, mib+1, nil, nil).end(),
		"data, 4 GiB":                 forged().head(1, 0, 0, 1, 1<<32-1, 1<<32-1, nil, nil).end(),
		"no data":                     forged().head(1, 0, 0, 0, 0, 0, nil, nil).end(),
		"data that is not proven":     forged().head(1, 0, 0, 1, 4096, 4096, page[1:], page).end(),
		"plain of another length":     forged().head(1, 0, 0, 1, 4096, 4095, page, page).end(),
		"packed, longer than raw":     forged().head(1, 1, 0, 1, 4096, 8192, page, page).end(),
		"packed, but it is not":       forged().head(1, 1, 0, 1, 4096, 4000, page, page[:4000]).end(),
		"unknown codec":               forged().head(1, 9, 0, 1, 4096, 4096, page, page).end(),
		"unknown type":                forged().head(4, 0, 0, 1, 4096, 4096, page, page).end(),
		"nothing at all":              forged(),
		"no END":                      forged().data(0, 0, page),
		"END with a count too high":   forged().head(3, 0, 1, 0, 0, 32, make([]byte, 32), make([]byte, 32)),
		"END with a payload too long": forged().head(3, 0, 0, 0, 0, 64, make([]byte, 64), make([]byte, 64)),
		"END of another root":         forged().head(3, 0, 0, 0, 0, 32, make([]byte, 32), make([]byte, 32)),
	} {
		dst := newDisk(size)
		_, err := blockcopy.Receive(t.Context(), &f.out, dst, f.tr, nil)
		require.ErrorIs(t, err, blockcopy.ErrStream, name)
		assert.False(t, dst.synced, name)
	}
}

// TestReplay: frames and whole streams of another transfer are refused, also
// those of the same volume.
func TestReplay(t *testing.T) {
	const size = 4 << 20
	src := newDisk(size)
	fill(src.data, 3)
	for name, change := range map[string]func(*blockcopy.Transfer){
		"key":  func(tr *blockcopy.Transfer) { tr.Key[0]++ },
		"base": func(tr *blockcopy.Transfer) { tr.Base[0]++ },
	} {
		tr := blockcopy.NewTransfer(size)
		s, _ := stream(t, src, nil, tr)
		change(&tr)
		dst := newDisk(size)
		_, err := blockcopy.Receive(t.Context(), bytes.NewReader(s), dst, tr, nil)
		require.ErrorIs(t, err, blockcopy.ErrStream, name)
		if name == "key" {
			assert.Zero(t, dst.writes)
		}
	}
	// A frame of zeros taken out of another transfer proves itself wrong.
	f := newForge(size)
	f.head(2, 0, 0, 1, 4096, 0, nil, nil)
	dst := newDisk(size)
	_, err := blockcopy.Receive(t.Context(), &f.out, dst, blockcopy.NewTransfer(size), nil)
	require.ErrorIs(t, err, blockcopy.ErrStream)
	assert.Zero(t, dst.writes)
}

// TestNothingBehindEnd: what follows END is not read as frames.
func TestNothingBehindEnd(t *testing.T) {
	f := newForge(8192).data(0, 0, bytes.Repeat([]byte{1}, 4096)).end()
	f.data(0, 1, bytes.Repeat([]byte{2}, 4096)).end()
	dst := newDisk(8192)
	_, err := blockcopy.Receive(t.Context(), &f.out, dst, f.tr, nil)
	require.NoError(t, err)
	assert.Equal(t, make([]byte, 4096), dst.data[4096:])
	assert.Equal(t, 1, dst.writes)
}

// TestPackedBomb: a frame that unpacks to more than it says costs no more
// memory than a frame may have.
func TestPackedBomb(t *testing.T) {
	const size = 1 << 20
	enc, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	require.Less(t, len(bomb), 8192)
	f := newForge(size)
	f.head(1, 1, 0, 7, 3*4096, uint32(len(bomb)), nil, bomb).end()
	dst := newDisk(size)
	_, err = blockcopy.Receive(t.Context(), &f.out, dst, f.tr, nil)
	require.ErrorIs(t, err, blockcopy.ErrStream)
	assert.Zero(t, dst.writes)
}

// TestDamage flips a bit of each byte of a stream and cuts it at each place: it
// is refused, and what was written is a part of what was sent. From where the
// receiver says a second stream brings the rest, and no frame twice.
func TestDamage(t *testing.T) {
	const size = 2<<20 + 4096
	src, tr := newDisk(size), blockcopy.NewTransfer(size)
	for i := range 300 {
		src.data[i] = byte(i * i >> 7)
		src.data[2<<20+i] = byte(i * i >> 6)
	}
	s, whole := stream(t, src, nil, tr)
	old := make([]byte, size)
	old[1<<20] = 9 // what zeros replace
	dst := newDisk(size)
	for i := range s {
		copy(dst.data, old)
		got, err := blockcopy.Receive(t.Context(), bytes.NewReader(flip(s, i)), dst, tr, nil)
		require.ErrorIs(t, err, blockcopy.ErrStream, "byte %d", i)
		require.False(t, dst.synced)
		for at := int64(0); at < size; at += 1 << 20 {
			end := min(at+1<<20, size)
			want := old[at:end]
			if end <= got.Next.Offset {
				want = src.data[at:end]
			}
			require.True(t, bytes.Equal(want, dst.data[at:end]), "byte %d", i)
		}

		copy(dst.data, old)
		got, err = blockcopy.Receive(t.Context(), bytes.NewReader(s[:i]), dst, tr, nil)
		require.ErrorIs(t, err, blockcopy.ErrStream, "byte %d", i)
		if i%7 > 0 {
			continue
		}
		rest := tr
		rest.From = got.Next
		again, sent := stream(t, src, nil, rest)
		require.Equal(t, whole.Frames, got.Frames+sent.Frames, "byte %d", i)
		_, err = blockcopy.Receive(t.Context(), bytes.NewReader(again), dst, rest, nil)
		require.NoError(t, err, "byte %d", i)
		require.True(t, bytes.Equal(dst.data, src.data), "byte %d", i)
		dst.synced = false
	}
}

// TestServeRefusesRanges: hashes are of whole extents inside the target.
func TestServeRefusesRanges(t *testing.T) {
	const size = 3<<20 + 4096
	for part, want := range map[string]int{
		`"length":3149824`:                              4 * 4096,
		`"offset":3145728,"length":4096`:                4096,
		`"offset":1048576`:                              0,
		`"length":3149825`:                              -1,
		`"offset":3145728,"length":8192`:                -1,
		`"offset":4194304`:                              -1,
		`"offset":1,"length":4096`:                      -1,
		`"offset":-1048576,"length":4096`:               -1,
		`"length":-1`:                                   -1,
		`"offset":1048576,"length":9223372036854775807`: -1,
	} {
		talk := []byte("XENCOPY3")
		for _, m := range []string{`{"verb":"open","open":{"path":"/dev/guests/web1","size":3149824}}`, `{"verb":"hashes",` + part + `}`} {
			talk = append(binary.BigEndian.AppendUint32(talk, uint32(len(m))), m...)
		}
		var out bytes.Buffer
		err := blockcopy.Serve(t.Context(), struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(talk), &out}, newPeer(size).open)
		offer := 8 + 4 + len(`{"offer":{}}`)
		if want < 0 {
			require.ErrorIs(t, err, blockcopy.ErrStream, part)
			assert.Contains(t, out.String(), `"word":"stream"`, part)
			continue
		}
		require.NoError(t, err, part)
		assert.Equal(t, offer+want, out.Len(), part)
	}
}

func flip(s []byte, i int) []byte {
	c := bytes.Clone(s)
	c[i] ^= 0x10
	return c
}
