package blockcopy_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// pair is a volume, its copy, and the index that says what the copy has.
type pair struct {
	t        require.TestingT
	path     string
	src, dst *disk
}

func newPair(t require.TestingT, dir string, size int) *pair {
	p := &pair{t: t, path: filepath.Join(dir, "index"), src: newDisk(size), dst: newDisk(size)}
	fill(p.src.data, 1)
	return p
}

func (p *pair) open() *blockcopy.Index {
	x, err := blockcopy.OpenIndex(p.path, p.src.Size())
	require.NoError(p.t, err)
	return x
}

// begin returns a transfer and a draft for it.
func (p *pair) begin(x *blockcopy.Index) (blockcopy.Transfer, *blockcopy.Draft) {
	tr := blockcopy.NewTransfer(p.src.Size())
	tr.Base = x.Generation()
	d, err := x.Draft(tr)
	require.NoError(p.t, err)
	return tr, d
}

// pass brings the copy up to date by the index.
func (p *pair) pass(opts blockcopy.SendOptions) blockcopy.Stats {
	x := p.open()
	defer x.Close()
	tr, d := p.begin(x)
	opts.Index = d
	s, stats := stream(p.t, p.src, &opts, tr)
	got, err := blockcopy.Receive(context.Background(), bytes.NewReader(s), p.dst, tr, nil)
	require.NoError(p.t, err)
	require.NoError(p.t, d.Commit(got.Generation()))
	require.Equal(p.t, got.Generation(), x.Generation())
	return stats
}

// equal checks that the copy is one, and that the index says so.
func (p *pair) equal() {
	require.True(p.t, bytes.Equal(p.src.data, p.dst.data))
	x := p.open()
	defer x.Close()
	var want bytes.Buffer
	require.NoError(p.t, blockcopy.Hashes(context.Background(), &want, p.dst, p.dst.Size(), x.Key()))
	have, err := os.ReadFile(p.path)
	require.NoError(p.t, err)
	require.True(p.t, bytes.Equal(want.Bytes(), have[4096:]), "the index is what the copy has")
}

func TestIndexSendsWhatChanged(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, size := range []int{4096, 1 << 20, 2<<20 + 4096, 2<<20 + 1000} {
		p := newPair(t, t.TempDir(), size)
		p.pass(blockcopy.SendOptions{})
		p.equal()
		for changes := range 6 {
			changed := map[int]int{}
			for range changes * changes {
				at := r.IntN(size)
				p.src.data[at]++
				changed[at/4096] = min(4096, size-at/4096*4096)
			}
			total := 0
			for _, n := range changed {
				total += n
			}
			stats := p.pass(blockcopy.SendOptions{})
			require.EqualValues(t, total, stats.Data+stats.Zeros)
			require.EqualValues(t, size, stats.Read)
			p.equal()
		}
	}
}

// TestOneByte: what one changed byte costs.
func TestOneByte(t *testing.T) {
	p := newPair(t, t.TempDir(), 32<<20)
	p.pass(blockcopy.SendOptions{})
	p.src.data[17<<20+5] ^= 1
	stats := p.pass(blockcopy.SendOptions{})
	assert.EqualValues(t, 4096, stats.Data)
	assert.Less(t, stats.Wire, int64(5000))
	assert.EqualValues(t, 108, p.pass(blockcopy.SendOptions{}).Wire, "nothing changed: END alone")
	p.equal()
}

// TestIndexWithChanges: with a list of changes the rest is not even read, and
// of a list that is too coarse only what differs is sent.
func TestIndexWithChanges(t *testing.T) {
	p := newPair(t, t.TempDir(), 8<<20)
	p.pass(blockcopy.SendOptions{})
	p.src.data[3<<20+70000]++
	list := []lvm.Extent{{Offset: 3<<20 + 65536, Length: 65536}}
	stats := p.pass(blockcopy.SendOptions{Changes: blockcopy.Extents(list)})
	assert.EqualValues(t, 65536, stats.Read)
	assert.EqualValues(t, 4096, stats.Data)
	p.equal()
}

// TestBadIndex: a file that is no index, or a damaged one, is refused before
// an entry is believed.
func TestBadIndex(t *testing.T) {
	p := newPair(t, t.TempDir(), 2<<20)
	p.pass(blockcopy.SendOptions{})
	good, err := os.ReadFile(p.path)
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"empty": {}, "short": good[:5000], "long": append(bytes.Clone(good), 0),
		"magic": flip(good, 0), "length": flip(good, 8), "sum": flip(good, 12), "text": flip(good, 40),
		"noise": bytes.Repeat([]byte{0xa5}, len(good)),
	} {
		require.NoError(t, os.WriteFile(p.path, bad, 0o600))
		_, err := blockcopy.OpenIndex(p.path, 2<<20)
		require.ErrorIs(t, err, blockcopy.ErrIndex, name)
	}
	require.NoError(t, os.WriteFile(p.path, good, 0o600))
	_, err = blockcopy.OpenIndex(p.path, 3<<20)
	require.ErrorIs(t, err, blockcopy.ErrIndex)
	// Damaged entries only cost: what they are about is sent.
	require.NoError(t, os.WriteFile(p.path, flip(good, 4096+16*300), 0o600))
	assert.EqualValues(t, 4096, p.pass(blockcopy.SendOptions{}).Data)
	p.equal()
}

// TestIndexFromTheReceiver: a sender that has lost its index asks for it.
func TestIndexFromTheReceiver(t *testing.T) {
	p := newPair(t, t.TempDir(), 3<<20+4096)
	copy(p.dst.data, p.src.data)
	p.dst.data[2<<20]++
	x := p.open()
	require.False(t, x.Exists())
	learn := func() {
		r, w := io.Pipe()
		go func() { w.CloseWithError(blockcopy.Hashes(t.Context(), w, p.dst, p.dst.Size(), x.Key())) }()
		require.NoError(t, x.Learn(r, blockcopy.Generation{}))
	}
	learn()
	require.ErrorIs(t, x.Learn(bytes.NewReader(make([]byte, 4096)), blockcopy.Generation{}), io.ErrUnexpectedEOF)
	learn()
	tr, d := p.begin(x)
	s, stats := stream(t, p.src, &blockcopy.SendOptions{Index: d}, tr)
	assert.EqualValues(t, 4096, stats.Data)
	_, err := blockcopy.Receive(t.Context(), bytes.NewReader(s), p.dst, tr, nil)
	require.NoError(t, err)
	require.NoError(t, d.Commit(d.To()))
	require.NoError(t, x.Close())
	p.equal()
}

// TestKeysDiffer: what collides in one index, if anything did, would not in
// another: each has a key of its own.
func TestKeysDiffer(t *testing.T) {
	src := newDisk(1 << 20)
	_, _ = rand.NewChaCha8([32]byte{6}).Read(src.data)
	var a, b bytes.Buffer
	require.NoError(t, blockcopy.Hashes(t.Context(), &a, src, src.Size(), [32]byte{1}))
	require.NoError(t, blockcopy.Hashes(t.Context(), &b, src, src.Size(), [32]byte{2}))
	for i := 0; i < a.Len(); i += 16 {
		require.NotEqual(t, a.Bytes()[i:i+16], b.Bytes()[i:i+16])
	}
	x, err := blockcopy.OpenIndex(filepath.Join(t.TempDir(), "x"), 1)
	require.NoError(t, err)
	y, err := blockcopy.OpenIndex(filepath.Join(t.TempDir(), "y"), 1)
	require.NoError(t, err)
	require.NotEqual(t, x.Key(), y.Key())
}
