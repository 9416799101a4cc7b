// Package verb is what the verbs of every driver have in common: on one domain
// they wait for each other, they look until what they did is there, and their
// errors name them.
package verb

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/keyed"
)

// Verbs is the part of a driver that its verbs share. Poll and Log must be set
// before the first verb.
type Verbs struct {
	Poll time.Duration // between two looks
	Log  *slog.Logger

	domains keyed.Mutex[uuid.UUID]
	names   keyed.Mutex[struct{}]
}

// On does work on the domain while no other verb does, and wraps its error.
func (v *Verbs) On(ctx context.Context, op, name string, id uuid.UUID, work func() error) error {
	unlock, err := v.domains.Lock(ctx, id)
	if err == nil {
		defer unlock()
		err = work()
	}
	return Wrap(op, name, err)
}

// Naming waits until no other verb takes a name or memory: toolstacks look at
// both first and take them later.
func (v *Verbs) Naming(ctx context.Context) (done func(), err error) {
	return v.names.Lock(ctx, struct{}{})
}

// Until calls look at once and then every Poll until it says true or fails, or
// ctx ends.
func (v *Verbs) Until(ctx context.Context, look func() (bool, error)) error {
	tick := time.NewTicker(v.Poll)
	defer tick.Stop()
	for {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Answered waits until the guest has done what it was asked for;
// xen.ErrNoAnswer: it has not within limit.
func (v *Verbs) Answered(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	ctxLimit, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := v.Until(ctxLimit, done)
	if errors.Is(err, context.DeadlineExceeded) && ctxLimit.Err() != nil && ctx.Err() == nil {
		return xen.ErrNoAnswer
	}
	return err
}

// Wrap says which verb failed on which domain.
func Wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &xen.Error{Op: op, Name: name, Err: err}
}

// Remaining is how long from now until t, at least a moment.
func Remaining(t time.Time) time.Duration { return max(time.Until(t), time.Millisecond) }

// After is a context for what must be done although ctx may have ended: to
// look, and to put things back.
func After(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
