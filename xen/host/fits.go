package host

import (
	"context"
	"errors"
	"slices"
)

// Fits says why g could not be a guest of this host beside those that are, or
// nil: a MAC, address, network or port that another one has
// (network.ErrConflict), rates that the uplink can not promise
// (shaping.ErrOvercommitted), or a shared disk that is not there, has another
// size, is another guest's or not for guests (ErrForeign). It changes nothing.
func (h *Host) Fits(ctx context.Context, g Guest) error {
	records, err := h.owners.List()
	if err != nil {
		return err
	}
	others, _ := h.owned(records) // one that can not be read has nothing in force
	others = slices.DeleteFunc(others, func(o Guest) bool { return o.UUID == g.UUID })
	if h.together(others) != nil {
		others, _ = h.sound(others)
	}
	return errors.Join(h.together(append(others, g)), h.checkRates(ctx, g), h.sharedFits(g, others))
}

// together validates the network and the guard of guests.
func (h *Host) together(guests []Guest) error {
	errs := []error{h.networkOf(guests).Validate()}
	if h.guard != nil {
		errs = append(errs, guardOf(guests).Validate())
	}
	return errors.Join(errs...)
}
