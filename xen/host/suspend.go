package host

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Suspension says that a guest must not run, and why.
type Suspension struct {
	Why   string    `json:"why"` // for people: "not paid"
	Since time.Time `json:"since"`
	Off   bool      `json:"off,omitempty"` // it was off before
}

// Suspend powers a guest off as Stop does and keeps it off: every start is
// ErrSuspended until Unsuspend, also after a reboot of the host and after a move.
// Nothing of the guest is lost but what it had in memory. Of one that is suspended
// the first reason stays; it is made sure then that it does not run.
func (h *Host) Suspend(ctx context.Context, id uuid.UUID, why string) (xen.Ending, error) {
	l, err := h.Hold(id)
	if err != nil {
		return "", err
	}
	defer l.Release()
	g, err := l.ours()
	if err == nil && g.Suspended == nil {
		g.Suspended = &Suspension{Why: why, Since: time.Now().UTC().Truncate(time.Second), Off: g.Off}
		g.Off = true // for every reader of definitions that knows no suspensions
		if err = g.Validate(); err == nil {
			err = h.guests.put(g, own)
		}
	}
	if err != nil {
		return "", &Error{Op: "suspend", Name: l.name(), Err: err}
	}
	h.log.Info("suspended", "guest", g.Name, "uuid", id, "why", g.Suspended.Why)
	return l.Stop(ctx)
}

// Unsuspend lets a guest run again, and starts it if it was on when it was
// suspended. A guest that is not suspended is started unless it is off.
func (h *Host) Unsuspend(ctx context.Context, id uuid.UUID) error {
	l, err := h.Hold(id)
	if err != nil {
		return err
	}
	defer l.Release()
	g, err := l.ours()
	if err == nil && g.Suspended != nil {
		g.Off, g.Suspended = g.Suspended.Off, nil
		err = h.guests.put(g, own)
	}
	if err != nil {
		return &Error{Op: "unsuspend", Name: l.name(), Err: err}
	}
	h.log.Info("unsuspended", "guest", g.Name, "uuid", id)
	if g.Off {
		return nil
	}
	_, err = l.Start(ctx)
	return err
}
