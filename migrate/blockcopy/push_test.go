package blockcopy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// peer is the other end: a volume in memory behind Serve.
type peer struct {
	dst    *disk
	sim    simVolume // of replicas
	store  *simStore
	fresh  bool
	opened int
	mu     sync.Mutex // one sender at a time, as files have it
}

func newPeer(size int) *peer {
	p := &power{left: -1}
	return &peer{dst: newDisk(size), sim: simVolume{newSimDisk(p, make([]byte, size))}, store: &simStore{p: p, log: newSimDisk(p, nil)}}
}

func (p *peer) open(ctx context.Context, r blockcopy.Request) (*blockcopy.Target, error) {
	if r.Path != "/dev/guests/web1" {
		return nil, fs.ErrNotExist
	}
	p.opened++
	if !r.Replica {
		return &blockcopy.Target{Volume: p.dst, Fresh: p.fresh, Close: func() error { return nil }}, nil
	}
	replica, err := blockcopy.OpenReplica(ctx, p.sim, p.store)
	return &blockcopy.Target{Volume: p.sim, Fresh: p.fresh, Replica: replica, Close: func() error { return nil }}, err
}

// push runs a Push against the peer. through changes the sender's end.
func (p *peer) push(t testing.TB, src blockcopy.Source, opts *blockcopy.PushOptions, through func(net.Conn) io.ReadWriteCloser) (blockcopy.Report, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	here, there := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = blockcopy.Serve(t.Context(), there, p.open)
		there.Close()
	}()
	var conn io.ReadWriteCloser = here
	if through != nil {
		conn = through(here)
	}
	report, err := blockcopy.Push(t.Context(), conn, src, "/dev/guests/web1", opts)
	select {
	case <-served:
	case <-time.After(time.Minute):
		require.FailNow(t, "Serve hangs")
	}
	return report, err
}

func TestPushByHashes(t *testing.T) {
	src, p := newDisk(5<<20+4096), newPeer(5<<20+4096)
	fill(src.data, 20)
	report, err := p.push(t, src, &blockcopy.PushOptions{Verify: true}, nil)
	require.NoError(t, err)
	assert.Equal(t, blockcopy.ByHashes, report.How)
	assert.NotEmpty(t, report.Sum)
	require.True(t, bytes.Equal(src.data, p.dst.data))

	src.data[3<<20]++
	report, err = p.push(t, src, nil, nil)
	require.NoError(t, err)
	assert.EqualValues(t, 4096, report.Stats.Data)
	assert.Less(t, report.Sent, int64(6000))
	require.True(t, bytes.Equal(src.data, p.dst.data))

	for _, fresh := range []bool{true, false} {
		p = newPeer(5<<20 + 4096)
		p.fresh = fresh
		report, err = p.push(t, src, &blockcopy.PushOptions{Whole: !fresh}, nil)
		require.NoError(t, err)
		assert.Equal(t, blockcopy.ByAll, report.How)
		assert.Less(t, report.Received, int64(2000))
		require.True(t, bytes.Equal(src.data, p.dst.data))
	}
}

func TestPushWithIndex(t *testing.T) {
	src, p := newDisk(4<<20), newPeer(4<<20)
	fill(src.data, 21)
	opts := &blockcopy.PushOptions{Index: filepath.Join(t.TempDir(), "index"), Verify: true}
	next := func(how blockcopy.How) blockcopy.Report {
		t.Helper()
		report, err := p.push(t, src, opts, nil)
		require.NoError(t, err)
		require.Equal(t, how, report.How)
		require.True(t, bytes.Equal(src.data, p.sim.now))
		require.Equal(t, report.Generation, p.store.state.Generation)
		return report
	}
	next(blockcopy.ByHashes)
	src.data[77]++
	assert.EqualValues(t, 4096, next(blockcopy.ByIndex).Stats.Data)
	assert.Zero(t, next(blockcopy.ByIndex).Stats.Data)

	// The index is lost: the target is asked, and stays whole.
	require.NoError(t, os.Rename(opts.Index, opts.Index+".old"))
	src.data[2<<20]++
	assert.EqualValues(t, 4096, next(blockcopy.ByHashes).Stats.Data)

	// An old index comes back: refused, and nothing is written.
	require.NoError(t, os.Rename(opts.Index+".old", opts.Index))
	src.data[3<<20]++
	before := bytes.Clone(p.sim.now)
	_, err := p.push(t, src, opts, nil)
	require.ErrorIs(t, err, blockcopy.ErrBase)
	require.ErrorContains(t, err, "move the index away")
	require.True(t, bytes.Equal(before, p.sim.now))

	// Somebody else wrote to the target: the index does not know, Verify does.
	require.NoError(t, os.Remove(opts.Index))
	next(blockcopy.ByHashes)
	p.sim.now[5]++
	_, err = p.push(t, src, opts, nil)
	require.ErrorIs(t, err, blockcopy.ErrDiffers)
}

