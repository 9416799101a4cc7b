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
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Shutdown implements xen.Lifecycle.
//
//	virDomainShutdownFlags
//
// A guest that reboots instead is asked again. While libxl waits for the
// guest's answer (60 s if it is deaf) libvirt does nothing else with the
// domain, so a short grace can end late. When ctx ends the guest has been asked
// and runs on, or is on its way down.
func (d *Driver) Shutdown(ctx context.Context, id uuid.UUID, opts *xen.ShutdownOptions) (xen.Ending, error) {
	return d.verbs.Shutdown(ctx, id, opts, func(deadline time.Time) (xen.Ending, error) { return d.shutdown(ctx, id, deadline) })
}

func (d *Driver) shutdown(ctx context.Context, id uuid.UUID, deadline time.Time) (xen.Ending, error) {
	guest, err := d.appear(ctx, id)
	for err == nil {
		if !verb.Goes(guest) || time.Until(deadline) <= 0 {
			return verb.PutAway(ctx, guest, d.end)
		}
		limit := min(verb.Remaining(deadline), d.opts.Limits.Shutdown)
		asked := d.call(ctx, limit, func(l *rpc.Libvirt) error { return l.DomainShutdownFlags(handle(guest), rpc.DomainShutdownDefault) })
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case errors.Is(asked, fs.ErrNotExist):
			return xen.Clean, nil
		case errors.Is(asked, fs.ErrPermission):
			return "", asked
		case errors.Is(asked, errors.ErrUnsupported):
			return verb.PutAway(ctx, guest, d.end)
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
	err = d.verbs.Until(ctx, func() (bool, error) {
		if now, err = d.lookup(ctx, guest.UUID); err != nil {
			return false, err
		}
		rebooted := now.ID != guest.ID && now.State == xen.Running
		down := now.State == xen.Stopped || now.State == xen.Crashed
		return rebooted || down || time.Until(deadline) <= 0 && now.ID != notRunning, nil
	})
	return now, err
}

// Destroy implements xen.Lifecycle.
//
//	virDomainDestroyFlags
func (d *Driver) Destroy(ctx context.Context, id uuid.UUID) error {
	return d.verbs.Destroy(ctx, id, d.appear, d.end)
}

// end destroys a domain, and what libvirt may have made of a reboot in the same
// moment, and waits until nothing with its UUID runs or is about to.
func (d *Driver) end(ctx context.Context, victim xen.Domain) error {
	limit, cancel := context.WithTimeoutCause(ctx, d.opts.Limits.Destroy, errStays)
	defer cancel()
	err := d.verbs.Until(limit, func() (bool, error) {
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
	err = d.verbs.Until(limit, func() (bool, error) {
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
