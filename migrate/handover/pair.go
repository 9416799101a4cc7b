package handover

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host/owner"
)

// Pair is a guest held on both hosts of a move. Its verbs do their steps in
// the one order that is safe, skip what the records say is done, and can be
// repeated after any failure.
type Pair struct {
	Source, Target Side
	// Before is called before each effect; its error ends the verb there. nil
	// is nothing.
	Before func(Step) error
}

// Do announces one step and does it; an error names the step.
func (p Pair) Do(name Name, side Side, dev string, effect func() error) error {
	step := Step{Name: name, Host: side.Host(), Dev: dev}
	if p.Before != nil {
		if err := p.Before(step); err != nil {
			return err
		}
	}
	if err := effect(); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return nil
}

// Put is the step that writes r on side and in *seen.
func (p Pair) Put(ctx context.Context, name Name, side Side, seen *owner.Record, r owner.Record) error {
	return p.Do(name, side, "", func() error {
		err := side.Put(ctx, r)
		if err == nil {
			*seen = r
		}
		return err
	})
}

// Forward hands the guest over: source fenced, target committed, adopted and
// (unless off) started, source released. s and t are the records as they
// stand, and are kept up to date, so that after an error the caller knows how
// far it got: while s is Prepared the way back is open.
//
// The copy must be complete and verified and t Ready, or beyond.
func (p Pair) Forward(ctx context.Context, s, t *owner.Record, off bool) error {
	if s.State == owner.Prepared {
		fenced := fencedFrom(*s)
		if err := p.Do(Fence, p.Source, "", func() error { return p.Source.Fence(ctx, fenced.Epoch) }); err != nil {
			return err
		}
		if err := p.giveUp(ctx, s, t, fenced); err != nil {
			return err
		}
	}
	if err := p.take(ctx, t, off); err != nil {
		return err
	}
	return p.release(ctx, s)
}

// GiveUp is the cut-over of a live move, with the domain suspended: the volumes
// are fenced when it is gone.
func (p Pair) GiveUp(ctx context.Context, s, t *owner.Record) error {
	return p.giveUp(ctx, s, t, fencedFrom(*s))
}

func fencedFrom(s owner.Record) owner.Record {
	s.State, s.Epoch, s.Override = owner.Fenced, s.Epoch+1, owner.Override{}
	return s
}

// giveUp is the cut-over. The target is asked once more, by writing its record
// as it is: if it has just died, the source still keeps its guest.
func (p Pair) giveUp(ctx context.Context, s, t *owner.Record, fenced owner.Record) error {
	return p.Do(GiveUp, p.Source, "", func() error {
		if err := p.Target.Put(ctx, *t); err != nil {
			return err
		}
		err := p.Source.Put(ctx, fenced)
		if err == nil {
			*s = fenced
		}
		return err
	})
}

// take makes the guest the target's.
func (p Pair) take(ctx context.Context, t *owner.Record, off bool) error {
	if t.State == owner.Ready {
		committed := *t
		committed.State = owner.Committed
		if err := p.Put(ctx, Commit, p.Target, t, committed); err != nil {
			return err
		}
	}
	if t.State == owner.Committed && t.Live {
		if err := p.Do(Rise, p.Target, "", func() error { _, err := p.Target.Rise(ctx); return err }); err != nil {
			return err
		}
	}
	if t.State == owner.Committed {
		if err := p.Do(Adopt, p.Target, "", func() error { return p.Target.Adopt(ctx) }); err != nil {
			return err
		}
		epoch := t.Epoch
		if t.Override != (owner.Override{}) {
			epoch++
		}
		if err := p.Put(ctx, Own, p.Target, t, running(*t, epoch)); err != nil {
			return err
		}
	}
	if t.State != owner.Running || off {
		return nil
	}
	return p.Do(Start, p.Target, "", func() error { return p.Target.Start(ctx) })
}

