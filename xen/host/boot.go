package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// BootReport says what Boot found and did.
type BootReport struct {
	Fenced     []uuid.UUID `json:"fenced,omitempty"`     // handed away: seen to be without a device node
	Started    []uuid.UUID `json:"started,omitempty"`    // were off and should run
	Running    []uuid.UUID `json:"running,omitempty"`    // ran already
	Unfinished []uuid.UUID `json:"unfinished,omitempty"` // in the middle of a move or of provisioning: resume or terminate
	Superseded []uuid.UUID `json:"superseded,omitempty"` // another host has them since a newer epoch: not started, fenced
	Unheard    []string    `json:"unheard,omitempty"`    // peers that did not answer: what they have is not known
}

// Boot makes the host as its files say, after it was powered on and whenever
// an agent starts: first what was handed away is fenced again, and what a peer
// that answers has since a newer epoch (see Peers); then the
// network and the rates are made, then guests that should run are started, one
// after the other, by Guest.Order and name. What fails is reported and the rest
// goes on. So it does without a guest whose definition can not be in force
// beside those before it, because of its addresses or of what the uplink has
// been promised for: it is not started, and if it runs it has no network until
// its definition is mended.
func (h *Host) Boot(ctx context.Context) (BootReport, error) {
	var report BootReport
	records, err := h.owners.List()
	if err != nil {
		return report, err
	}
	var errs []error
	report.Fenced, err = h.Refence(ctx)
	errs = append(errs, err)
	errs = append(errs, h.superseded(ctx, records, &report)...)
	records = slices.DeleteFunc(records, func(r owner.Record) bool { return slices.Contains(report.Superseded, r.UUID) })
	for _, r := range records {
		switch r.State {
		case owner.Building, owner.Prepared, owner.Receiving, owner.Ready, owner.Committed:
			report.Unfinished = append(report.Unfinished, r.UUID)
		}
	}
	owned, err := h.owned(records)
	errs = append(errs, err)
	slices.SortFunc(owned, func(a, b Guest) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
	owned, out, err := h.inForce(ctx, owned)
	errs = append(errs, out)
	if err != nil {
		return report, errors.Join(append(errs, err)...)
	}
	for _, g := range owned {
		if g.Off {
			continue
		}
		d, err := h.domain(ctx, g.UUID)
		switch {
		case err != nil:
		case d != nil:
			report.Running = append(report.Running, g.UUID)
			err = h.limitDisks(ctx, g)
		default:
			if err = h.Start(ctx, g.UUID); err == nil {
				report.Started = append(report.Started, g.UUID)
			}
		}
		errs = append(errs, err)
	}
	return report, errors.Join(errs...)
}

// Refence makes sure that nothing of the guests that were handed away can
// start here: volumes that are not fenced any more, whoever changed them, are
// fenced again. Every agent does it first. It returns the guests that it found
// or left fenced; one that a live operation holds is that operation's to
// fence and is left out. The domains and each volume group are read once.
func (h *Host) Refence(ctx context.Context) ([]uuid.UUID, error) {
	records, err := h.owners.List()
	errs := []error{err}
	domains, err := h.domains.List(ctx)
	if err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	seen := make(map[string][]lvm.Volume)
	var fenced []uuid.UUID
	for _, r := range records {
		if r.State != owner.Fenced && r.State != owner.Released {
			continue
		}
		ok, err := h.isFenced(ctx, r.UUID, seen)
		runs := slices.ContainsFunc(domains, func(d xen.Domain) bool { return d.UUID == r.UUID })
		if runs && r.Live && r.State == owner.Fenced {
			continue // its toolstack let it run on, or keeps it suspended: Resume ends that
		}
		if err == nil && (runs || !ok) {
			err = h.refence(ctx, r)
		}
		switch {
		case err == nil:
			fenced = append(fenced, r.UUID)
		case !errors.Is(err, ErrBusy):
			errs = append(errs, err)
		}
	}
	return fenced, errors.Join(append(errs, h.restReplicas(ctx, records))...)
}

// isFenced looks whether every volume of a guest is fenced. seen keeps what
// was read of the volume groups.
func (h *Host) isFenced(ctx context.Context, id uuid.UUID, seen map[string][]lvm.Volume) (bool, error) {
	g, err := h.definition(id)
	if err != nil {
		return false, err
	}
	for _, group := range groupsOf(g) {
		if _, ok := seen[group]; ok {
			continue
		}
		if seen[group], err = h.volumes.Volumes(ctx, group); err != nil {
			return false, err
		}
	}
	for _, d := range g.Disks {
		all := seen[d.Volume.Group]
		i := slices.IndexFunc(all, func(v lvm.Volume) bool { return v.ID == d.Volume })
		if i < 0 || !fencedNow(all[i], id) {
			return false, nil
		}
	}
	return true, nil
}

func (h *Host) refence(ctx context.Context, r owner.Record) error {
	l, err := h.Hold(r.UUID)
	if err != nil {
		return err
	}
	defer l.Release()
	if r, err = l.Record(); err != nil || r.State != owner.Fenced && r.State != owner.Released {
		return err
	}
	return l.Fence(ctx, r.Epoch)
}

// owned returns the definitions of the guests that this host may run.
func (h *Host) owned(records []owner.Record) ([]Guest, error) {
	var all []Guest
	var errs []error
	for _, r := range records {
		if r.MayRun() != nil {
			continue
		}
		g, err := h.guests.get(r.UUID, own)
		if err != nil {
			errs = append(errs, fmt.Errorf("guest %s: %w", r.UUID, err))
			continue
		}
		all = append(all, g)
	}
	return all, errors.Join(errs...)
}
