package replica_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/replica"
)

// cutter ends a connection when so many bytes have left.
type cutter struct {
	net.Conn
	left atomic.Int64
}

func (c *cutter) Write(p []byte) (int, error) {
	left := c.left.Add(-int64(len(p)))
	if left >= 0 {
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:max(0, int64(len(p))+left)])
	c.Conn.Close()
	return n, io.ErrClosedPipe
}

// killed is a run whose connection ends behind so many bytes; false: it had
// ended before.
func (w *world) killed(after int64, opts *replica.Options) bool {
	w.Helper()
	conn, err := w.Connect("curacao", "islay")
	require.NoError(w, err)
	c := &cutter{Conn: conn}
	c.left.Store(after)
	var runErr error
	peer, err := migrate.Dial(w.Context(), c, &migrate.DialOptions{Name: "curacao"})
	if err == nil {
		_, runErr = w.copy(w.Context(), peer, opts)
		peer.Close()
	}
	w.Cut() // waits until islay has ended what it served
	w.Mend()
	return err != nil || runErr != nil
}

// TestKilledAtAnyByte cuts nightly copies at a hundred random bytes: each time
// islay holds one whole generation of both disks, and the next run goes on.
func TestKilledAtAnyByte(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			killedOften(t, 25, rand.New(rand.NewPCG(seed, 4)))
		})
	}
}

func killedOften(t *testing.T, times int, random *rand.Rand) {
	w := newWorld(t)
	w.copied(nil)
	contents := map[string]map[string]string{} // by run: what its snapshots hold
	note := func() {
		for _, s := range w.snapshots() {
			of := contents[s.Run.String()]
			if of == nil {
				of = map[string]string{}
				contents[s.Run.String()] = of
			}
			if of[s.Dev] == "" {
				w.withVolume("curacao", s.ID, func(sum string) { of[s.Dev] = sum })
			}
		}
	}
	note()
	for cuts := 0; cuts < times; {
		w.write(int64(random.IntN(700))*4096, make([]byte, 4096*(1+random.IntN(40))))
		if w.killed(random.Int64N(500<<10), nil) {
			cuts++
		}
		note()
		kept, err := replica.List(t.Context(), w.Host("islay"))
		require.NoError(t, err)
		require.NotNil(t, kept[0].Generation)
		w.atRest()
		require.Equal(t, contents[kept[0].Generation.Run.String()], w.sums("islay"))
	}
	report := w.copied(&replica.Options{Verify: true})
	t.Logf("%d cuts, %d generations", times, report.Generation.Number)
	assert.Greater(t, report.Generation.Number, 3)
	assert.NoError(t, w.Check(t.Context()))
}

// TestKilledInFirstCopy: until the first copy is complete there is no
// generation; what has arrived does not travel again.
func TestKilledInFirstCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(0, make([]byte, 3<<20))
	for range 2 {
		require.True(t, w.killed(3<<20, nil))
		kept, err := replica.List(t.Context(), w.Host("islay"))
		require.NoError(t, err)
		require.Nil(t, kept[0].Generation)
		w.atRest()
	}
	report := w.copied(nil)
	require.NotNil(t, report.Finished)
	assert.Equal(t, 1, report.Finished.Number)
	assert.Less(t, report.Sent, int64(3<<20), "6 MiB less what came before")
}

// TestAnswerLost: the peer confirms, and the word is lost.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.copied(nil)
	w.write(1<<20, make([]byte, 4096))
	lost := errors.New("lost")
	_, err := w.copy(t.Context(), loser{replica.At(w.Host("islay"), "curacao"), lost}, nil)
	require.ErrorIs(t, err, lost)
	report := w.copied(nil)
	require.NotNil(t, report.Finished)
	assert.Equal(t, 2, report.Finished.Number)
	assert.Equal(t, 3, report.Generation.Number)
	for _, d := range report.Disks {
		assert.Zero(t, d.Stats.Data)
	}
}

// TestApplyFails: islay's disk fails while a generation is being applied; it is
// finished when the disk is well again, both disks of it.
func TestApplyFails(t *testing.T) {
	t.Parallel()
	for nth := 1; nth <= 2; nth++ {
		w := newWorld(t)
		w.copied(nil)
		w.write(1<<20, make([]byte, 4096))
		want := w.sums("curacao")
		broken := errors.New("I/O error")
		peer := breaker{replica.At(w.Host("islay"), "curacao"), func() { w.Machine("islay").Volumes.FailWrite(nth, broken) }}
		_, err := w.copy(t.Context(), peer, nil)
		require.ErrorIs(t, err, broken)
		w.atRest()
		keeper, err := peer.Peer.Keep(t.Context(), w.guest.UUID)
		require.NoError(t, err)
		held, err := keeper.Begin(t.Context(), replica.Offer{Run: uuid.New(), Epoch: 1, Guest: w.guest})
		require.NoError(t, err)
		require.NoError(t, keeper.Close())
		assert.Equal(t, 2, held.Generation.Number)
		require.Equal(t, want, w.sums("islay"))
		w.copied(nil)
	}
}
