package xl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Shutdown implements xen.Lifecycle.
//
//	xl shutdown DOMID
//
// A guest that reboots instead (it is on the list again under another domid)
// is asked again. When ctx ends the guest has been asked and runs on, or is
// on its way down.
func (d *Driver) Shutdown(ctx context.Context, id uuid.UUID, opts *xen.ShutdownOptions) (xen.Ending, error) {
	return d.verbs.Shutdown(ctx, id, opts, func(deadline time.Time) (xen.Ending, error) { return d.shutdown(ctx, id, deadline) })
}

func (d *Driver) shutdown(ctx context.Context, id uuid.UUID, deadline time.Time) (xen.Ending, error) {
	guest, err := d.appear(ctx, id)
	for err == nil {
		if !verb.Goes(guest) || time.Until(deadline) <= 0 {
			return verb.PutAway(ctx, guest, d.destroy)
		}
		limit := min(verb.Remaining(deadline), d.opts.Limits.Shutdown)
		a := d.run(ctx, limit, "xl", "shutdown", strconv.Itoa(guest.ID))
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if errors.Is(a.failure(), errors.ErrUnsupported) {
			return verb.PutAway(ctx, guest, d.destroy)
		}
		guest, err = d.leave(ctx, guest, deadline)
		if errors.Is(err, fs.ErrNotExist) {
			return xen.Clean, nil
		}
	}
	return "", err
}

// leave waits until the guest has shut down or rebooted, or the deadline has
// come, and returns the domain that is there then; fs.ErrNotExist: none.
func (d *Driver) leave(ctx context.Context, guest xen.Domain, deadline time.Time) (xen.Domain, error) {
	now := guest
	err := d.verbs.Until(ctx, func() (bool, error) {
		domains, err := d.list(ctx)
		if err != nil {
			return false, err
		}
		var there bool
		if now, there = pick(domains, guest.UUID); !there {
			monitored, err := d.monitored(ctx, guest.UUID)
			if err == nil && !monitored {
				err = fs.ErrNotExist
			}
			if err == nil && time.Until(deadline) <= 0 {
				err = fmt.Errorf("%w: it is gone, and its monitor runs on", xen.ErrDirty)
			}
			return false, err
		}
		rebooted := now.ID != guest.ID && now.State == xen.Running
		down := now.State == xen.Stopped && now.Reason == xen.Poweroff || now.State == xen.Crashed
		return rebooted || down || time.Until(deadline) <= 0, nil
	})
	return now, err
}

// Destroy implements xen.Lifecycle.
//
//	xl destroy DOMID
func (d *Driver) Destroy(ctx context.Context, id uuid.UUID) error {
	return d.verbs.Destroy(ctx, id, d.appear, d.destroy)
}

// destroy ends victim, and what its monitor may have made of a reboot in the
// same moment.
func (d *Driver) destroy(ctx context.Context, victim xen.Domain) error {
	for {
		if err := d.end(ctx, victim); err != nil {
			return err
		}
		next, err := d.appear(ctx, victim.UUID)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if next.ID < victim.ID {
			return nil // the other half of a move inside this host
		}
		victim = next
	}
}

// appear returns the domain, or fs.ErrNotExist if it is not there and no
// monitor can bring it back.
func (d *Driver) appear(ctx context.Context, id uuid.UUID) (found xen.Domain, err error) {
	limit, cancel := context.WithTimeout(ctx, d.opts.Limits.Destroy)
	defer cancel()
	err = d.verbs.Until(limit, func() (bool, error) {
		if found, err = d.lookup(limit, id); !errors.Is(err, fs.ErrNotExist) {
			return true, err
		}
		monitored, monitorErr := d.monitored(limit, id)
		if monitorErr != nil {
			return false, monitorErr
		}
		if !monitored {
			return false, fs.ErrNotExist
		}
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("%w: it is gone, and its monitor runs on", xen.ErrDirty)
	}
	return found, err
}