// release ends what the source did for the guest.
func (p Pair) release(ctx context.Context, s *owner.Record) error {
	if s.State != owner.Fenced {
		return nil
	}
	if s.Live {
		if err := p.Do(Bury, p.Source, "", func() error { return p.Source.Bury(ctx) }); err != nil {
			return err
		}
		if err := p.Do(Fence, p.Source, "", func() error { return p.Source.Fence(ctx, s.Epoch) }); err != nil {
			return err
		}
	}
	if err := p.Do(PutAside, p.Source, "", func() error { return p.Source.PutAside(ctx) }); err != nil {
		return err
	}
	released := *s
	released.State = owner.Released
	return p.Put(ctx, Release, p.Source, s, released)
}

// Back gives the source what it never gave up: the guest runs there again
// (unless off), then the target's copy is taken back. The source goes first,
// because its guest may be down and the target may not answer; a target that
// was not reached is no reason to wait, since it can not commit without us.
func (p Pair) Back(ctx context.Context, s, t *owner.Record, off bool) error {
	return errors.Join(p.keep(ctx, s, s.Epoch, off), p.Forget(ctx, t))
}

// Retract is Lift, after the target has given up what it received.
func (p Pair) Retract(ctx context.Context, s, t *owner.Record, off bool) error {
	if err := p.Forget(ctx, t); err != nil {
		return err
	}
	return p.Lift(ctx, s, t, off)
}

// Lift gives a fenced source its guest back, with a new epoch. The target's
// record must be Aborted, durably, for the same move.
func (p Pair) Lift(ctx context.Context, s, t *owner.Record, off bool) error {
	if t.State != owner.Aborted || t.Move != s.Move || t.Epoch != s.Epoch {
		return fmt.Errorf("lift on %s: %w: %s has not given this move up", p.Source.Host(), ErrConflict, p.Target.Host())
	}
	return p.keep(ctx, s, s.Epoch+1, off)
}

func (p Pair) keep(ctx context.Context, s *owner.Record, epoch uint64, off bool) error {
	if s.Live && s.State != owner.Running {
		if err := p.Do(Rise, p.Source, "", func() error { _, err := p.Source.Rise(ctx); return err }); err != nil {
			return err
		}
	}
	if err := p.Do(Unfence, p.Source, "", func() error { return p.Source.Unfence(ctx) }); err != nil {
		return err
	}
	if s.State != owner.Running {
		if err := p.Put(ctx, Keep, p.Source, s, running(*s, epoch)); err != nil {
			return err
		}
	}
	if off {
		return nil
	}
	return p.Do(Start, p.Source, "", func() error { return p.Source.Start(ctx) })
}

// Forget takes back what the target received, if it did not commit.
func (p Pair) Forget(ctx context.Context, t *owner.Record) error {
	if t.State != owner.Receiving && t.State != owner.Ready {
		return nil
	}
	if err := p.Do(Discard, p.Target, "", func() error { return p.Target.Discard(ctx) }); err != nil {
		return err
	}
	aborted := *t
	aborted.State = owner.Aborted
	return p.Put(ctx, Abort, p.Target, t, aborted)
}

// Yield ends the claim of a source whose epoch is lower than the target's: its
// domain is stopped, its volumes are fenced. No crash of a move leads here; a
// state directory that was restored from a backup does, and an operator's
// override while the host that is the source here was off.
func (p Pair) Yield(ctx context.Context, s, t *owner.Record, off bool) error {
	if s.State == owner.Committed {
		return p.recall(ctx, s, t, off)
	}
	if err := p.Do(Stop, p.Source, "", func() error { _, err := p.Source.Stop(ctx); return err }); err != nil {
		return err
	}
	if s.State == owner.Running {
		prepared := *s
		prepared.State, prepared.Peer, prepared.Move, prepared.Override = owner.Prepared, p.Target.Host(), uuid.New(), owner.Override{}
		if err := p.Put(ctx, Prepare, p.Source, s, prepared); err != nil {
			return err
		}
	}
	return p.Forward(ctx, s, t, off)
}

// running is the record of an owner that is in no move.
func running(r owner.Record, epoch uint64) owner.Record {
	return owner.Record{UUID: r.UUID, State: owner.Running, Epoch: epoch, Override: r.Override}
}
