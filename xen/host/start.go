package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
)

// Start starts a guest, if this host owns it. A guest that runs is left as it
// is.
//
// The owner record, the volumes' tags and their presence are looked at first:
// ErrNotOwner tells who has it. Its ports, forwards and upload rates are in force
// before the domain sends its first frame, its download rates as soon as its
// vifs are there.
func (h *Host) Start(ctx context.Context, id uuid.UUID) error {
	l, err := h.Hold(id)
	if err != nil {
		return err
	}
	defer l.Release()
	if _, err = l.Start(ctx); err != nil {
		return err
	}
	return l.setOff(false)
}

// Stop asks a guest to power off, pulls the plug after the configured grace,
// and leaves it off: Boot does not start it. A guest that does not run is
// left off too.
func (h *Host) Stop(ctx context.Context, id uuid.UUID) (xen.Ending, error) {
	l, err := h.Hold(id)
	if err != nil {
		return "", err
	}
	defer l.Release()
	r, err := l.Record()
	if err == nil {
		err = r.MayRun()
	}
	if err != nil {
		return "", &Error{Op: "stop", Name: id.String(), Err: err}
	}
	if err := l.setOff(true); err != nil {
		return "", err
	}
	return l.Stop(ctx)
}

// Start is Host.Start for the holder of a guest; it does not change whether
// Boot starts it.
func (l *Hold) Start(ctx context.Context) (xen.Domain, error) {
	d, err := l.start(ctx)
	if err != nil {
		return xen.Domain{}, &Error{Op: "start", Name: l.name(), Err: err}
	}
	return d, nil
}

func (l *Hold) start(ctx context.Context) (xen.Domain, error) {
	r, err := l.Record()
	if err != nil {
		return xen.Domain{}, err
	}
	if r.State == "" {
		return xen.Domain{}, fs.ErrNotExist
	}
	if err := r.MayRun(); err != nil {
		return xen.Domain{}, err
	}
	if d, err := l.Domain(ctx); err != nil || d != nil {
		if d == nil {
			return xen.Domain{}, err
		}
		return *d, err
	}
	g, err := l.h.guests.get(l.id, own)
	if err != nil {
		return xen.Domain{}, err
	}
	if g.Suspended != nil {
		return xen.Domain{}, fmt.Errorf("%w since %s: %q", ErrSuspended, g.Suspended.Since.Format(time.RFC3339), g.Suspended.Why)
	}
	paths, err := l.h.activate(ctx, g)
	if err == nil {
		err = l.h.sharedThere(g)
	}
	if err != nil {
		return xen.Domain{}, err
	}
	if err := l.h.setNetwork(ctx, g); err != nil {
		return xen.Domain{}, err
	}
	if err := l.h.shape(ctx, g); err != nil {
		return xen.Domain{}, err
	}
	if err := l.h.limitDisks(ctx, g); err != nil { // a guest that is too fast is better than one that is down
		l.h.log.Warn("disk limits", "guest", g.Name, "uuid", g.UUID, "error", err)
	}
	d, err := l.h.domains.Create(ctx, g.Spec(paths), nil)
	if err != nil {
		return d, err
	}
	l.h.log.Info("started", "guest", g.Name, "uuid", g.UUID, "domain", d.ID)
	return d, l.h.shape(ctx, g) // its vifs are there now
}

// activate makes the device nodes of a guest's volumes, unless one of them is
// in a state in which nothing may run from it.
func (h *Host) activate(ctx context.Context, g Guest) (map[lvm.ID]string, error) {
	volumes, err := h.volumesOf(ctx, g)
	if err != nil {
		return nil, err
	}
	paths := make(map[lvm.ID]string, len(volumes))
	for _, v := range volumes {
		switch s := state(v); s {
		case "":
		case stateBuilding:
			return nil, fmt.Errorf("%w: volume %s was never finished; reinstall it", ErrInvalid, v.ID)
		case statePromoting, stateRollback:
			return nil, fmt.Errorf("%w: volume %s carries %s; promote the clone again, or roll back again", ErrNotOwner, v.ID, s)
		default:
			return nil, fmt.Errorf("%w: volume %s carries %s; resume the move", ErrNotOwner, v.ID, s)
		}
		if !v.Active {
			if err := h.turnOn(ctx, v); err != nil {
				return nil, err
			}
		}
		paths[v.ID] = v.Path
	}
	return paths, nil
}

// Stop is Host.Stop for the holder of a guest; it does not change whether Boot
// starts it. When it returns nil, the domain is gone.
func (l *Hold) Stop(ctx context.Context) (xen.Ending, error) {
	how, err := l.h.domains.Shutdown(ctx, l.id, &xen.ShutdownOptions{Grace: l.h.grace})
	if errors.Is(err, fs.ErrNotExist) {
		return xen.Clean, nil
	}
	if err != nil {
		return "", &Error{Op: "stop", Name: l.name(), Err: err}
	}
	l.h.log.Info("stopped", "guest", l.id, "how", how)
	return how, nil
}

// setOff writes whether Boot starts the guest.
func (l *Hold) setOff(off bool) error {
	g, err := l.h.guests.get(l.id, own)
	if err != nil || g.Off == off {
		return err
	}
	g.Off = off
	return l.h.guests.put(g, own)
}
