package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/xenhost/xenhost/migrate/lock"
)

// lease is a lock that was taken.
type lease struct {
	locker   *Locker
	key      string
	id       clientv3.LeaseID
	revision int64

	lost chan struct{}
	stop context.CancelFunc // ends the signs of life
	over chan struct{}      // closed when they have ended
	once sync.Once
	err  error // of Release
}

// keep gives signs of life until stop, or until they are not answered any more.
func (l *Locker) keep(key string, granted *clientv3.LeaseGrantResponse, revision int64, began time.Time) *lease {
	ctx, stop := context.WithCancel(context.Background())
	k := &lease{locker: l, key: key, id: granted.ID, revision: revision, lost: make(chan struct{}), stop: stop, over: make(chan struct{})}
	patience := time.Duration(granted.TTL) * time.Second * 2 / 3
	go func() {
		defer close(k.over)
		silence := time.NewTimer(patience - time.Since(began))
		defer silence.Stop()
		answers, err := l.client.KeepAlive(ctx, granted.ID)
		for err == nil {
			select {
			case _, ok := <-answers:
				if !ok {
					err = lock.ErrLost
					break
				}
				silence.Reset(patience)
			case <-silence.C:
				err = lock.ErrLost
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() == nil {
			close(k.lost)
		}
	}()
	return k
}

// Token implements lock.Lease.
func (k *lease) Token() uint64 { return k.locker.opts.Above + uint64(k.revision) }

// Lost implements lock.Lease.
func (k *lease) Lost() <-chan struct{} { return k.lost }

// Check implements lock.Lease: a majority of the cluster is asked whether the key
// is still the one that was made for this lease.
func (k *lease) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, k.locker.opts.Within)
	defer cancel()
	answer, err := k.locker.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(k.key), "=", k.revision)).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("ask etcd for the lock %s: %w", k.key, err)
	case !answer.Succeeded:
		return fmt.Errorf("%w: token %d is not that of %s any more", lock.ErrLost, k.Token(), k.key)
	}
	return nil
}

// Release implements lock.Lease. Where etcd does not answer, the lock ends with
// its TTL.
func (k *lease) Release() error {
	k.once.Do(func() {
		k.stop()
		<-k.over
		k.err = k.locker.revoke(context.Background(), k.id)
	})
	return k.err
}

// gone tells that a lease had ended before.
func gone(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }
