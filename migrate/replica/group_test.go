package replica_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen/host"
)

// many is a world with more guests, all off.
func many(t *testing.T, n int) (*world, []uuid.UUID) {
	w := newWorld(t)
	guests := []uuid.UUID{w.guest.UUID}
	for i := range n - 1 {
		g, err := w.Host("curacao").Provision(t.Context(), w.Guest(fmt.Sprintf("more%d", i), 1<<20), &host.ProvisionOptions{Stopped: true})
		require.NoError(t, err)
		guests = append(guests, g.UUID)
	}
	return w, guests
}

// TestGroup: all guests, several at once, over one connection; one that can not
// does not hold up the others, and the check tells.
func TestGroup(t *testing.T) {
	t.Parallel()
	w, guests := many(t, 6)
	_, err := w.Host("islay").Provision(t.Context(), host.Guest{Name: "more2", Memory: 64 << 20, Kernel: "/boot/vmlinuz"}, &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err, "a guest of the same name there")
	peer := w.dial()
	health, err := replica.Check(t.Context(), w.Host("curacao"), peer, nil, time.Hour)
	require.NoError(t, err)
	require.Len(t, health, 6)
	assert.Equal(t, replica.Missing, replica.Worst(health))
	assert.Equal(t, replica.Missing, health[0].State)

	var done atomic.Int32
	group := replica.Group{Host: w.Host("curacao"), Peer: peer, Parallel: 3, Done: func(replica.Result) { done.Add(1) }}
	results, err := group.Run(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, results, 6)
	assert.EqualValues(t, 6, done.Load())
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
			require.ErrorContains(t, r.Err, "has the name more2")
			require.NotEmpty(t, r.Error)
		}
	}
	assert.Equal(t, 1, failed)
	health, err = replica.Check(t.Context(), w.Host("curacao"), peer, nil, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, replica.Missing, replica.Worst(health))
	states := map[replica.State]int{}
	for _, h := range health {
		states[h.State]++
	}
	assert.Equal(t, map[replica.State]int{replica.Fresh: 5, replica.Missing: 1}, states)
	health, err = replica.Check(t.Context(), w.Host("curacao"), peer, guests[:2], 0)
	require.NoError(t, err)
	assert.Equal(t, replica.Stale, replica.Worst(health))

	w.Cut()
	health, err = replica.Check(t.Context(), w.Host("curacao"), peer, nil, time.Hour)
	require.ErrorIs(t, err, migrate.ErrUnreachable)
	assert.Equal(t, replica.Unknown, replica.Worst(health))
}

// TestLimitIsShared: guests that are copied at once do not have the limit each.
func TestLimitIsShared(t *testing.T) {
	t.Parallel()
	w, guests := many(t, 3)
	w.write(0, make([]byte, 1<<20))
	for _, id := range guests[1:] {
		g, err := w.Host("curacao").Find(t.Context(), id.String())
		require.NoError(t, err)
		device, err := w.Machine("curacao").Volumes.Open(t.Context(), g.Disks[0].Volume)
		require.NoError(t, err)
		piece := make([]byte, 1<<20)
		for i := range piece {
			piece[i] = byte(w.rand.Uint32())
		}
		_, err = device.WriteAt(piece, 0)
		require.NoError(t, err)
		require.NoError(t, device.Close())
	}
	const rate = 3 << 20
	group := replica.Group{Host: w.Host("curacao"), Peer: w.dial(), Options: replica.Options{Limit: replica.NewLimit(rate)}}
	began := time.Now()
	results, err := group.Run(t.Context(), guests)
	took := time.Since(began)
	require.NoError(t, err)
	var sent int64
	for _, r := range results {
		require.NoError(t, r.Err)
		sent += r.Report.Sent
	}
	assert.Greater(t, sent, int64(4<<20))
	// What the last writers wrote need not have had its time when they end.
	assert.GreaterOrEqual(t, took.Seconds(), float64(sent-3*rate/10)/rate)
}

// TestOneRunAtATime: a second run of the same guest is refused, and the guest is not
// held while it is copied.
func TestOneRunAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(0, make([]byte, 2<<20))
	begun, goOn := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	var once atomic.Bool
	peer := w.dial()
	go func() {
		_, err := w.copy(t.Context(), peer, &replica.Options{Progress: func(replica.Event) {
			if !once.Swap(true) {
				close(begun)
				<-goOn
			}
		}})
		first <- err
	}()
	<-begun
	_, err := w.copy(t.Context(), peer, nil)
	require.ErrorIs(t, err, host.ErrBusy)
	require.ErrorContains(t, err, "another run to islay")
	require.NoError(t, w.Host("curacao").Start(t.Context(), w.guest.UUID), "the guest is not held")
	close(goOn)
	require.NoError(t, <-first)
}

// TestMoveEndsRun: a move to a third host ends a run, and is not held up by it.
// What the peer keeps is of the old host until the new one replicates.
func TestMoveEndsRun(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, "curacao", "islay", "jura")
	w.copied(nil)
	w.write(0, make([]byte, 1<<20))
	first := make(chan error, 1)
	begun := make(chan struct{})
	var once sync.Once
	peer := w.dial()
	go func() {
		_, err := w.copy(t.Context(), peer, &replica.Options{Limit: replica.NewLimit(512 << 10), Progress: func(replica.Event) { once.Do(func() { close(begun) }) }})
		first <- err
	}()
	<-begun
	_, err := migrate.PlanMove(t.Context(), w.Host("curacao"), peer, w.guest.UUID, migrate.Cold, nil)
	require.ErrorIs(t, err, host.ErrBusy, "islay holds the replica")
	jura, err := w.Dial(t.Context(), "curacao", "jura")
	require.NoError(t, err)
	plan, err := migrate.PlanMove(t.Context(), w.Host("curacao"), jura, w.guest.UUID, migrate.Cold, nil)
	require.NoError(t, err)
	_, err = plan.Run(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, <-first, host.ErrBusy)
	assert.Empty(t, w.snapshots())
	require.NoError(t, peer.Close())
	w.atRest()

	islay, err := w.Dial(t.Context(), "jura", "islay")
	require.NoError(t, err)
	again, err := replica.PlanCopy(t.Context(), w.Host("jura"), islay, w.guest.UUID, nil)
	require.NoError(t, err)
	report, err := again.Run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, report.Generation.Number)
	assert.Equal(t, "jura", report.Generation.From)
	assert.Equal(t, w.sums("jura"), w.sums("islay"))

	// Somebody gives curacao an old state: its claim is older.
	keeper, err := replica.At(w.Host("islay"), "curacao").Keep(t.Context(), w.guest.UUID)
	require.NoError(t, err)
	_, err = keeper.Begin(t.Context(), replica.Offer{Run: uuid.New(), Epoch: 1, Guest: w.guest})
	require.ErrorIs(t, err, replica.ErrSuperseded)
	require.NoError(t, keeper.Close())
}
