// Package locktest has the suite that every lock.Locker must pass.
package locktest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/lock"
)

// TestLocker runs the suite. one and other are two programs' Lockers on the same
// locks.
func TestLocker(t *testing.T, one, other lock.Locker) {
	for _, c := range []struct {
		name string
		run  func(s suite, t *testing.T)
	}{
		{"one at a time", suite.oneAtATime},
		{"guests are apart", suite.apart},
		{"what was released is not held", suite.released},
		{"tokens grow", suite.grow},
		{"many want it", suite.many},
		{"a cancelled call takes nothing", suite.cancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(suite{one, other, uuid.New()}, t) })
	}
}

type suite struct {
	one, other lock.Locker
	guest      uuid.UUID
}

func acquire(t *testing.T, l lock.Locker, guest uuid.UUID) lock.Lease {
	t.Helper()
	lease, err := l.Acquire(t.Context(), guest)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, lease.Release()) })
	require.NoError(t, lease.Check(t.Context()))
	require.Positive(t, lease.Token())
	select {
	case <-lease.Lost():
		require.Fail(t, "a fresh lease is lost")
	default:
	}
	return lease
}

func (s suite) oneAtATime(t *testing.T) {
	acquire(t, s.one, s.guest)
	for _, l := range []lock.Locker{s.one, s.other} {
		_, err := l.Acquire(t.Context(), s.guest)
		require.ErrorIs(t, err, lock.ErrBusy)
		assert.ErrorContains(t, err, s.guest.String())
	}
}

func (s suite) apart(t *testing.T) {
	acquire(t, s.one, s.guest)
	acquire(t, s.one, uuid.New())
	acquire(t, s.other, uuid.New())
}

func (s suite) released(t *testing.T) {
	old := acquire(t, s.one, s.guest)
	require.NoError(t, old.Release())
	require.ErrorIs(t, old.Check(t.Context()), lock.ErrLost)
	now := acquire(t, s.other, s.guest)
	require.NoError(t, old.Release(), "a second time")
	require.ErrorIs(t, old.Check(t.Context()), lock.ErrLost)
	require.NoError(t, now.Check(t.Context()), "it is another one's")
	_, err := s.one.Acquire(t.Context(), s.guest)
	require.ErrorIs(t, err, lock.ErrBusy)
}

func (s suite) grow(t *testing.T) {
	var last uint64
	for i := range 20 {
		lease := acquire(t, []lock.Locker{s.one, s.other}[i%2], s.guest)
		require.Greater(t, lease.Token(), last)
		last = lease.Token()
		require.NoError(t, lease.Release())
	}
}

func (s suite) many(t *testing.T) {
	var wait sync.WaitGroup
	var won atomic.Int32
	got := make([]lock.Lease, 32)
	for i := range got {
		wait.Go(func() {
			lease, err := []lock.Locker{s.one, s.other}[i%2].Acquire(t.Context(), s.guest)
			if err == nil {
				won.Add(1)
				got[i] = lease
				return
			}
			assert.ErrorIs(t, err, lock.ErrBusy)
		})
	}
	wait.Wait()
	assert.EqualValues(t, 1, won.Load())
	for _, lease := range got {
		if lease != nil {
			require.NoError(t, lease.Release())
		}
	}
	acquire(t, s.other, s.guest)
}

func (s suite) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.one.Acquire(ctx, s.guest)
	require.ErrorIs(t, err, context.Canceled)
	lease := acquire(t, s.other, s.guest)
	require.Error(t, lease.Check(ctx))
	require.NoError(t, lease.Check(t.Context()))
}
