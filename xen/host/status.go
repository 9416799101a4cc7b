package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Status is a guest as one host sees it now.
type Status struct {
	Guest   Guest        `json:"guest"`
	Owner   owner.Record `json:"owner"`
	Domain  *xen.Domain  `json:"domain,omitempty"` // nil: it does not run here
	Volumes []lvm.Volume `json:"volumes,omitempty"`
}

// Guests returns all guests that this host has a record of, also those that it
// handed away and those that arrive, ordered by UUID. Volumes are left out.
func (h *Host) Guests(ctx context.Context) ([]Status, error) {
	records, err := h.owners.List()
	if err != nil {
		return nil, err
	}
	domains, err := h.domains.List(ctx)
	if err != nil {
		return nil, err
	}
	runs := make(map[uuid.UUID]*xen.Domain, len(domains))
	for _, d := range domains {
		runs[d.UUID] = &d
	}
	var all []Status
	for _, r := range records {
		g, err := h.definition(r.UUID)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		all = append(all, Status{Guest: g, Owner: r, Domain: runs[r.UUID]})
	}
	return all, nil
}

// Guest returns one guest with its volumes, or fs.ErrNotExist. It looks and
// does not hold the guest, so it answers also while an operation runs.
func (h *Host) Guest(ctx context.Context, id uuid.UUID) (Status, error) {
	s, err := h.status(ctx, id)
	if err != nil {
		return Status{}, &Error{Op: "look at", Name: id.String(), Err: err}
	}
	return s, nil
}

func (h *Host) status(ctx context.Context, id uuid.UUID) (Status, error) {
	var s Status
	var err error
	if s.Owner, err = h.owners.Get(id); err != nil {
		return s, err
	}
	if s.Guest, err = h.definition(id); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return s, nil // a record alone: what an aborted move leaves
		}
		return s, err
	}
	if s.Domain, err = h.domain(ctx, id); err != nil {
		return s, err
	}
	for _, d := range s.Guest.Disks {
		v, err := h.volumes.Volume(ctx, d.Volume)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		s.Volumes = append(s.Volumes, v)
	}
	return s, nil
}

// Find returns the guest with this UUID or name, of those that this host owns
// before those that it handed away.
func (h *Host) Find(ctx context.Context, nameOrUUID string) (Guest, error) {
	records, err := h.owners.List()
	if err != nil {
		return Guest{}, err
	}
	var away []Guest
	for _, r := range records {
		g, err := h.definition(r.UUID)
		if err != nil || (g.Name != nameOrUUID && r.UUID.String() != nameOrUUID) {
			continue
		}
		if r.MayRun() == nil {
			return g, nil
		}
		away = append(away, g)
	}
	switch len(away) {
	case 0:
		return Guest{}, &Error{Op: "find", Name: nameOrUUID, Err: fs.ErrNotExist}
	case 1:
		return away[0], nil
	}
	return Guest{}, &Error{Op: "find", Name: nameOrUUID,
		Err: fmt.Errorf("%w: %d guests of that name were handed away; give the UUID", ErrInvalid, len(away))}
}

// Owner returns a guest's owner record, or fs.ErrNotExist. It looks and does not
// hold the guest.
func (h *Host) Owner(id uuid.UUID) (owner.Record, error) { return h.owners.Get(id) }
