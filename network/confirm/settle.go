package confirm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/xenhost/xenhost/internal/durable"
	"github.com/xenhost/xenhost/internal/flock"
)

// Settle takes back a change that nobody keeps any more: its time is over, or
// the host was booted since. An agent calls it when it starts.
func (c *Changer) Settle(ctx context.Context) error {
	unlock, err := c.hold(ctx)
	if err != nil {
		return failed("settle", err)
	}
	defer unlock()
	if err := c.settle(ctx); !errors.Is(err, ErrPending) {
		return failed("settle", err)
	}
	return nil
}

func (c *Changer) settle(ctx context.Context) error {
	p, err := c.readPending()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	left, err := c.left(p)
	if err != nil {
		return err
	}
	if left.Left > 0 {
		return fmt.Errorf("%v, %v left: %w", p.ID, left.Left.Round(time.Second), ErrPending)
	}
	return c.takeBack(ctx, p)
}

// Boot makes the network as it was confirmed last, after the host was powered
// on. A change that was pending is forgotten. Where nothing was ever confirmed,
// it does nothing.
func (c *Changer) Boot(ctx context.Context) error {
	unlock, err := c.hold(ctx)
	if err != nil {
		return failed("boot", err)
	}
	defer unlock()
	last, err := c.readConfirmed()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return failed("boot", err)
	default:
		if err := c.target.restore(ctx, last.State); err != nil {
			return failed("boot", err)
		}
	}
	return failed("boot", c.remove(pendingName))
}

// hold is the right to change the files and the network.
func (c *Changer) hold(ctx context.Context) (unlock func(), err error) {
	if err := durable.MkdirAll(c.dir); err != nil {
		return nil, err
	}
	return flock.Wait(ctx, filepath.Join(c.dir, "change.lock"))
}
