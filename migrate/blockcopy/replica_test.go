package blockcopy_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
)

const nightSize = 4 << 20

// nights is a replica with its first copy, and the delta of the next night.
type nights struct {
	p        *power
	dst      simVolume
	store    *simStore
	old, new []byte
	from     blockcopy.Generation
	tr       blockcopy.Transfer
	delta    []byte
	list     []lvm.Extent
	next     *disk
}

func newNights(t testing.TB) *nights {
	p := &power{left: -1}
	n := &nights{p: p, dst: simVolume{newSimDisk(p, make([]byte, nightSize))}, store: &simStore{p: p, log: newSimDisk(p, nil)}}
	src := newDisk(nightSize)
	fill(src.data, 8)
	n.old = bytes.Clone(src.data)
	r := n.open(t)
	tr := blockcopy.NewTransfer(nightSize)
	s, _ := stream(t, src, nil, tr)
	stats, err := r.Receive(t.Context(), bytes.NewReader(s), tr)
	require.NoError(t, err)
	n.from = stats.Generation()
	require.Equal(t, n.from, r.Generation())
	require.True(t, bytes.Equal(n.old, n.dst.now))

	for _, at := range []int64{8192, 1 << 20, 3<<20 + 4096} {
		src.data[at] ^= 0x55
		n.list = append(n.list, lvm.Extent{Offset: at, Length: 4096})
	}
	clear(src.data[2<<20 : 2<<20+65536])
	n.list = append(n.list[:2], lvm.Extent{Offset: 2 << 20, Length: 65536, Kind: lvm.Zero}, n.list[2])
	n.new, n.next = bytes.Clone(src.data), src
	n.tr = blockcopy.NewTransfer(nightSize)
	n.tr.Base = n.from
	n.delta = n.stream(t, n.tr)
	return n
}

// again returns the same night on disks of its own.
func (n *nights) again() *nights {
	p, c := &power{left: -1}, *n
	c.p, c.dst = p, simVolume{newSimDisk(p, n.old)}
	c.store = &simStore{p: p, state: blockcopy.State{Generation: n.from}, log: newSimDisk(p, nil)}
	return &c
}

func (n *nights) stream(t testing.TB, tr blockcopy.Transfer) []byte {
	s, _ := stream(t, n.next, &blockcopy.SendOptions{Changes: blockcopy.Extents(n.list)}, tr)
	return s
}

func (n *nights) open(t testing.TB) *blockcopy.Replica {
	r, err := blockcopy.OpenReplica(t.Context(), n.dst, n.store)
	require.NoError(t, err)
	return r
}

// crash runs f and fails power in its k-th operation; then the disks come back.
// It returns false if f ended before.
func (n *nights) crash(k int, chance float64, f func() error) bool {
	n.p.left = k
	_ = f()
	crashed := n.p.out
	n.p.left, n.p.out = -1, false
	r := rand.New(rand.NewPCG(uint64(k), uint64(chance*100)))
	if crashed {
		n.dst.restart(r, chance)
		n.store.log.restart(r, chance)
	}
	return crashed
}

// whole checks that the replica holds one of the two generations, all of it.
func (n *nights) whole(t testing.TB, r *blockcopy.Replica, when string) {
	if r.Generation() == n.from {
		require.True(t, bytes.Equal(n.old, n.dst.now), "%s: the old generation is torn", when)
		return
	}
	require.True(t, bytes.Equal(n.new, n.dst.now), "%s: the new generation is torn", when)
}

// finish brings the delta to its end, from wherever it stands.
func (n *nights) finish(t testing.TB, r *blockcopy.Replica, when string) {
	if r.Generation() != n.from {
		return
	}
	tr := n.tr
	p, err := r.Pending(t.Context())
	require.NoError(t, err, when)
	if p != nil {
		tr = *p
	}
	_, err = r.Receive(t.Context(), bytes.NewReader(n.stream(t, tr)), tr)
	require.NoError(t, err, when)
	require.NotEqual(t, n.from, r.Generation(), when)
	n.whole(t, r, when)
}

