package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/lock"
)

// checkTime bounds the question whether a lease is held, which a guest may wait for.
const checkTime = 3 * time.Second

// grip is the lock of a guest for the time of a move; nil without a Locker.
type grip struct {
	lease lock.Lease
	stop  context.CancelCauseFunc // ends the context that grasp returned
	gone  chan struct{}           // closed when nobody waits for the loss any more
	over  context.CancelFunc
}

// grasp takes the lock. The context that it returns ends when the lock may be
// lost, until let.
func grasp(ctx context.Context, l lock.Locker, guest uuid.UUID) (context.Context, *grip, error) {
	if l == nil {
		return ctx, nil, nil
	}
	lease, err := l.Acquire(ctx, guest)
	if err != nil {
		return nil, nil, err
	}
	g := &grip{lease: lease, gone: make(chan struct{})}
	ctx, g.stop = context.WithCancelCause(ctx)
	wait, over := context.WithCancel(ctx)
	g.over = over
	go func() {
		defer close(g.gone)
		select {
		case <-lease.Lost():
			g.stop(fmt.Errorf("%w: it is no longer certain that nobody else works on the guest", lock.ErrLost))
		case <-wait.Done():
		}
	}()
	return ctx, g, nil
}

// claim tells both hosts with which right the guest is held there.
func (g *grip) claim(ctx context.Context, p handover.Pair) error {
	if g == nil {
		return nil
	}
	for _, side := range []handover.Side{p.Source, p.Target} {
		if err := side.Claim(ctx, g.lease.Token()); err != nil {
			return fmt.Errorf("claim on %s: %w", side.Host(), err)
		}
	}
	return nil
}

// before is called before each step. At the cut-over the lock must be held for
// certain; after it a loss does not matter, since only forward is safe.
func (g *grip) before(ctx context.Context, s handover.Step) error {
	if g == nil || s.Name != handover.GiveUp {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := g.lease.Check(ctx); err != nil {
		return fmt.Errorf("before %s: the lock of the guest: %w", s, err)
	}
	g.over()
	<-g.gone
	return nil
}

// let gives the lock back, and says why ctx ended if that was it.
func (g *grip) let(ctx context.Context, err error) error {
	if g == nil {
		return err
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, lock.ErrLost) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	g.over()
	<-g.gone
	g.stop(nil)
	if releaseErr := g.lease.Release(); releaseErr != nil && err != nil {
		err = fmt.Errorf("%w; give the lock of the guest back: %w", err, releaseErr)
	}
	return err // a lock that could not be given back ends by itself
}
