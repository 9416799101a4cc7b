package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/lock"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

// cutOff is a Locker whose leases can be cut off from it, as by a partition.
type cutOff struct {
	lock.Locker
	mu   sync.Mutex
	last *cutLease
}

type cutLease struct {
	lock.Lease
	lost chan struct{}
	once sync.Once
}

var errPartition = errors.New("no answer from the keeper of the locks")

func (c *cutOff) Acquire(ctx context.Context, guest uuid.UUID) (lock.Lease, error) {
	l, err := c.Locker.Acquire(ctx, guest)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = &cutLease{Lease: l, lost: make(chan struct{})}
	return c.last, nil
}

func (c *cutOff) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last.once.Do(func() { close(c.last.lost) })
}

func (l *cutLease) Lost() <-chan struct{} { return l.lost }

func (l *cutLease) Check(ctx context.Context) error {
	select {
	case <-l.lost:
		return errPartition
	default:
		return l.Lease.Check(ctx)
	}
}

func newLocks(t *testing.T) *cutOff {
	t.Helper()
	return &cutOff{Locker: lock.NewFiles(filepath.Join(t.TempDir(), "locks"))}
}

// TestLockLost cuts the lease of a mover off before each step. Until the cut-over
// the guest stays where it is; from then on the move is finished. The lock is
// free afterwards in either case.
func TestLockLost(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Cold, migrate.Live, migrate.TwoPass} {
		all := lockedLadder(t, mode)
		cutOver := slices.Index(names(all), handover.GiveUp)
		require.Positive(t, cutOver)
		for i, step := range all {
			t.Run(fmt.Sprintf("%s, %d before %s", mode, i, step), func(t *testing.T) {
				t.Parallel()
				w, locks, n := newWorld(t, nil), newLocks(t), 0
				w.mode = mode
				report, err := w.move(t.Context(), []string{"curacao", "islay"}[i%2], &migrate.Options{Locker: locks, OnStep: func(handover.Step) error {
					if n++; n == i+1 {
						locks.cut()
					}
					return nil
				}})
				if i > cutOver {
					require.NoError(t, err)
					require.Equal(t, "islay", w.lives("moved"))
				} else {
					require.Error(t, err)
					assert.True(t, errors.Is(err, lock.ErrLost) || errors.Is(err, errPartition), err)
					assert.NotErrorIs(t, err, migrate.ErrInterrupted)
					assert.Contains(t, []handover.Way{handover.Back, handover.Nothing}, report.Way)
					require.Equal(t, "curacao", w.lives("rolled back"))
				}
				lease, err := locks.Acquire(t.Context(), w.guest.UUID)
				require.NoError(t, err)
				require.NoError(t, lease.Release())
			})
		}
	}
}

func lockedLadder(t *testing.T, mode migrate.Mode) []handover.Step {
	t.Helper()
	w, s := newWorldOf(t, xen.PVH), &steps{n: -1}
	w.mode = mode
	opts := s.options()
	opts.Locker = newLocks(t)
	_, err := w.move(t.Context(), "curacao", opts)
	require.NoError(t, err)
	return s.seen
}

// TestOneOperationInTheFleet: while a guest moves between two hosts, who shares
// the lock gets nothing, not even with hosts of which the move knows nothing.
func TestOneOperationInTheFleet(t *testing.T) {
	w, locks := newWorld(t, nil), newLocks(t)
	elsewhere, err := migratetest.NewWorld(t.TempDir(), nil)
	require.NoError(t, err)
	t.Cleanup(elsewhere.Close)
	_, err = elsewhere.Provision(t.Context(), "curacao", w.guest)
	require.NoError(t, err)
	asked := false
	_, err = w.move(t.Context(), "curacao", &migrate.Options{Locker: locks.Locker, OnStep: func(s handover.Step) error {
		if s.Name == handover.Copy {
			asked = true
			plan, err := migrate.PlanMove(t.Context(), elsewhere.Host("curacao"), elsewhere.Host("islay"), w.guest.UUID, migrate.Cold, &migrate.Options{Locker: locks.Locker})
			assert.NoError(t, err, "to look is free")
			_, err = plan.Run(t.Context())
			assert.ErrorIs(t, err, lock.ErrBusy)
			_, err = migrate.Resume(t.Context(), elsewhere.Host("curacao"), elsewhere.Host("islay"), w.guest.UUID, &migrate.Options{Locker: locks.Locker})
			assert.ErrorIs(t, err, lock.ErrBusy)
		}
		return nil
	}})
	require.NoError(t, err)
	assert.True(t, asked)
	require.Equal(t, "islay", w.lives("moved"))
	report, err := w.resume("islay", &migrate.Options{Locker: locks.Locker})
	require.NoError(t, err)
	assert.Equal(t, handover.Nothing, report.Way)
}

