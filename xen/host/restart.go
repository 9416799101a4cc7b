package host

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// What becomes of a domain that has shut down, in the words of xl.cfg's
// on_reboot and on_crash.
const (
	destroy  = "destroy"
	restart  = "restart"
	preserve = "preserve"
)

// after is what a guest's definition says for a reason to shut down.
func (g Guest) after(why xen.Reason) string {
	choice := destroy
	switch why {
	case xen.Reboot:
		choice = restart
		if g.OnReboot != "" {
			choice = g.OnReboot
		}
	case xen.Crash, xen.Watchdog:
		if g.OnCrash != "" {
			choice = g.OnCrash
		}
	}
	return choice
}

// act does what the definition says, unless everything is different by now. It
// reports whether the guest is dealt with.
func (s *supervisor) act(ctx context.Context, id uuid.UUID, why xen.Reason) (done bool, err error) {
	l, err := s.h.Hold(id)
	if err != nil {
		return false, err
	}
	defer l.Release()
	r, err := l.Record()
	if err != nil || r.MayRun() != nil {
		return false, err
	}
	g, err := s.h.guests.get(id, own)
	if err != nil {
		return false, err
	}
	d, err := l.Domain(ctx)
	if err != nil {
		return false, err
	}
	choice := g.after(why)
	if g.Off || choice == preserve || d != nil && (!isDown(*d) || d.Reason != why) {
		return false, nil
	}
	if d != nil {
		if err := s.h.domains.Destroy(ctx, id); err != nil {
			return false, &Error{Op: "put away", Name: g.Name, Err: err}
		}
		s.h.log.Info("put away", "guest", g.Name, "uuid", id, "domain", d.ID, "reason", why)
	}
	if choice == restart {
		if _, err := l.Start(ctx); err != nil {
			return false, err
		}
		if why != xen.Reboot {
			s.restarts[id] = append(s.restarts[id], time.Now())
		}
	}
	return true, nil
}

// crashMemory is how long a restart after a crash makes the next one slower.
const crashMemory = 10 * time.Minute