// TestNeverHalf fails the power in each operation of a delta, and in each one
// of the recovery after that. Whatever of the disks' caches survives, the
// replica holds the old generation or the new one.
func TestNeverHalf(t *testing.T) {
	night, points := newNights(t), 0
	for _, chance := range []float64{0, 0.5, 1} {
		for k, crashed := 0, true; crashed; k++ {
			n := night.again()
			crashed = n.crash(k, chance, func() error {
				r, err := blockcopy.OpenReplica(t.Context(), n.dst, n.store)
				if err != nil {
					return err
				}
				_, err = r.Receive(t.Context(), bytes.NewReader(n.delta), n.tr)
				return err
			})
			points++
			when := fmt.Sprintf("chance %v, operation %d", chance, k)
			state := n.store.state
			if state.Applying == nil || chance != 0.5 {
				r := n.open(t)
				n.whole(t, r, when)
				n.finish(t, r, when)
				continue
			}
			for j, again := 0, true; again; j++ { // it fails in the recovery too
				again = n.crash(j, chance, func() error {
					_, err := blockcopy.OpenReplica(t.Context(), n.dst, n.store)
					return err
				})
				points++
				if n.store.state.Applying == nil {
					break
				}
			}
			r := n.open(t)
			n.whole(t, r, when)
			n.finish(t, r, when)
		}
	}
	t.Logf("RESULT %d crash points", points)
	require.Greater(t, points, 60)
}

