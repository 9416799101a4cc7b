package host

import (
	"context"
	"errors"
	"slices"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/shaping"
)

// inForce makes the host's network and rates as Config and the guests say, the
// guard first. out says which guests can not be part of that, and why; fit are
// the others.
func (h *Host) inForce(ctx context.Context, guests []Guest) (fit []Guest, out, err error) {
	fit, unsound := h.sound(guests)
	fit, refused, err := h.applyGuard(ctx, fit)
	if err == nil {
		err = errors.Join(h.applyNetwork(ctx, fit), h.applyRates(ctx, fit))
	}
	return fit, errors.Join(unsound, refused), err
}

// sound returns the guests of which one network, one guard and one set of rates
// can be made, and why not of the others. They are looked at in the order given:
// of two that want one address, and when the uplink is promised away, the later
// one is left out.
func (h *Host) sound(guests []Guest) (fit []Guest, err error) {
	if h.agree(guests) == nil {
		return guests, nil
	}
	var errs []error
	for _, g := range guests {
		if err := h.agree(append(slices.Clip(fit), g)); err != nil {
			errs = append(errs, &Error{Op: "boot", Name: g.Name, Err: err})
			continue
		}
		fit = append(fit, g)
	}
	return fit, errors.Join(errs...)
}

// agree validates what the host would be made of for these guests.
func (h *Host) agree(guests []Guest) error {
	errs := []error{h.together(guests)}
	if h.shaping != nil {
		errs = append(errs, h.ratesOf(guests).Normalize().Validate())
	}
	return errors.Join(errs...)
}

func (h *Host) networkOf(guests []Guest) network.State {
	want := h.base
	want.Guests = nil
	for _, g := range guests {
		want.Guests = append(want.Guests, g.Network())
	}
	return want
}

func guardOf(guests []Guest) (want guard.State) {
	for _, g := range guests {
		want.Guests = append(want.Guests, guard.Of(g.Network()))
	}
	return want
}

func (h *Host) ratesOf(guests []Guest) shaping.State {
	want := shaping.State{Uplink: h.uplink}
	for _, g := range guests {
		if share, ok := g.Shaping(); ok {
			want.Guests = append(want.Guests, share)
		}
	}
	return want
}