// TestPushChanges: a list of changes is believed for the generation that it is
// about, and for no other.
func TestPushChanges(t *testing.T) {
	src, p := newDisk(4<<20), newPeer(4<<20)
	fill(src.data, 23)
	opts := &blockcopy.PushOptions{Index: filepath.Join(t.TempDir(), "index"), Changes: blockcopy.Extents([]lvm.Extent{{Offset: 1 << 20, Length: 8192}})}
	next := func(how blockcopy.How, read int64) blockcopy.Report {
		t.Helper()
		report, err := p.push(t, src, opts, nil)
		require.NoError(t, err)
		require.Equal(t, how, report.How)
		require.Equal(t, read, report.Stats.Read)
		require.True(t, bytes.Equal(src.data, p.sim.now))
		return report
	}
	first := next(blockcopy.ByHashes, 4<<20)
	src.data[1<<20+5000]++
	next(blockcopy.ByIndex, 4<<20) // Since is zero: no generation
	src.data[3<<20]++
	opts.Since = first.Generation
	second := next(blockcopy.ByIndex, 4<<20)
	src.data[1<<20]++
	opts.Since = second.Generation
	third := next(blockcopy.ByChanges, 8192)
	require.EqualValues(t, 4096, third.Stats.Data)

	require.NoError(t, os.Remove(opts.Index))
	src.data[5]++
	opts.Since = third.Generation
	next(blockcopy.ByHashes, 4<<20)
}

func TestPushRefusals(t *testing.T) {
	src, p := newDisk(1<<20), newPeer(2<<20)
	_, err := p.push(t, src, nil, nil)
	require.ErrorIs(t, err, blockcopy.ErrSize)
	require.ErrorContains(t, err, "the target has 2097152 bytes, the source 1048576")

	refused := func(ctx context.Context, serve func(net.Conn)) error {
		here, there := net.Pipe()
		defer there.Close()
		go serve(there)
		_, err := blockcopy.Push(ctx, here, src, "/etc/passwd", nil)
		return err
	}
	err = refused(t.Context(), func(c net.Conn) { _ = blockcopy.Serve(t.Context(), c, p.open); c.Close() })
	require.ErrorIs(t, err, fs.ErrNotExist)
	err = refused(t.Context(), func(c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, c) }()
		_, _ = io.WriteString(c, "Last login: Monday\n")
	})
	require.ErrorContains(t, err, `the other side says "Last log"`)
	ctx, cancel := context.WithCancel(t.Context())
	err = refused(ctx, func(c net.Conn) { _, _ = c.Read(make([]byte, 8)); cancel() })
	require.ErrorIs(t, err, context.Canceled)

	p = newPeer(1 << 20)
	p.dst.fail = errors.New("disk on fire")
	fill(src.data, 1)
	_, err = p.push(t, src, nil, nil)
	require.ErrorContains(t, err, "disk on fire")

	short := newDisk(1 << 19)
	_, err = newPeer(1<<20).push(t, liar{short}, nil, nil)
	require.ErrorIs(t, err, io.EOF)
}

// liar says that it is larger than it is.
type liar struct{ *disk }

func (l liar) Size() int64 { return 1 << 20 }

func TestLimitAndProgress(t *testing.T) {
	src, p := newDisk(2<<20), newPeer(2<<20)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(src.data)
	var at []int64
	began := time.Now()
	report, err := p.push(t, src, &blockcopy.PushOptions{Limit: 4 << 20, Whole: true, Progress: func(p blockcopy.Progress) { at = append(at, p.Offset) }}, nil)
	require.NoError(t, err)
	assert.Equal(t, []int64{1 << 20, 2 << 20}, at)
	assert.GreaterOrEqual(t, time.Since(began), time.Duration(float64(report.Stats.Wire)/(4<<20)*float64(time.Second)))
}