// held is a Locker whose lease was got long ago, by a mover that was stopped
// since and believes that it has it.
type held struct{ lock.Lease }

func (h held) Acquire(context.Context, uuid.UUID) (lock.Lease, error) { return h, nil }
func (h held) Check(context.Context) error                            { return nil }
func (h held) Release() error                                         { return nil }

// TestStaleToken: a mover that wakes up after another one had the lock is
// refused by the hosts that the other one worked on, near and far, and by a host
// that was booted since.
func TestStaleToken(t *testing.T) {
	w, locks := newWorld(t, nil), newLocks(t)
	old, err := locks.Acquire(t.Context(), w.guest.UUID)
	require.NoError(t, err)
	require.NoError(t, old.Release()) // the lock ended; the mover does not know
	_, err = w.move(t.Context(), "curacao", &migrate.Options{Locker: locks.Locker})
	require.NoError(t, err)
	require.Equal(t, "islay", w.lives("moved by the second mover"))

	w.from, w.to = "islay", "curacao"
	for _, mover := range []string{"curacao", "islay"} {
		report, err := w.move(t.Context(), mover, &migrate.Options{Locker: held{old}})
		require.ErrorIs(t, err, host.ErrStale)
		require.ErrorContains(t, err, "token 1, the last one here was 2")
		assert.Equal(t, handover.Nothing, report.Way)
		_, err = w.resume(mover, &migrate.Options{Locker: held{old}})
		require.ErrorIs(t, err, host.ErrStale)
	}
	w.PowerOff("islay")
	_, err = w.PowerOn(t.Context(), "islay")
	require.NoError(t, err)
	_, err = w.move(t.Context(), "islay", &migrate.Options{Locker: held{old}})
	require.ErrorIs(t, err, host.ErrStale, "it is not forgotten")
	require.Equal(t, "islay", w.lives("left alone"))
	_, err = w.move(t.Context(), "islay", &migrate.Options{Locker: locks.Locker})
	require.NoError(t, err, "whoever has the lock now")
	require.Equal(t, "curacao", w.lives("and back"))
}

// unnoticed is a Locker whose lease has ended without a word to its owner.
type unnoticed struct{ lock.Locker }

type endedLease struct{ lock.Lease }

func (u unnoticed) Acquire(ctx context.Context, guest uuid.UUID) (lock.Lease, error) {
	l, err := u.Locker.Acquire(ctx, guest)
	return endedLease{l}, err
}

func (endedLease) Check(context.Context) error { return lock.ErrLost }

// TestLockEndedUnnoticed: at the cut-over the keeper of the lock is asked, since
// a mover that was stopped for a while has heard of nothing.
func TestLockEndedUnnoticed(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Cold, migrate.Live, migrate.TwoPass} {
		w := newWorld(t, nil)
		w.mode = mode
		report, err := w.move(t.Context(), "curacao", &migrate.Options{Locker: unnoticed{newLocks(t)}})
		require.ErrorIs(t, err, lock.ErrLost)
		require.ErrorContains(t, err, "before give up on curacao: the lock of the guest")
		assert.Equal(t, handover.Back, report.Way)
		require.Equal(t, "curacao", w.lives("rolled back"))
	}
}
