package migratetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Check looks whether the World is as it must be at every moment, whatever was
// killed: no guest runs twice, none runs from a copy that lacks an
// acknowledged record, at most one host could start it. It tells all that was
// wrong since the World began.
func (w *World) Check(ctx context.Context) error {
	w.mu.Lock()
	errs := slices.Clone(w.noted)
	var guests []uuid.UUID
	for id := range w.lives {
		guests = append(guests, id)
	}
	w.mu.Unlock()
	for _, id := range guests {
		_, err := w.look(ctx, id)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Settled is Check, and that nothing is open for a guest: one host owns it and
// runs it (unless it is Off), and on every other one its volumes are fenced or
// gone and no move is open.
func (w *World) Settled(ctx context.Context, id uuid.UUID) error {
	errs := []error{w.Check(ctx)}
	all, err := w.look(ctx, id)
	errs = append(errs, err)
	owners := 0
	for _, s := range all {
		switch s.Owner.State {
		case owner.Running:
			owners++
			if !s.Guest.Off && (s.Domain == nil || s.Domain.State != xen.Running || s.Domain.Name != s.Guest.Name) {
				errs = append(errs, fmt.Errorf("guest %s does not run on its owner %s: %+v", id, s.host, s.Domain))
			}
			for _, v := range s.Volumes {
				if v.Skip || !v.Active {
					errs = append(errs, fmt.Errorf("guest %s: volume %s of its owner %s is not in use: active %t, skip %t", id, v.ID, s.host, v.Active, v.Skip))
				}
			}
		case "", owner.Released, owner.Aborted, owner.Replica:
			if s.Domain != nil {
				errs = append(errs, fmt.Errorf("guest %s: a domain is left on %s: %+v", id, s.host, *s.Domain))
			}
			for _, v := range s.Volumes {
				if !v.Skip || v.Active {
					errs = append(errs, fmt.Errorf("guest %s: volume %s on %s, which does not own it, is not fenced: active %t, skip %t", id, v.ID, s.host, v.Active, v.Skip))
				}
			}
		default:
			errs = append(errs, fmt.Errorf("guest %s: a move is open on %s: %s", id, s.host, s.Owner.State))
		}
	}
	if owners != 1 {
		errs = append(errs, fmt.Errorf("guest %s has %d owners", id, owners))
	}
	return errors.Join(errs...)
}

// Where returns the host that owns a guest, "" if that is open now.
func (w *World) Where(ctx context.Context, id uuid.UUID) string {
	all, _ := w.look(ctx, id)
	var owners []string
	for _, s := range all {
		if s.Owner.State == owner.Running {
			owners = append(owners, s.host)
		}
	}
	if len(owners) != 1 {
		return ""
	}
	return owners[0]
}

type status struct {
	host.Status
	host string
}

// look reads what all hosts that are on show of a guest, and says what must
// never be.
func (w *World) look(ctx context.Context, id uuid.UUID) (all []status, err error) {
	var errs []error
	running, startable := "", ""
	acked := w.Acked(id)
	for _, m := range w.machines {
		if w.Off(m.Name) {
			continue
		}
		s, err := w.Host(m.Name).Guest(ctx, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, status{s, m.Name})
		if s.Domain != nil && s.Domain.State == xen.Running {
			if running != "" {
				errs = append(errs, fmt.Errorf("guest %s runs on %s and on %s", id, running, m.Name))
			}
			running = m.Name
			path := ""
			switch {
			case len(s.Volumes) > 0:
				path = s.Volumes[0].Path
			case len(s.Guest.Shared) > 0:
				path = s.Guest.Shared[0].Path
			}
			if path != "" {
				last, err := Records(path, id)
				if err != nil || last < acked {
					errs = append(errs, fmt.Errorf("guest %s runs on %s with %d records, %d were acknowledged: %w", id, m.Name, last, acked, err))
				}
			}
		}
		if s.Owner.MayRun() == nil && !slices.ContainsFunc(s.Volumes, fenced) {
			if startable != "" {
				errs = append(errs, fmt.Errorf("guest %s could be started on %s and on %s", id, startable, m.Name))
			}
			startable = m.Name
		}
	}
	return all, errors.Join(errs...)
}

// fenced tells that nothing may run from a volume, whatever a record says.
func fenced(v lvm.Volume) bool { return v.Skip }
