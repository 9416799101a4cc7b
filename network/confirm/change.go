package confirm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"
)

// Apply makes the network as want says until the window is over; Confirm makes
// it stay. A change that fails is taken back before Apply returns.
func (c *Changer) Apply(ctx context.Context, want State) (Pending, error) {
	p, err := c.apply(ctx, want)
	return p, failed("apply", err)
}

func (c *Changer) apply(ctx context.Context, want State) (Pending, error) {
	if len(c.keeper) == 0 {
		return Pending{}, fmt.Errorf("no keeper is configured: %w", errors.ErrUnsupported)
	}
	unlock, err := c.hold(ctx)
	if err != nil {
		return Pending{}, err
	}
	defer unlock()
	if err := c.settle(ctx); err != nil {
		return Pending{}, err
	}
	before, err := c.target.read(ctx)
	if err != nil {
		return Pending{}, err
	}
	if err := c.reachable(before, want); err != nil {
		return Pending{}, err
	}
	if err := c.awaitKeepers(ctx, false); err != nil {
		return Pending{}, err
	}
	now, boot, err := clock()
	if err != nil {
		return Pending{}, err
	}
	p := pendingFile{ID: uuid.New(), Boot: boot, Deadline: now + c.window, Before: before, Want: want}
	if err := c.arm(ctx, p); err != nil {
		return Pending{}, errors.Join(err, c.remove(pendingName))
	}
	left, err := c.left(p)
	if err != nil {
		return Pending{}, errors.Join(err, c.takeBack(ctx, p))
	}
	limited, cancel := context.WithTimeout(ctx, left.Left) // then the keepers take over
	defer cancel()
	if err := c.target.apply(limited, want); err != nil {
		return Pending{}, errors.Join(err, c.takeBack(ctx, p))
	}
	c.log.Info("changed until confirmed", "change", p.ID, "window", c.window)
	return c.left(p)
}

// arm puts all that a keeper needs on disk, and returns when both keepers run.
func (c *Changer) arm(ctx context.Context, p pendingFile) error {
	if _, err := c.readConfirmed(); errors.Is(err, fs.ErrNotExist) {
		if err := c.write(confirmedName, confirmedFile{State: p.Before}); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := c.write(pendingName, p); err != nil {
		return err
	}
	return c.startKeepers(ctx)
}

// Confirm makes a pending change stay. ErrLate: it was taken back, or is about
// to be.
func (c *Changer) Confirm(ctx context.Context, id uuid.UUID) error {
	return failed("confirm", c.confirm(ctx, id))
}

func (c *Changer) confirm(ctx context.Context, id uuid.UUID) error {
	unlock, err := c.hold(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := c.readPending()
	if errors.Is(err, fs.ErrNotExist) {
		if done, err := c.readConfirmed(); err == nil && done.ID == id {
			return nil // again
		}
		return ErrLate
	}
	if err != nil {
		return err
	}
	if p.ID != id {
		return fmt.Errorf("the pending change is %v: %w", p.ID, ErrPending)
	}
	if left, err := c.left(p); err != nil || left.Left <= 0 {
		return errors.Join(err, ErrLate)
	}
	if err := c.write(confirmedName, confirmedFile{ID: p.ID, State: p.after()}); err != nil {
		return err
	}
	c.log.Info("confirmed", "change", p.ID)
	return c.remove(pendingName)
}

// Revert takes the pending change back now; there being none is no error.
func (c *Changer) Revert(ctx context.Context) error {
	unlock, err := c.hold(ctx)
	if err != nil {
		return failed("revert", err)
	}
	defer unlock()
	p, err := c.readPending()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = c.takeBack(ctx, p)
	}
	return failed("revert", err)
}

// Pending returns the change that waits, or fs.ErrNotExist.
func (c *Changer) Pending() (Pending, error) {
	p, err := c.readPending()
	if err != nil {
		return Pending{}, failed("look", err)
	}
	left, err := c.left(p)
	return left, failed("look", err)
}