// TestDeltaCutAnywhere cuts the connection at each byte of a delta, and kills
// the receiver: the replica keeps the old generation, and goes on without a
// frame twice.
func TestDeltaCutAnywhere(t *testing.T) {
	night := newNights(t)
	frames := int64(4)
	for cut := 0; cut < len(night.delta); cut += 1 + len(night.delta)/60 {
		n := night.again()
		r := n.open(t)
		var log []byte // as a receiver leaves it that is killed while it waits for the rest
		wait := readerFunc(func([]byte) (int, error) { log = bytes.Clone(n.store.log.now); return 0, io.EOF })
		got, err := r.Receive(t.Context(), io.MultiReader(bytes.NewReader(n.delta[:cut]), wait), n.tr)
		require.ErrorIs(t, err, blockcopy.ErrStream)
		require.Equal(t, n.from, r.Generation())
		require.True(t, bytes.Equal(n.old, n.dst.now))
		n.store.log = newSimDisk(n.p, log)
		r = n.open(t)
		p, err := r.Pending(t.Context())
		require.NoError(t, err)
		if got.Frames == 0 {
			require.Nil(t, p)
			p = &n.tr
		}
		require.Equal(t, got.Next.Offset, p.From.Offset)
		rest := n.stream(t, *p)
		stats, err := r.Receive(t.Context(), bytes.NewReader(rest), *p)
		require.NoError(t, err)
		require.Equal(t, frames, got.Frames+stats.Frames)
		require.True(t, bytes.Equal(n.new, n.dst.now))
		require.Equal(t, stats.Generation(), r.Generation())
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestReplicaRefuses(t *testing.T) {
	n := newNights(t)
	r := n.open(t)
	refused := func(tr blockcopy.Transfer, s []byte, want error) {
		t.Helper()
		_, err := r.Receive(t.Context(), bytes.NewReader(s), tr)
		require.ErrorIs(t, err, want)
		require.Equal(t, n.from, r.Generation())
		require.True(t, bytes.Equal(n.old, n.dst.now))
	}
	other := n.tr
	other.Base = blockcopy.Generation{1}
	refused(other, n.stream(t, other), blockcopy.ErrBase)
	other.Base = blockcopy.Generation{}
	refused(other, n.stream(t, other), blockcopy.ErrBase) // a whole copy over a generation, too
	other = n.tr
	other.Size += 4096
	refused(other, n.delta, blockcopy.ErrStream)
	other = n.tr
	other.From = blockcopy.Point{Offset: 1 << 20, Frames: 1, Root: [32]byte{1}}
	refused(other, n.stream(t, other), blockcopy.ErrBase)
	for i := range n.delta {
		if i < 400 || i%97 == 0 {
			refused(n.tr, flip(n.delta, i), blockcopy.ErrStream)
		}
	}
	// A frame that arrives well and lies is found before the first write.
	f := newForge(nightSize)
	f.tr.Base = n.from
	f.restart().data(0, 0, bytes.Repeat([]byte{7}, 4096)).head(1, 0, 1<<20, 1, 4096, 4096, []byte("another"), make([]byte, 4096)).end()
	refused(f.tr, f.out.Bytes(), blockcopy.ErrStream)

	_, err := r.Receive(t.Context(), bytes.NewReader(n.delta), n.tr)
	require.NoError(t, err)
	require.True(t, bytes.Equal(n.new, n.dst.now))
	_, err = r.Receive(t.Context(), bytes.NewReader(n.delta), n.tr) // the same night again
	require.ErrorIs(t, err, blockcopy.ErrBase)

	require.NoError(t, r.Forget())
	assert.Zero(t, n.open(t).Generation())
}

// TestFirstCopyGoesOn: the first copy is written in place; cut, it goes on.
func TestFirstCopyGoesOn(t *testing.T) {
	n := newNights(t)
	src := newDisk(nightSize)
	src.data = n.new
	tr := blockcopy.NewTransfer(nightSize)
	s, whole := stream(t, src, nil, tr)
	r := n.open(t)
	require.NoError(t, r.Forget())
	got, err := r.Receive(t.Context(), bytes.NewReader(s[:len(s)*2/3]), tr)
	require.ErrorIs(t, err, blockcopy.ErrStream)
	require.Positive(t, got.Frames)
	n.dst.restart(rand.New(rand.NewPCG(1, 1)), 0) // the power fails too
	r = n.open(t)
	require.Zero(t, r.Generation())
	p, err := r.Pending(t.Context())
	require.NoError(t, err)
	require.Equal(t, got.Next, p.From)
	s, again := stream(t, src, nil, *p)
	stats, err := r.Receive(t.Context(), bytes.NewReader(s), *p)
	require.NoError(t, err)
	require.Equal(t, whole.Frames, got.Frames+again.Frames)
	require.Equal(t, stats.Generation(), n.open(t).Generation())
	require.True(t, bytes.Equal(n.new, n.dst.now))
}

// TestCheckpoint: what lies before a checkpoint survives a power failure.
func TestCheckpoint(t *testing.T) {
	src, tr := newDisk(nightSize), blockcopy.NewTransfer(nightSize)
	fill(src.data, 11)
	s, _ := stream(t, src, nil, tr)
	dst := simVolume{newSimDisk(&power{left: -1}, make([]byte, nightSize))}
	var points []blockcopy.Point
	_, err := blockcopy.Receive(t.Context(), bytes.NewReader(s[:len(s)-200]), dst, tr, &blockcopy.ReceiveOptions{
		Every: 1 << 20, Checkpoint: func(p blockcopy.Point) error { points = append(points, p); return nil },
	})
	require.ErrorIs(t, err, blockcopy.ErrStream)
	require.Len(t, points, 3)
	dst.restart(rand.New(rand.NewPCG(1, 1)), 0)
	last := points[2]
	require.True(t, bytes.Equal(src.data[:last.Offset], dst.now[:last.Offset]))
	tr.From = last
	s, _ = stream(t, src, nil, tr)
	_, err = blockcopy.Receive(t.Context(), bytes.NewReader(s), dst, tr, nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(src.data, dst.now))
}
