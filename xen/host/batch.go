package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Order is one guest of a batch.
type Order struct {
	Guest   Guest
	Options *ProvisionOptions // as of Provision; nil is its defaults
}

// ProvisionAll makes all guests of a batch, or none: what was made is removed
// again when one fails. First it looks whether the host has room for all of them,
// then it makes them without starting any, and starts them when all are there.
// The guests are returned in the order given.
//
// A crash in the middle leaves those that were finished, switched off; with the
// same UUIDs their names are fs.ErrExist, and Terminate removes them.
func (h *Host) ProvisionAll(ctx context.Context, orders []Order) ([]Guest, error) {
	if err := h.roomForAll(ctx, orders); err != nil {
		return nil, err
	}
	var made []Guest
	err := h.provisionAll(ctx, orders, &made)
	if err == nil {
		return made, nil
	}
	// Taking back has time of its own: ctx may be what ended the batch.
	for i := len(made) - 1; i >= 0; i-- {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		err = errors.Join(err, h.Terminate(back, made[i].UUID))
		cancel()
	}
	return nil, err
}

func (h *Host) roomForAll(ctx context.Context, orders []Order) error {
	left, err := h.Capacity(ctx)
	if err != nil {
		return err
	}
	for i, o := range orders {
		if left, err = left.Sell(o.Guest.withDefaults().Need()); err != nil {
			return &Error{Op: "provision", Name: o.Guest.Name, Err: fmt.Errorf("guest %d of %d: %w", i+1, len(orders), err)}
		}
	}
	return nil
}

func (h *Host) provisionAll(ctx context.Context, orders []Order, made *[]Guest) error {
	start := make([]uuid.UUID, 0, len(orders))
	for _, o := range orders {
		opts := ProvisionOptions{}
		if o.Options != nil {
			opts = *o.Options
		}
		starts := !opts.Stopped
		opts.Stopped = true
		g, err := h.Provision(ctx, o.Guest, &opts)
		if err != nil {
			return err
		}
		if starts {
			start = append(start, g.UUID)
			g.Off = false
		}
		*made = append(*made, g)
	}
	for _, id := range start {
		if err := h.Start(ctx, id); err != nil {
			return err
		}
	}
	return nil
}
