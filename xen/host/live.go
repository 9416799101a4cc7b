package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
)

// Migrator returns the driver's role of moving memory, or
// errors.ErrUnsupported.
func (h *Host) Migrator() (xen.Migrator, error) {
	m, ok := h.domains.(xen.Migrator)
	if !ok {
		return nil, fmt.Errorf("%w: the driver of %s can not move memory", errors.ErrUnsupported, h.name)
	}
	return m, nil
}

// Expect makes ready for the memory of a guest that is being received, and
// returns what its domain is to be made of: its ports and forwards are in force
// before its first frame.
func (l *Hold) Expect(ctx context.Context) (xen.Spec, error) {
	g, err := l.h.guests.get(l.id, incoming)
	if err != nil {
		return xen.Spec{}, &Error{Op: "expect", Name: l.id.String(), Err: err}
	}
	volumes, err := l.h.volumesOf(ctx, g)
	paths := make(map[lvm.ID]string, len(volumes))
	for _, v := range volumes {
		paths[v.ID] = v.Path
		if !v.Active {
			err = errors.Join(err, fmt.Errorf("volume %s: %w", v.ID, lvm.ErrInactive))
		}
	}
	if err == nil {
		err = l.h.setNetwork(ctx, g)
	}
	if err != nil {
		return xen.Spec{}, &Error{Op: "expect", Name: g.Name, Err: err}
	}
	return g.Spec(paths), nil
}

// Settle returns when no half of a migration of the guest is at work here.
func (l *Hold) Settle(ctx context.Context) error {
	m, err := l.h.Migrator()
	if err != nil {
		return nil //nolint:nilerr // then there is none
	}
	return m.Settle(ctx, l.id)
}

// Rise lets the guest's domain go on that a migration left paused here. lost
// tells that it can not go on: such a domain, which is suspended and has nobody
// who could resume it, is destroyed, and its memory is lost. There being no
// domain, or a running one, is no error.
func (l *Hold) Rise(ctx context.Context) (lost bool, err error) {
	if lost, err = l.rise(ctx); err != nil {
		err = &Error{Op: "let run", Name: l.name(), Err: err}
	}
	return lost, err
}

func (l *Hold) rise(ctx context.Context) (lost bool, err error) {
	if err := l.Settle(ctx); err != nil {
		return false, err
	}
	d, err := l.Domain(ctx)
	if err != nil || d == nil {
		return false, err
	}
	g, err := l.Definition()
	if err != nil {
		return false, err
	}
	switch d.State {
	case xen.Running, xen.Paused:
		m, err := l.h.Migrator()
		if err != nil || d.State == xen.Running && d.Name == g.Name {
			return false, err
		}
		return false, m.Wake(ctx, l.id, g.Name)
	case xen.Suspended:
		return true, l.DropDomain(ctx)
	}
	return false, nil // it shut down by itself: Supervise, or Start, knows what follows
}

// DropDomain destroys the guest's domain, whatever state it is in, on a host
// that may not run it. There being none is no error.
func (l *Hold) DropDomain(ctx context.Context) error {
	if err := l.Settle(ctx); err != nil {
		return err
	}
	err := l.h.domains.Destroy(ctx, l.id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		l.h.log.Info("domain of a migration destroyed", "guest", l.id)
	}
	return err
}

// NextSnapshot makes another snapshot of a disk beside the one that is there,
// under the name that is free.
func (l *Hold) NextSnapshot(ctx context.Context, d Disk, old lvm.Volume) (lvm.Volume, error) {
	name := d.SnapshotName()
	if old.Name == name {
		name = d.NextSnapshotName()
	}
	v, err := l.h.volumes.Snapshot(ctx, d.Volume, name, &lvm.SnapshotOptions{Tags: []string{guestTag(l.id), stateMove}})
	if err != nil {
		return v, &Error{Op: "snapshot", Name: l.name(), Err: err}
	}
	return v, nil
}
