package etcd_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/xenhost/xenhost/migrate/lock"
	"github.com/xenhost/xenhost/migrate/lock/etcd"
	"github.com/xenhost/xenhost/migrate/lock/locktest"
)

// short is a lock that goes to another one after two seconds.
func short(t *testing.T, address, owner string) *etcd.Locker {
	t.Helper()
	return etcd.New(dial(t, address), &etcd.Options{Owner: owner, TTL: 2 * time.Second, Within: 3 * time.Second})
}

func TestEtcd(t *testing.T) {
	address := startEtcd(t)
	locktest.TestLocker(t, etcd.New(dial(t, address), nil), short(t, address, "panel"))
}

// eventually takes the lock as soon as it is free, and tells how long that took.
func eventually(t *testing.T, l lock.Locker, guest uuid.UUID) (lock.Lease, time.Duration) {
	t.Helper()
	began := time.Now()
	for {
		lease, err := l.Acquire(t.Context(), guest)
		if err == nil {
			t.Cleanup(func() { assert.NoError(t, lease.Release()) })
			return lease, time.Since(began)
		}
		require.ErrorIs(t, err, lock.ErrBusy)
		require.Less(t, time.Since(began), 30*time.Second, "the lock of a lost owner does not end")
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lostNow(l lock.Lease) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

func awaitLost(t *testing.T, l lock.Lease) {
	t.Helper()
	select {
	case <-l.Lost():
	case <-time.After(30 * time.Second):
		require.Fail(t, "it does not notice")
	}
}

// TestPartition: an owner that is cut off from etcd knows it before another one
// gets the lock, and when the line is back its token is refused for good.
func TestPartition(t *testing.T) {
	address, guest := startEtcd(t), uuid.New()
	line := newLine(t, address)
	first, err := short(t, line.Addr().String(), "panel-1").Acquire(t.Context(), guest)
	require.NoError(t, err)
	others := short(t, address, "panel-2")
	_, err = others.Acquire(t.Context(), guest)
	require.ErrorIs(t, err, lock.ErrBusy)
	require.ErrorContains(t, err, `"panel-1" has it`)
	awaitBeats(t, dial(t, address), guest) // it lives on by its signs of life
	require.NoError(t, first.Check(t.Context()))
	require.False(t, lostNow(first))

	line.cut()
	second, took := eventually(t, others, guest)
	t.Logf("the lock went to the other after %s", took.Round(time.Millisecond))
	require.True(t, lostNow(first), "the first one knew before")
	assert.Greater(t, second.Token(), first.Token())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err = first.Check(ctx)
	require.Error(t, err, "it can not find out")
	require.NotErrorIs(t, err, lock.ErrLost)

	line.mend()
	require.ErrorIs(t, first.Check(t.Context()), lock.ErrLost)
	require.NoError(t, first.Release())
	require.NoError(t, second.Check(t.Context()), "the old one's Release takes nothing away")
	require.False(t, lostNow(second))
}

// awaitBeats waits until the lease behind a lock was prolonged: it has more time
// left than it had.
func awaitBeats(t *testing.T, c *clientv3.Client, guest uuid.UUID) {
	t.Helper()
	got, err := c.Get(t.Context(), "xenhost/locks/"+guest.String())
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
	began, id := time.Now(), clientv3.LeaseID(got.Kvs[0].Lease)
	for {
		left, err := c.TimeToLive(t.Context(), id)
		require.NoError(t, err)
		require.GreaterOrEqual(t, left.TTL, int64(0), "it ended although its owner lives")
		if time.Since(began) > time.Duration(left.GrantedTTL+1)*time.Second {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestOwnerDies: the lock of a program that ends without a word is free after the
// TTL, without anybody's help.
func TestOwnerDies(t *testing.T) {
	address, guest := startEtcd(t), uuid.New()
	client := dial(t, address)
	first, err := etcd.New(client, &etcd.Options{TTL: 2 * time.Second}).Acquire(t.Context(), guest)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	second, took := eventually(t, short(t, address, ""), guest)
	t.Logf("free after %s", took.Round(time.Millisecond))
	assert.Greater(t, second.Token(), first.Token())
	awaitLost(t, first)
	require.Error(t, first.Check(t.Context()))
}

// TestExpired: a lease that etcd itself has ended is noticed at once, and its
// token refused.
func TestExpired(t *testing.T) {
	address, guest := startEtcd(t), uuid.New()
	client := dial(t, address)
	first, err := short(t, address, "").Acquire(t.Context(), guest)
	require.NoError(t, err)
	got, err := client.Get(t.Context(), "xenhost/locks/"+guest.String())
	require.NoError(t, err)
	_, err = client.Revoke(t.Context(), clientv3.LeaseID(got.Kvs[0].Lease))
	require.NoError(t, err)
	require.ErrorIs(t, first.Check(t.Context()), lock.ErrLost)
	awaitLost(t, first)
	require.NoError(t, first.Release())
}

// TestNewCluster: tokens go on above those of a cluster that is no more.
func TestNewCluster(t *testing.T) {
	guest := uuid.New()
	old, err := short(t, startEtcd(t), "").Acquire(t.Context(), guest)
	require.NoError(t, err)
	defer func() { _ = old.Release() }()
	next, err := etcd.New(dial(t, startEtcd(t)), &etcd.Options{Above: old.Token()}).Acquire(t.Context(), guest)
	require.NoError(t, err)
	assert.Greater(t, next.Token(), old.Token())
	require.NoError(t, next.Release())
}

// TestNoAnswer: without etcd there is no lock, within the time that was given.
func TestNoAnswer(t *testing.T) {
	line := newLine(t, startEtcd(t))
	l := etcd.New(dial(t, line.Addr().String()), &etcd.Options{Within: 300 * time.Millisecond})
	line.cut()
	began := time.Now()
	_, err := l.Acquire(t.Context(), uuid.New())
	require.Error(t, err)
	assert.False(t, errors.Is(err, lock.ErrBusy))
	assert.Less(t, time.Since(began), 10*time.Second)
}
