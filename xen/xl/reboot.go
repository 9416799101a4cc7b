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
)

// Reboot implements xen.Rebooter.
//
//	xl reboot DOMID
//
// It is the domain's monitor that starts it again, after two seconds. Up to
// Xen 4.19 a domain that was saved, or whose move failed, has none any more; a
// supervisor has to do it then.
func (d *Driver) Reboot(ctx context.Context, id uuid.UUID, opts *xen.RebootOptions) (again xen.Domain, err error) {
	grace := 2 * time.Minute
	if opts != nil && opts.Grace != 0 {
		grace = opts.Grace
	}
	err = d.onLive(ctx, "reboot", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		switch {
		case err != nil:
			return err
		case now.OnReboot != "restart":
			return &xen.FieldError{Field: "on_reboot", Value: now.OnReboot, Why: "is not restart: the domain would not come back"}
		case dom.State == xen.Paused:
			return fmt.Errorf("domain is %s: %w", dom.State, xen.ErrBusy)
		}
		deadline := time.Now().Add(grace)
		a := d.run(ctx, min(remaining(deadline), d.opts.Limits.Shutdown), "xl", "reboot", strconv.Itoa(dom.ID))
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.failure(); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) {
			return err
		}
		again, err = d.returned(ctx, dom, deadline)
		if err != nil && a.err != nil {
			err = fmt.Errorf("%w: %w", err, a.failure())
		}
		return err
	})
	if err != nil {
		return xen.Domain{}, err
	}
	d.opts.Log.InfoContext(ctx, "domain rebooted", "uuid", id, "domid", again.ID)
	return again, nil
}

// returned waits until the domain runs under another domid.
func (d *Driver) returned(ctx context.Context, was xen.Domain, deadline time.Time) (xen.Domain, error) {
	limit, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	state := was.State
	var now xen.Domain
	err := d.poll(limit, func() (bool, error) {
		var err error
		now, err = d.lookup(limit, was.UUID)
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
