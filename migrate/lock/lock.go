// Package lock has the right to one operation on a guest for programs that share
// more than one host.
//
// Each host itself lets one operation at a time hold a guest, by an flock that
// ends with its owner (host.Hold), and a move holds it on both of its hosts. That
// is enough for two hosts. Where a third one may do something with the same guest
// at the same time, give migrate.Options.Locker one that all movers share: Files
// for the programs of one machine, package lock/etcd for a fleet.
//
// No lock alone is proof: its owner may have lost it and not know, because it was
// stopped, or cut off. So each Lease has a Token that grows, and hosts refuse a
// mover whose token is lower than one that they have seen (host.Hold.Claim).
package lock

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host"
)

// ErrBusy: another one has the guest's lock now. It is host.ErrBusy.
var ErrBusy = host.ErrBusy

// ErrLost: the lease has ended without Release, or may have.
var ErrLost = errors.New("the lock of the guest was lost")

// Locker gives leases. TestLocker of package locktest says what one must do.
type Locker interface {
	// Acquire takes the lock of a guest, or returns ErrBusy without waiting.
	Acquire(ctx context.Context, guest uuid.UUID) (Lease, error)
}

// Lease is the right to one operation on a guest, until Release or the end of
// the process. It is safe for concurrent use.
type Lease interface {
	// Token is above 0, and above that of every lease of this guest before.
	Token() uint64
	// Lost is closed when the lease may have ended without Release. It is a hint
	// to stop soon; Check is what to ask before a step that can not be taken back.
	Lost() <-chan struct{}
	// Check is nil if the lease is held now, by whoever keeps it; ErrLost if not;
	// another error if that could not be found out.
	Check(ctx context.Context) error
	// Release gives the lock back. Of a lease that was lost, or released before,
	// it does nothing: it never takes the lock from another one.
	Release() error
}
