package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Shutdown implements xen.Lifecycle.
//
//	virDomainShutdownFlags
//
// A guest that reboots instead is asked again. While libxl waits for the
// guest's answer (60 s if it is deaf) libvirt does nothing else with the
// domain, so a short grace can end late. When ctx ends the guest has been asked
// and runs on, or is on its way down.
func (d *Driver) Shutdown(ctx context.Context, id uuid.UUID, opts *xen.ShutdownOptions) (how xen.Ending, err error) {
	grace := time.Minute
	if opts != nil && opts.Grace != 0 {
		grace = opts.Grace
	}
	err = d.on(ctx, "shutdown", id.String(), id, func() (err error) {
		how, err = d.shutdown(ctx, id, time.Now().Add(grace))
		return err
	})
	if err != nil {
		return "", err
	}
	d.opts.Log.InfoContext(ctx, "domain shut down", "uuid", id, "how", how)
	return how, nil
}

func (d *Driver) shutdown(ctx context.Context, id uuid.UUID, deadline time.Time) (xen.Ending, error) {
	guest, err := d.appear(ctx, id)
	for err == nil {
		if guest.State != xen.Running && guest.State != xen.Suspended || time.Until(deadline) <= 0 {
			return d.putAway(ctx, guest)
		}
		limit := min(remaining(deadline), d.opts.Limits.Shutdown)
		asked := d.call(ctx, limit, func(l *rpc.Libvirt) error { return l.DomainShutdownFlags(handle(guest), rpc.DomainShutdownDefault) })
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case errors.Is(asked, fs.ErrNotExist):
			return xen.Clean, nil
		case errors.Is(asked, fs.ErrPermission):
			return "", asked
		case errors.Is(asked, errors.ErrUnsupported):
			return d.putAway(ctx, guest)
		case errors.Is(asked, errLost): // a daemon that was restarted may not have asked
			guest, err = d.appear(ctx, id)
		default:
			guest, err = d.leave(ctx, guest, deadline)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return xen.Clean, nil
		}
	}
	return "", err
}

// handle is how libvirt is told which domain is meant: it goes by the UUID.
func handle(dom xen.Domain) rpc.Domain {
	return rpc.Domain{Name: dom.Name, UUID: rpc.UUID(dom.UUID), ID: int32(dom.ID)}
}

// leave waits until the guest has shut down or rebooted, or the deadline has
// come, and returns the domain that is there then; fs.ErrNotExist: none.
func (d *Driver) leave(ctx context.Context, guest xen.Domain, deadline time.Time) (now xen.Domain, err error) {
	err = d.poll(ctx, func() (bool, error) {
		if now, err = d.lookup(ctx, guest.UUID); err != nil {
			return false, err
		}
		rebooted := now.ID != guest.ID && now.State == xen.Running
		down := now.State == xen.Stopped || now.State == xen.Crashed
		return rebooted || down || time.Until(deadline) <= 0 && now.ID != notRunning, nil
	})
	return now, err
}

// putAway destroys a domain that is down, or does not go down.
func (d *Driver) putAway(ctx context.Context, guest xen.Domain) (xen.Ending, error) {
	if err := d.end(ctx, guest); err != nil {
		return "", err
	}
	if guest.State == xen.Stopped && guest.Reason == xen.Poweroff {
		return xen.Clean, nil
	}
	return xen.Destroyed, nil
}

// Destroy implements xen.Lifecycle.
//
//	virDomainDestroyFlags
func (d *Driver) Destroy(ctx context.Context, id uuid.UUID) error {
	err := d.on(ctx, "destroy", id.String(), id, func() error {
		victim, err := d.appear(ctx, id)
		if err != nil {
			return err
		}
		return d.end(ctx, victim)
	})
	if err == nil {
		d.opts.Log.InfoContext(ctx, "domain destroyed", "uuid", id)
	}
	return err
}

// end destroys a domain, and what libvirt may have made of a reboot in the same
// moment, and waits until nothing with its UUID runs or is about to.
func (d *Driver) end(ctx context.Context, victim xen.Domain) error {
	limit, cancel := context.WithTimeoutCause(ctx, d.opts.Limits.Destroy, errStays)
	defer cancel()
	err := d.poll(limit, func() (bool, error) {
		said := d.call(limit, d.opts.Limits.Destroy, func(l *rpc.Libvirt) error {
			return l.DomainDestroyFlags(handle(victim), rpc.DomainDestroyDefault)
		})
		left, err := d.lookup(limit, victim.UUID)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return true, nil
		case err != nil:
			return false, err
		case left.ID == victim.ID && left.State != xen.Dying && said != nil && !errors.Is(said, xen.ErrBusy) && !unclear(said):
			return false, said
		}
		victim = left
		return false, nil
	})
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(limit), errStays) {
		return fmt.Errorf("%w: domid %d: %w: %w", xen.ErrDirty, victim.ID, errStays, err)
	}
	return err
}

var errStays = errors.New("destroyed, and still on the list")

// appear returns the domain. One that libvirt builds, or restarts after a
// reboot, is waited for; libvirt keeps the name of one whose restart failed
// until it is itself restarted (ErrDirty).
func (d *Driver) appear(ctx context.Context, id uuid.UUID) (found xen.Domain, err error) {
	limit, cancel := context.WithTimeoutCause(ctx, d.opts.Limits.Destroy, errGhost)
	defer cancel()
	waited := false
	err = d.poll(limit, func() (bool, error) {
		if found, err = d.lookup(limit, id); err != nil {
			return false, err
		}
		waited = found.ID == notRunning
		return !waited, nil
	})
	if err != nil && waited && ctx.Err() == nil && errors.Is(context.Cause(limit), errGhost) {
		err = fmt.Errorf("%w: %w", xen.ErrDirty, errGhost)
	}
	return found, err
}

var errGhost = errors.New("libvirt lists it and does not start it; if its restart failed (libvirtd's log), restart libvirtd")
