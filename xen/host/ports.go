package host

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
)

// setNetwork puts a guest's share of the network in force: the guard first, so
// that no vif ever carries a frame that it has not seen.
func (h *Host) setNetwork(ctx context.Context, g Guest) error {
	if h.guard != nil {
		if err := h.guard.Set(ctx, guard.Of(g.Network())); err != nil {
			return err
		}
	}
	if err := h.network.Set(ctx, g.Network()); err != nil {
		return err
	}
	return h.setIsland(ctx, g)
}

// removeNetwork is the reverse, for a guest whose domain is gone.
func (h *Host) removeNetwork(ctx context.Context, id uuid.UUID) error {
	if err := h.network.Remove(ctx, id); err != nil {
		return err
	}
	if h.islands != nil {
		if err := h.islands.Remove(ctx, id); err != nil {
			return err
		}
	}
	if h.guard != nil {
		return h.guard.Remove(ctx, id)
	}
	return nil
}

// applyGuard puts all guests' ports in force. A guest that names something of
// dom0's own is seen by the guard alone: out says why it is left out, and fit
// are the others.
func (h *Host) applyGuard(ctx context.Context, guests []Guest) (fit []Guest, out, err error) {
	if h.guard == nil {
		return guests, nil, nil
	}
	refused := func(err error) bool { return errors.Is(err, network.ErrConflict) || errors.Is(err, network.ErrInvalid) }
	plan, err := h.guard.Apply(ctx, guardOf(guests))
	if !refused(err) {
		return guests, nil, h.report(plan, err)
	}
	var outs []error
	for _, g := range guests {
		switch err := h.guard.Set(ctx, guard.Of(g.Network())); {
		case refused(err):
			outs = append(outs, &Error{Op: "boot", Name: g.Name, Err: err})
		case err != nil:
			return nil, errors.Join(outs...), err
		default:
			fit = append(fit, g)
		}
	}
	return fit, errors.Join(outs...), h.report(h.guard.Apply(ctx, guardOf(fit)))
}

// applyNetwork makes the host's network as Config.Base and the guests say.
func (h *Host) applyNetwork(ctx context.Context, guests []Guest) error {
	return h.report(h.network.Apply(ctx, h.networkOf(guests)))
}

func (h *Host) report(plan network.Plan, err error) error {
	if err == nil && !plan.Empty() {
		h.log.Info("network", "steps", len(plan.Steps))
	}
	return err
}
