package verb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Shutdown is the verb; ask has the guest go down until the deadline.
func (v *Verbs) Shutdown(ctx context.Context, id uuid.UUID, opts *xen.ShutdownOptions, ask func(deadline time.Time) (xen.Ending, error)) (how xen.Ending, err error) {
	grace := time.Minute
	if opts != nil && opts.Grace != 0 {
		grace = opts.Grace
	}
	err = v.On(ctx, "shutdown", id.String(), id, func() (err error) {
		how, err = ask(time.Now().Add(grace))
		return err
	})
	if err != nil {
		return "", err
	}
	v.Log.InfoContext(ctx, "domain shut down", "uuid", id, "how", how)
	return how, nil
}

// Destroy is the verb; appear finds the domain and end destroys it.
func (v *Verbs) Destroy(ctx context.Context, id uuid.UUID, appear func(context.Context, uuid.UUID) (xen.Domain, error), end func(context.Context, xen.Domain) error) error {
	err := v.On(ctx, "destroy", id.String(), id, func() error {
		victim, err := appear(ctx, id)
		if err == nil {
			err = end(ctx, victim)
		}
		return err
	})
	if err == nil {
		v.Log.InfoContext(ctx, "domain destroyed", "uuid", id)
	}
	return err
}

// PutAway ends a domain that is down, or does not go down. It was a clean end
// if the guest had powered off and only nobody had cleaned up behind it.
func PutAway(ctx context.Context, guest xen.Domain, end func(context.Context, xen.Domain) error) (xen.Ending, error) {
	if err := end(ctx, guest); err != nil {
		return "", err
	}
	if guest.State == xen.Stopped && guest.Reason == xen.Poweroff {
		return xen.Clean, nil
	}
	return xen.Destroyed, nil
}

// Goes reports whether a domain in this state can be asked to go down.
func Goes(guest xen.Domain) bool { return guest.State == xen.Running || guest.State == xen.Suspended }

// Rebootable says whether a domain of this configuration can be asked to
// reboot, and would come back.
func Rebootable(dom xen.Domain, onReboot string) error {
	switch {
	case onReboot != "restart":
		return &xen.FieldError{Field: "on_reboot", Value: onReboot, Why: "is not restart: the domain would not come back"}
	case dom.State != xen.Running:
		return fmt.Errorf("domain is %s: %w", dom.State, xen.ErrBusy)
	}
	return nil
}

// RebootDeadline is until when a guest must be back.
func RebootDeadline(opts *xen.RebootOptions) time.Time {
	if opts != nil && opts.Grace != 0 {
		return time.Now().Add(opts.Grace)
	}
	return time.Now().Add(2 * time.Minute)
}

// Returned waits until a domain that was asked to reboot runs under another
// domid.
func (v *Verbs) Returned(ctx context.Context, was xen.Domain, deadline time.Time, lookup func(context.Context, uuid.UUID) (xen.Domain, error)) (xen.Domain, error) {
	limit, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	state := was.State
	var now xen.Domain
	err := v.Until(limit, func() (bool, error) {
		var err error
		now, err = lookup(limit, was.UUID)
		if errors.Is(err, fs.ErrNotExist) {
			state = ""
			return false, nil
		}
		if err == nil {
			state = now.State
		}
		return now.ID != was.ID && now.State == xen.Running, err
	})
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return now, err
	}
	switch state {
	case xen.Running:
		err = xen.ErrNoAnswer
	case "":
		err = fmt.Errorf("it went down, and nothing starts it again: %w", fs.ErrNotExist)
	default:
		err = fmt.Errorf("it is %s, and nothing starts it again: %w", state, xen.ErrBusy)
	}
	return now, err
}
