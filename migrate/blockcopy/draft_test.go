package blockcopy_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// TestCutWithIndex cuts the stream in thirty places and behind its end. The
// content that a lost frame carried goes back to what it was before: it must
// not be taken for something that the receiver has.
func TestCutWithIndex(t *testing.T) {
	const size = 4 << 20
	for cut, step := 0, 0; ; cut += step {
		p := newPair(t, t.TempDir(), size)
		p.pass(blockcopy.SendOptions{})
		before := bytes.Clone(p.src.data)
		for at := 1000; at < size; at += 600_000 {
			p.src.data[at] ^= 0xff
		}

		x := p.open()
		tr, d := p.begin(x)
		s, whole := stream(t, p.src, &blockcopy.SendOptions{Index: d}, tr)
		step = len(s)/30 + 1
		cut = min(cut, len(s))
		got, err := blockcopy.Receive(t.Context(), bytes.NewReader(s[:cut]), p.dst, tr, nil)
		if cut == len(s) {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, blockcopy.ErrStream)
		}
		require.NoError(t, d.Close())
		require.NoError(t, x.Close()) // the sender is killed

		x = p.open()
		d, err = x.Pending()
		require.NoError(t, err)
		require.NotNil(t, d)
		require.Equal(t, tr, d.Transfer())
		if cut == len(s) { // only the answer was lost
			require.NoError(t, d.Commit(got.Generation()))
			require.NoError(t, x.Close())
			p.equal()
			break
		}
		copy(p.src.data[got.Next.Offset:], before[got.Next.Offset:])
		require.NoError(t, d.Rewind(got.Next.Offset))
		rest := d.Transfer()
		rest.From = got.Next
		s, again := stream(t, p.src, &blockcopy.SendOptions{Index: d}, rest)
		require.LessOrEqual(t, got.Frames+again.Frames, whole.Frames)
		_, err = blockcopy.Receive(t.Context(), bytes.NewReader(s), p.dst, rest, nil)
		require.NoError(t, err)
		require.NoError(t, d.Commit(d.To()))
		require.NoError(t, x.Close())
		p.equal()
	}
}

func TestDraftIsOfItsTransfer(t *testing.T) {
	p := newPair(t, t.TempDir(), 1<<20)
	p.pass(blockcopy.SendOptions{})
	x := p.open()
	defer x.Close()
	_, err := blockcopy.OpenIndex(p.path, 1<<20)
	require.ErrorIs(t, err, blockcopy.ErrBusy)

	_, err = x.Draft(blockcopy.NewTransfer(1 << 20)) // of no base
	require.ErrorIs(t, err, blockcopy.ErrBase)
	d, err := x.Pending()
	require.NoError(t, err)
	require.Nil(t, d)
	tr, d := p.begin(x)
	_, err = blockcopy.Send(t.Context(), io.Discard, p.src, blockcopy.NewTransfer(1<<20), &blockcopy.SendOptions{Index: d})
	require.ErrorIs(t, err, blockcopy.ErrIndex)
	_, err = blockcopy.Send(t.Context(), io.Discard, p.src, tr, &blockcopy.SendOptions{Index: d})
	require.NoError(t, err)
	before := x.Generation()
	require.ErrorIs(t, d.Commit(blockcopy.Generation{1}), blockcopy.ErrBase)
	require.Equal(t, before, x.Generation())
}

// TestLearnedIsForNow: what a receiver said of a volume that is then written in
// place is worth nothing to a later transfer.
func TestLearnedIsForNow(t *testing.T) {
	p := newPair(t, t.TempDir(), 3<<20)
	x := p.open()
	r, w := io.Pipe()
	go func() { w.CloseWithError(blockcopy.Hashes(t.Context(), w, p.dst, p.dst.Size(), x.Key())) }()
	require.NoError(t, x.Learn(r, blockcopy.Generation{}))
	tr, d := p.begin(x)
	s, _ := stream(t, p.src, &blockcopy.SendOptions{Index: d}, tr)
	got, err := blockcopy.Receive(t.Context(), bytes.NewReader(s[:len(s)-200]), p.dst, tr, nil)
	require.ErrorIs(t, err, blockcopy.ErrStream)
	require.Greater(t, got.Frames, int64(1))
	require.NoError(t, d.Close())
	require.NoError(t, x.Close())
	clear(p.src.data) // as the copy was when it was asked

	x = p.open()
	require.False(t, x.Exists())
	// Going on: what may have arrived since is sent again.
	d, err = x.Pending()
	require.NoError(t, err)
	require.NoError(t, d.Rewind(1<<20))
	rest := d.Transfer()
	rest.From = blockcopy.Point{Offset: 1 << 20, Frames: 1, Root: [32]byte{1}}
	_, stats := stream(t, p.src, &blockcopy.SendOptions{Index: d}, rest)
	assert.EqualValues(t, 2<<20, stats.Zeros)
	require.NoError(t, d.Close())
	// Or from the beginning.
	tr, d = p.begin(x)
	_, stats = stream(t, p.src, &blockcopy.SendOptions{Index: d}, tr)
	assert.EqualValues(t, 3<<20, stats.Zeros)
	require.NoError(t, d.Close())
	require.NoError(t, x.Close())
}
