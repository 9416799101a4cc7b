package billing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host"
)

// Termination says what ends, and when.
type Termination struct {
	// Name is the guest's, typed once more.
	Name string `json:"name"`
	// Grace is how long the guest is kept, off, and Revive brings it back; 0 is
	// not at all.
	Grace time.Duration `json:"grace"`
}

// Ending is how far a termination is.
type Ending struct {
	Due  time.Time `json:"due"`  // when the grace ends, or ended
	Done bool      `json:"done"` // nothing of the guest is left
}

// whyTerminated is the reason of a suspension that a termination makes.
const whyTerminated = "terminated"

// Terminate ends an order. The guest is powered off and kept for the grace; after
// it, Sweep or another Terminate overwrites its volumes with zeros and removes all
// of it. Called again it does not prolong the grace, and one of less grace
// shortens it. ErrIdentity: the guest is not that customer's or has another name.
func (d *Desk) Terminate(ctx context.Context, r Ref, t Termination) (end Ending, err error) {
	err = d.call(ctx, "terminate", r, func() error {
		end, err = d.terminate(ctx, r, t)
		return err
	})
	return end, err
}

func (d *Desk) terminate(ctx context.Context, r Ref, t Termination) (Ending, error) {
	over, err := d.ends.get(r.Order)
	switch {
	case err == nil && over.Customer != r.Customer:
		return Ending{}, ErrIdentity
	case err == nil: // what a crash left of it
		return Ending{Due: over.At, Done: true}, d.remove(ctx, r)
	case !errors.Is(err, fs.ErrNotExist):
		return Ending{}, err
	}
	s, err := d.find(ctx, r)
	if err != nil {
		return Ending{}, err
	}
	if s.Guest.Name != t.Name {
		return Ending{}, fmt.Errorf("%w: it is not called %.70q", ErrIdentity, t.Name)
	}
	now := d.config.Now().UTC().Truncate(time.Second)
	due := now.Add(max(0, t.Grace))
	if old, err := time.Parse(time.RFC3339, s.Guest.Labels[labelDue]); err == nil && old.Before(due) {
		due = old
	}
	if _, err := d.host.SetLabels(ctx, s.Guest.UUID, host.Labels{labelDue: due.Format(time.RFC3339)}); err != nil {
		return Ending{}, err
	}
	if _, err := d.host.Suspend(ctx, s.Guest.UUID, whyTerminated); err != nil {
		return Ending{}, err
	}
	if due.After(now) {
		return Ending{Due: due}, nil
	}
	return Ending{Due: due, Done: true}, d.finish(ctx, r, s.Guest.UUID, due)
}

// finish wipes and removes the guest. That the order is over is written before the
// guest, which tells whose it was, is gone.
func (d *Desk) finish(ctx context.Context, r Ref, id uuid.UUID, due time.Time) error {
	if err := d.host.Wipe(ctx, id); err != nil {
		return err
	}
	if err := d.ends.put(over{Ref: r, Guest: id, At: due}); err != nil {
		return err
	}
	return d.remove(ctx, r)
}

func (d *Desk) remove(ctx context.Context, r Ref) error {
	err := d.host.Terminate(ctx, GuestOf(r.Order))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Revive takes a termination back while its grace lasts: the guest is as it was
// before, suspended if it was suspended. What is not terminated stays as it is.
func (d *Desk) Revive(ctx context.Context, r Ref) error {
	return d.call(ctx, "revive", r, func() error {
		s, err := d.find(ctx, r)
		if err != nil {
			return err
		}
		if s.Guest.Labels[labelDue] != "" { // first: a guest that runs must have no due
			if _, err := d.host.SetLabels(ctx, s.Guest.UUID, host.Labels{labelDue: ""}); err != nil {
				return err
			}
		}
		if s.Guest.Suspended == nil || s.Guest.Suspended.Why != whyTerminated {
			return nil
		}
		return d.host.Unsuspend(ctx, s.Guest.UUID)
	})
}

// Sweep finishes terminations whose grace is over, and returns their orders. It
// is for a timer; what fails is tried again by the next one.
func (d *Desk) Sweep(ctx context.Context) (done []Ref, err error) {
	err = d.call(ctx, "sweep", Ref{}, func() error {
		guests, err := d.host.Guests(ctx)
		if err != nil {
			return err
		}
		var errs []error
		for _, s := range guests {
			due, err := time.Parse(time.RFC3339, s.Guest.Labels[labelDue])
			if err != nil || s.Owner.MayRun() != nil || due.After(d.config.Now()) {
				continue
			}
			r := Ref{Order: s.Guest.Labels[labelOrder], Customer: s.Guest.Labels[labelCustomer]}
			if s.Guest.UUID != GuestOf(r.Order) {
				continue
			}
			err = d.call(ctx, "sweep away", r, func() error {
				if _, err := d.host.Suspend(ctx, s.Guest.UUID, whyTerminated); err != nil {
					return err
				}
				return d.finish(ctx, r, s.Guest.UUID, due)
			})
			if err == nil {
				done = append(done, r)
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	return done, err
}
