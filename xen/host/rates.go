package host

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/diskrate"
)

// Shaping returns the guest's share of the host's rates; ok is false if it has
// no network interface that could have one.
func (g Guest) Shaping() (share shaping.Guest, ok bool) {
	share = shaping.Guest{UUID: g.UUID, Policy: g.Rates, Throttle: g.Throttle}
	for i := range g.Nics {
		share.Vifs = append(share.Vifs, network.VifName(g.UUID, i))
	}
	return share, len(share.Vifs) > 0
}

// Shaping returns the rates that the host was composed with, or nil.
func (h *Host) Shaping() shaping.Manager { return h.shaping }

// SetRates changes how fast a guest may be, in force at once and without a
// break in its connections, and writes it down. A guest that is off has the
// new rates when it starts. A throttle stays on.
//
// shaping.ErrOvercommitted: the uplink can not promise so much; fs.ErrNotExist:
// uploads, and no uplink; errors.ErrUnsupported: the host has no Shaping. Nothing
// changed then.
func (h *Host) SetRates(ctx context.Context, id uuid.UUID, rates shaping.Policy) error {
	return h.reshape(ctx, "set rates of", id, func(g *Guest) { g.Rates = rates })
}

// Throttle holds a guest below its rates until a time, or takes that off if it
// is the zero Throttle. It is written down: it outlasts reboots of guest and
// host, and goes with the guest in a move. Something must run to end it in time:
// see KeepRates; without it the next start of the guest does.
func (h *Host) Throttle(ctx context.Context, id uuid.UUID, t shaping.Throttle) error {
	return h.reshape(ctx, "throttle", id, func(g *Guest) { g.Throttle = t })
}

// KeepRates puts limits back on vifs and disks that come again when a guest
// reboots, and takes throttles off at their time, until ctx ends; that is its
// error then. One a host is enough. What the host was composed without, or with
// managers that are no shaping.Keeper and diskrate.Keeper, is not kept.
func (h *Host) KeepRates(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var wait sync.WaitGroup
	if k, ok := h.shaping.(shaping.Keeper); ok {
		wait.Go(func() { end(k.Keep(ctx, nil)) })
	}
	if k, ok := h.disks.(diskrate.Keeper); ok {
		wait.Go(func() { end(k.Keep(ctx, nil)) })
	}
	<-ctx.Done()
	wait.Wait()
	return context.Cause(ctx)
}

func (h *Host) reshape(ctx context.Context, op string, id uuid.UUID, change func(*Guest)) error {
	l, err := h.Hold(id)
	if err != nil {
		return err
	}
	defer l.Release()
	if err := l.reshape(ctx, change); err != nil {
		return &Error{Op: op, Name: l.name(), Err: err}
	}
	return nil
}

func (l *Hold) reshape(ctx context.Context, change func(*Guest)) error {
	if l.h.shaping == nil {
		return fmt.Errorf("this host has no shaping: %w", errors.ErrUnsupported)
	}
	_, err := l.redefine(change, func(g Guest) error { return l.h.shape(ctx, g) })
	return err
}

// shape puts a guest's rates in force; vifs that are not there yet get theirs
// when it is called again.
func (h *Host) shape(ctx context.Context, g Guest) error {
	share, ok := g.Shaping()
	if h.shaping == nil || !ok {
		return nil
	}
	return h.shaping.Set(ctx, share)
}

// unshape takes a guest's rates off.
func (h *Host) unshape(ctx context.Context, id uuid.UUID) error {
	if h.shaping == nil {
		return nil
	}
	return h.shaping.Remove(ctx, id)
}

// checkRates refuses a guest whose rates this host could not keep, before
// anything of it is here.
func (h *Host) checkRates(ctx context.Context, g Guest) error {
	share, ok := g.Shaping()
	if h.shaping == nil || !ok {
		return nil
	}
	have, err := h.shaping.Read(ctx)
	if err != nil {
		return err
	}
	return have.With(share).Validate()
}

// applyRates makes the host's rates as Config.Uplink and the guests say.
func (h *Host) applyRates(ctx context.Context, guests []Guest) error {
	if h.shaping == nil {
		return nil
	}
	plan, err := h.shaping.Apply(ctx, h.ratesOf(guests))
	if err == nil && !plan.Empty() {
		h.log.Info("rates", "steps", len(plan.Steps))
	}
	return err
}
