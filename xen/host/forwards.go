package host

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
)

// SetForwards gives a guest these forwards in place of those that it has, and
// keeps them in its definition, so that they are there again after a start, a
// move or a reboot of the host. It does not matter whether the guest runs.
//
// What the network refuses is not kept: network.ErrConflict if another guest
// has the port, network.ErrReserved if dom0 needs it, network.ErrInvalid.
func (h *Host) SetForwards(ctx context.Context, id uuid.UUID, forwards []network.Forward) (Guest, error) {
	l, err := h.Hold(id)
	if err != nil {
		return Guest{}, err
	}
	defer l.Release()
	g, err := l.setForwards(ctx, forwards)
	if err != nil {
		return Guest{}, &Error{Op: "set forwards", Name: l.name(), Err: err}
	}
	return g, nil
}

func (l *Hold) setForwards(ctx context.Context, forwards []network.Forward) (Guest, error) {
	r, err := l.Record()
	if err == nil && r.State == "" {
		err = fs.ErrNotExist
	}
	if err == nil {
		err = r.MayRun()
	}
	if err != nil {
		return Guest{}, err
	}
	g, err := l.h.guests.get(l.id, own)
	if err != nil {
		return Guest{}, err
	}
	old := g.Network()
	g.Forwards = forwards
	g.Forwards = g.Network().Normalize().Forwards
	if err := l.h.network.Set(ctx, g.Network()); err != nil {
		return Guest{}, err
	}
	if err := l.h.guests.put(g, own); err != nil {
		// What is not kept must not be in force either; this has a moment of
		// its own, also when ctx is over.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return Guest{}, errors.Join(err, l.h.network.Set(ctx, old))
	}
	return g, nil
}
