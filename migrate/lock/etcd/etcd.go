// Package etcd keeps the locks of guests in an etcd cluster, for fleets in which
// more than two hosts can work on a guest.
//
// A lock is a key with a lease of etcd: it goes away when its owner has given no
// sign of life for the lease's time. The fencing token is the revision of etcd at
// which the key came to be; it grows over the whole cluster, for ever. It is
// refused as soon as another one has the lock: by etcd (Lease.Check), and by
// every host that the other one has claimed the guest on (host.Hold.Claim).
//
//	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: tls, DialTimeout: 5 * time.Second})
//	locks := etcd.New(client, &etcd.Options{Owner: "panel-1"})
//	plan, err := migrate.PlanMove(ctx, curacao, islay, guest, migrate.Live, &migrate.Options{Locker: locks})
//
// The package is a module of its own, so that whoever needs no etcd does not get
// its dependencies.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/xenhost/xenhost/migrate/lock"
)

// Options changes how a Locker works; nil is the defaults.
type Options struct {
	// Prefix is what the keys begin with; "" is "xenhost/locks/". The guest's
	// UUID follows.
	Prefix string
	// Owner is told to others who want the lock: a host's or a panel's name.
	Owner string
	// TTL is how long after its owner's last sign of life a lock goes to another
	// one, in whole seconds; 0 is 15 s. etcd may make it longer. Lost is closed
	// after two thirds of it without an answer, so before that.
	TTL time.Duration
	// Within bounds each question to etcd, beyond the caller's own context; 0 is
	// 5 s.
	Within time.Duration
	// Above is added to the revisions. A cluster that was made anew counts from
	// 1: give it more than the last token of the old one.
	Above uint64
}

// Locker is a lock.Locker. It is safe for concurrent use.
type Locker struct {
	client *clientv3.Client
	opts   Options
}

var _ lock.Locker = (*Locker)(nil)

// New returns the locks that are kept through client, which remains the caller's
// to close. Locks that are held then end with the TTL.
func New(client *clientv3.Client, opts *Options) *Locker {
	l := &Locker{client: client}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.Prefix == "" {
		l.opts.Prefix = "xenhost/locks/"
	}
	if l.opts.TTL == 0 {
		l.opts.TTL = 15 * time.Second
	}
	if l.opts.Within == 0 {
		l.opts.Within = 5 * time.Second
	}
	return l
}

// Acquire implements lock.Locker. An error that is neither lock.ErrBusy nor of
// ctx means that etcd did not answer; then a lock that was taken all the same
// ends with the TTL.
func (l *Locker) Acquire(ctx context.Context, guest uuid.UUID) (lock.Lease, error) {
	lease, err := l.acquire(ctx, guest)
	if err != nil {
		return nil, fmt.Errorf("lock of guest %s in etcd: %w", guest, err)
	}
	return lease, nil
}

func (l *Locker) acquire(ctx context.Context, guest uuid.UUID) (*lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Within)
	defer cancel()
	began := time.Now() // the lease does not end before TTL from now
	seconds := int64((l.opts.TTL + time.Second - 1) / time.Second)
	granted, err := l.client.Grant(ctx, seconds)
	if err != nil {
		return nil, err
	}
	key := l.opts.Prefix + guest.String()
	answer, err := l.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, l.opts.Owner, clientv3.WithLease(granted.ID))).
		Else(clientv3.OpGet(key)).
		Commit()
	if err == nil && !answer.Succeeded {
		err = lock.ErrBusy
		if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 && len(kvs[0].Value) > 0 {
			err = fmt.Errorf("%w: %.64q has it", lock.ErrBusy, kvs[0].Value)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.revoke(ctx, granted.ID))
	}
	return l.keep(key, granted, answer.Header.Revision, began), nil
}

// revoke ends a lease, also when ctx has ended. One that is gone is no error.
func (l *Locker) revoke(ctx context.Context, id clientv3.LeaseID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.opts.Within)
	defer cancel()
	_, err := l.client.Revoke(ctx, id)
	if gone(err) {
		return nil
	}
	return err
}
