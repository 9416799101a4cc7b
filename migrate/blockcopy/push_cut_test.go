package blockcopy_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// cutter is a connection that breaks after so many bytes of the sender or of
// the receiver.
type cutter struct {
	net.Conn
	mu       sync.Mutex
	up, down int
}

func (c *cutter) take(left *int, n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, *left)
	*left -= n
	return n
}

func (c *cutter) Write(b []byte) (int, error) {
	k := c.take(&c.up, len(b))
	n, err := c.Conn.Write(b[:k])
	if err == nil && k < len(b) {
		c.Close()
		err = errors.New("the link broke")
	}
	return n, err
}

func (c *cutter) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if k := c.take(&c.down, n); k < n {
		c.Close()
		return k, errors.New("the link broke")
	}
	return n, err
}

// TestPushCutAnywhere breaks the link in many places, in both directions, of a
// first copy and of a delta; then the source changes, and changes back, and a
// second Push must end with an equal target, in whole generations, having sent
// at most one extent again.
func TestPushCutAnywhere(t *testing.T) {
	const size, never = 4 << 20, 1 << 40
	hows := map[blockcopy.How]int{}
	for _, delta := range []bool{false, true} {
		for place := range 28 {
			src, p := newDisk(size), newPeer(size)
			fill(src.data, 22)
			opts := &blockcopy.PushOptions{Index: filepath.Join(t.TempDir(), "index")}
			if delta {
				_, err := p.push(t, src, opts, nil)
				require.NoError(t, err)
			}
			before := bytes.Clone(src.data)
			r := rand.New(rand.NewPCG(uint64(place), 3))
			for range 20 {
				at := r.IntN(size - 30000)
				for i := range 30000 {
					src.data[at+i] = byte(r.Uint32())
				}
			}
			old := bytes.Clone(p.sim.now)
			c := &cutter{up: never, down: never}
			if place%4 == 3 {
				c.down = 150 * place
			} else {
				c.up = 400 + place*place*1000
			}
			limit := int64(c.up)
			report, err := p.push(t, src, opts, func(conn net.Conn) io.ReadWriteCloser { c.Conn = conn; return c })
			if err == nil {
				require.True(t, bytes.Equal(src.data, p.sim.now))
				continue
			}
			if delta && !bytes.Equal(old, p.sim.now) { // then it is the new one, and the answer was lost
				require.True(t, bytes.Equal(src.data, p.sim.now))
			}
			if place%2 == 0 {
				copy(src.data, before)
			}
			report, err = p.push(t, src, opts, nil)
			require.NoError(t, err)
			require.True(t, bytes.Equal(src.data, p.sim.now), "delta %v, place %d, %s", delta, place, report.How)
			hows[report.How]++
			if report.How == blockcopy.ByResumed && place%4 == 1 {
				sent := newPeer(size) // what it costs without a cut
				copy(sent.sim.now, old)
				whole, err := sent.push(t, src, &blockcopy.PushOptions{Index: filepath.Join(t.TempDir(), "other")}, nil)
				require.NoError(t, err)
				passed := limit - 1000 // without the talk before the stream
				require.LessOrEqual(t, passed+report.Stats.Wire, whole.Stats.Wire+1<<20, "one extent again")
			}
			report, err = p.push(t, src, opts, nil) // and the index is true
			require.NoError(t, err)
			require.Zero(t, report.Stats.Data+report.Stats.Zeros)
		}
	}
	require.Greater(t, hows[blockcopy.ByResumed], 10, "%v", hows)
}

// TestPushKilled kills the receiver in many operations of a first copy, or fails
// its power, and then the source changes. The second Push sends the blocks that
// did not get to the disk, or changed since, and none else.
func TestPushKilled(t *testing.T) {
	const size = 6 << 20
	resumed := 0
	for _, fresh := range []bool{false, true} {
		for _, chance := range []float64{1, 0.5} {
			for k := 0; ; k += 5 {
				src, p := newDisk(size), newPeer(size)
				fill(src.data, 24)
				p.fresh, p.sim.p.left = fresh, k
				opts := &blockcopy.PushOptions{Index: filepath.Join(t.TempDir(), "index"), Fresh: fresh}
				_, err := p.push(t, src, opts, nil)
				if err == nil {
					break
				}
				p.sim.p.left, p.sim.p.out = -1, false
				r := rand.New(rand.NewPCG(uint64(k), 5))
				p.sim.restart(r, chance)
				p.store.log.restart(r, chance)
				clear(src.data[k<<16%size:][:100<<10])
				differ := 0
				for at := 0; at < size; at += 4096 {
					if !bytes.Equal(src.data[at:at+4096], p.sim.now[at:at+4096]) {
						differ += 4096
					}
				}
				report, err := p.push(t, src, opts, nil)
				require.NoError(t, err)
				require.True(t, bytes.Equal(src.data, p.sim.now), "fresh %v, operation %d, %s", fresh, k, report.How)
				if report.How == blockcopy.ByResumed {
					resumed++
					require.EqualValues(t, differ, report.Stats.Data+report.Stats.Zeros, "operation %d", k)
				}
				report, err = p.push(t, src, opts, nil)
				require.NoError(t, err)
				require.Equal(t, blockcopy.ByIndex, report.How)
				require.Zero(t, report.Stats.Data+report.Stats.Zeros)
			}
		}
	}
	require.Greater(t, resumed, 15)
}
