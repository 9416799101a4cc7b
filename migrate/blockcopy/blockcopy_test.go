package blockcopy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// stream returns what Send says of src.
func stream(t require.TestingT, src *disk, opts *blockcopy.SendOptions, tr blockcopy.Transfer) ([]byte, blockcopy.Stats) {
	var b bytes.Buffer
	stats, err := blockcopy.Send(context.Background(), &b, src, tr, opts)
	require.NoError(t, err)
	return b.Bytes(), stats
}

func TestWholeDisk(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 1<<20 - 1, 1 << 20, 5<<20 + 4096} {
		for _, fresh := range []bool{true, false} {
			src, dst := newDisk(size), newDisk(size)
			fill(src.data, uint64(size))
			if !fresh {
				fill(dst.data, 99)
			}
			tr := blockcopy.NewTransfer(int64(size))
			tr.Fresh = fresh
			s, sent := stream(t, src, nil, tr)
			got, err := blockcopy.Receive(t.Context(), bytes.NewReader(s), dst, tr, nil)
			require.NoError(t, err)
			require.True(t, bytes.Equal(src.data, dst.data))
			assert.True(t, dst.synced)
			assert.EqualValues(t, size, sent.Read)
			assert.EqualValues(t, len(s), sent.Wire)
			assert.Equal(t, sent.Wire, got.Wire)
			assert.Equal(t, sent.Data, got.Data)
			if !fresh {
				assert.EqualValues(t, size, sent.Data+sent.Zeros)
			}
		}
	}
}

func TestZerosCostNothing(t *testing.T) {
	src, tr := newDisk(64<<20), blockcopy.NewTransfer(64<<20)
	tr.Fresh = true
	_, stats := stream(t, src, nil, tr)
	assert.EqualValues(t, 108, stats.Wire, "END alone")
	tr.Fresh = false
	_, stats = stream(t, src, nil, tr)
	assert.EqualValues(t, 108+64*76, stats.Wire, "a header a MiB")
}

// TestExtents: what is sent is the blocks that the extents touch, and nothing
// else; what is known to be zeros is not read.
func TestExtents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 5<<18 + 1000
		src, dst := newDisk(size), newDisk(size)
		fill(src.data, 1)
		fill(dst.data, 2)
		want := bytes.Clone(dst.data)
		extents := []lvm.Extent{}
		unit := rapid.SampledFrom([]int64{4096, 1000}).Draw(t, "unit")
		var read int64
		for at := int64(0); at < size; {
			at += unit * rapid.Int64Range(0, 300).Draw(t, "gap")
			n := min(unit*rapid.Int64Range(0, 400).Draw(t, "length"), size-at)
			if n < 0 {
				break
			}
			kind := rapid.SampledFrom([]lvm.ExtentKind{lvm.Data, lvm.Zero, lvm.Discard}).Draw(t, "kind")
			extents = append(extents, lvm.Extent{Offset: at, Length: n, Kind: kind})
			if kind == lvm.Data {
				read += n
			} else {
				clear(src.data[at : at+n])
			}
			at += n
		}
		for _, e := range extents { // after all zeros are where they are
			if e.Length > 0 {
				from, to := e.Offset/4096*4096, min((e.Offset+e.Length+4095)/4096*4096, size)
				copy(want[from:to], src.data[from:])
			}
		}
		tr := blockcopy.NewTransfer(size)
		s, stats := stream(t, src, &blockcopy.SendOptions{Changes: blockcopy.Extents(extents)}, tr)
		if unit == 4096 {
			require.Equal(t, read, stats.Read)
		}
		_, err := blockcopy.Receive(context.Background(), bytes.NewReader(s), dst, tr, nil)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, dst.data))
	})
}

