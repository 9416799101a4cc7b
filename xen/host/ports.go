package host

import (
	"context"

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
	return h.network.Set(ctx, g.Network())
}

// removeNetwork is the reverse, for a guest whose domain is gone.
func (h *Host) removeNetwork(ctx context.Context, id uuid.UUID) error {
	if err := h.network.Remove(ctx, id); err != nil {
		return err
	}
	if h.guard != nil {
		return h.guard.Remove(ctx, id)
	}
	return nil
}

// applyNetwork makes the host's network as Config.Base and the guests say, the
// guard first.
func (h *Host) applyNetwork(ctx context.Context, guests []Guest) error {
	want := h.base
	want.Guests = nil
	var guarded guard.State
	for _, g := range guests {
		want.Guests = append(want.Guests, g.Network())
		guarded.Guests = append(guarded.Guests, guard.Of(g.Network()))
	}
	if h.guard != nil {
		if err := h.report(h.guard.Apply(ctx, guarded)); err != nil {
			return err
		}
	}
	return h.report(h.network.Apply(ctx, want))
}

func (h *Host) report(plan network.Plan, err error) error {
	if err == nil && !plan.Empty() {
		h.log.Info("network", "steps", len(plan.Steps))
	}
	return err
}
