package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/shaping/diskrate"
)

// LimitDisk changes how fast a guest may read and write its disk dev (xvda), in
// force at once, and writes it down; the zero Limit takes it off. It goes with
// the guest in a move. A guest that is off has it when it starts.
//
// errors.ErrUnsupported: this host can not hold a guest to it, and the error says
// what is missing; nothing changed. A guest that brings a limit to such a host
// runs without.
func (h *Host) LimitDisk(ctx context.Context, id uuid.UUID, dev string, limit diskrate.Limit) error {
	l, err := h.Hold(id)
	if err != nil {
		return err
	}
	defer l.Release()
	if err := l.limitDisk(ctx, dev, limit); err != nil {
		return &Error{Op: "limit disk " + dev + " of", Name: l.name(), Err: err}
	}
	return nil
}

func (l *Hold) limitDisk(ctx context.Context, dev string, limit diskrate.Limit) error {
	if l.h.disks == nil {
		return fmt.Errorf("this host limits no disks: %w", errors.ErrUnsupported)
	}
	r, err := l.Record()
	if err == nil {
		err = r.MayRun()
	}
	if err != nil {
		return err
	}
	g, err := l.h.guests.get(l.id, own)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(g.Disks, func(d Disk) bool { return d.Dev == dev })
	if i < 0 {
		return fs.ErrNotExist
	}
	g.Disks[i].Limit = limit
	if err := g.Validate(); err != nil {
		return err
	}
	err = l.h.disks.Set(ctx, g.Devices()[g.Disks[i].Volume], limit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // the volume has no device while the guest is off
		return err
	}
	return l.h.guests.put(g, own)
}

// limitDisks puts the limits of a guest's disks in force. Their devices are
// there.
func (h *Host) limitDisks(ctx context.Context, g Guest) error {
	if h.disks == nil {
		return nil
	}
	var errs []error
	paths := g.Devices()
	for _, d := range g.Disks {
		errs = append(errs, h.disks.Set(ctx, paths[d.Volume], d.Limit))
	}
	return errors.Join(errs...)
}