// TestChangesThatFail: a list that can not be read to its end makes no END.
func TestChangesThatFail(t *testing.T) {
	broken := errors.New("snapshot overflowed")
	var out bytes.Buffer
	src, tr := newDisk(8192), blockcopy.NewTransfer(8192)
	_, err := blockcopy.Send(t.Context(), &out, src, tr, &blockcopy.SendOptions{Changes: func(yield func(lvm.Extent, error) bool) {
		_ = yield(lvm.Extent{Length: 4096}, nil) && yield(lvm.Extent{}, broken)
	}})
	require.ErrorIs(t, err, broken)
	_, err = blockcopy.Receive(t.Context(), &out, newDisk(8192), tr, nil)
	require.ErrorIs(t, err, blockcopy.ErrStream)
}

func TestSendRefusesBadExtents(t *testing.T) {
	for _, bad := range [][]lvm.Extent{
		{{Offset: -1, Length: 1}}, {{Offset: 0, Length: -1}}, {{Offset: 0, Length: 8193}}, {{Offset: 1 << 62, Length: 1 << 62}},
		{{Offset: 4096, Length: 4096}, {Offset: 0, Length: 4096}}, {{Offset: 0, Length: 4097}, {Offset: 4096, Length: 1}},
	} {
		_, err := blockcopy.Send(t.Context(), io.Discard, newDisk(8192), blockcopy.NewTransfer(8192), &blockcopy.SendOptions{Changes: blockcopy.Extents(bad)})
		require.Error(t, err, "%v", bad)
	}
}

func TestErrorsOfTheEnds(t *testing.T) {
	src, tr := newDisk(4<<20), blockcopy.NewTransfer(4<<20)
	fill(src.data, 3)
	s, _ := stream(t, src, nil, tr)

	dst := newDisk(4 << 20)
	dst.fail = errors.New("disk on fire")
	_, err := blockcopy.Receive(t.Context(), bytes.NewReader(s), dst, tr, nil)
	require.ErrorIs(t, err, dst.fail)

	_, err = blockcopy.Receive(t.Context(), bytes.NewReader(s), newDisk(5<<20), tr, nil)
	require.ErrorIs(t, err, blockcopy.ErrStream)
	require.ErrorContains(t, err, "5242880 bytes here, 4194304 there")

	short := newDisk(3 << 20) // the source is shorter than it said
	_, err = blockcopy.Send(t.Context(), io.Discard, short, tr, nil)
	require.ErrorIs(t, err, io.EOF)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = blockcopy.Send(ctx, io.Discard, src, tr, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = blockcopy.Receive(ctx, bytes.NewReader(s), newDisk(4<<20), tr, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = blockcopy.Sum(ctx, src, 4<<20)
	require.ErrorIs(t, err, context.Canceled)

	r, w := io.Pipe()
	r.Close()
	_, err = blockcopy.Send(t.Context(), w, src, tr, nil)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestSum(t *testing.T) {
	for _, size := range []int{0, 1, 1 << 20, 3<<20 + 17} {
		d := newDisk(size)
		fill(d.data, 4)
		sum, err := blockcopy.Sum(t.Context(), d, int64(size))
		require.NoError(t, err)
		assert.Equal(t, sha256.Sum256(d.data), sum)
	}
	_, err := blockcopy.Sum(t.Context(), newDisk(10), 11)
	require.ErrorIs(t, err, io.EOF)
}

// TestMeter reads along, in pieces of any length, and changes nothing.
func TestMeter(t *testing.T) {
	src, tr := newDisk(3<<20+4096), blockcopy.NewTransfer(3<<20+4096)
	fill(src.data, 5)
	s, _ := stream(t, src, nil, tr)
	for _, piece := range []int{1, 75, 76, 77, 4096, 1 << 20} {
		var out bytes.Buffer
		var end int64
		m := &blockcopy.Meter{W: justWriter{&out}, Frame: func(offset, length int64) {
			require.Equal(t, end, offset)
			end = offset + length
		}}
		for rest := s; len(rest) > 0; {
			n := min(piece, len(rest))
			k, err := m.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[k:]
		}
		assert.Equal(t, tr.Size, end)
		assert.True(t, bytes.Equal(s, out.Bytes()))
	}
	m := &blockcopy.Meter{W: io.Discard}
	_, err := m.Write(bytes.Repeat([]byte("no stream "), 100))
	require.NoError(t, err)
}
