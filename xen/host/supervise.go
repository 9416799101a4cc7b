package host

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/events"
)

// SuperviseOptions of Supervise; nil is right for most hosts.
type SuperviseOptions struct {
	// Patience is how long a domain has been shut down before Supervise acts;
	// 0 is 30 s. Where xl's own process still watches the domain, it acts at
	// once, but can need 10 s a device.
	Patience time.Duration
	// Interval is how often to look although the bell is silent; 0 is a
	// minute.
	Interval time.Duration
}

// Supervise acts for the toolstack when a guest has rebooted, crashed or
// powered off and nobody else does: xl's own process for that ends, before Xen
// 4.20, with the first suspend of the domain (each hot backup, each move that
// was rolled back), and it can be killed. It runs until ctx ends, and returns
// ctx's error. One Supervise a host is enough; a second one does no harm.
//
// It does what the guest's definition says: Guest.OnReboot and OnCrash, and a
// guest that powered itself off is put away and not started. A guest that
// crashes again and again is restarted with growing pauses, up to 16 times
// Patience. It touches only guests that this host may run by their owner record
// and that Stop has not left off. One that another operation holds is looked at
// again later. What fails is logged and tried again after Patience.
//
// A guest that went down for a restart and whose domain was then destroyed is
// started too: it can not be told from a toolstack that died half-way. Stop, or
// Terminate, is what ends a guest.
func (h *Host) Supervise(ctx context.Context, bell events.Bell, opts *SuperviseOptions) error {
	s := newSupervisor(h, opts)
	for ctx.Err() == nil {
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			h.log.Warn("supervise", "error", err)
		}
		s.wait(ctx, bell)
	}
	return ctx.Err()
}

// supervisor remembers since when it sees what; nothing of it needs to survive.
type supervisor struct {
	h                  *Host
	patience, interval time.Duration
	down               map[uuid.UUID]fallen
	restarts           map[uuid.UUID][]time.Time // after crashes
}

func newSupervisor(h *Host, opts *SuperviseOptions) *supervisor {
	s := &supervisor{
		h: h, patience: 30 * time.Second, interval: time.Minute,
		down: make(map[uuid.UUID]fallen), restarts: make(map[uuid.UUID][]time.Time),
	}
	if opts != nil && opts.Patience > 0 {
		s.patience = opts.Patience
	}
	if opts != nil && opts.Interval > 0 {
		s.interval = opts.Interval
	}
	return s
}

// fallen is a guest whose domain has shut down.
type fallen struct {
	domid  int // 0: it is not on the list any more
	reason xen.Reason
	since  time.Time
}

// wait returns when the bell rings, a guest is due, or Interval has passed.
func (s *supervisor) wait(ctx context.Context, bell events.Bell) {
	due := s.interval
	for id, f := range s.down {
		due = min(due, time.Until(s.due(id, f)))
	}
	ctx, cancel := context.WithTimeout(ctx, max(due, time.Millisecond))
	defer cancel()
	_ = bell.Wait(ctx) // whatever it says, the next thing is to look
}

// due is when it is time to act.
func (s *supervisor) due(id uuid.UUID, f fallen) time.Time {
	crashes := 0
	for _, at := range s.restarts[id] {
		if time.Since(at) < crashMemory {
			crashes++
		}
	}
	return f.since.Add(s.patience << min(crashes, 4))
}

// look compares the guests that should run with the domains that are there.
func (s *supervisor) look(ctx context.Context) error {
	domains, err := s.h.domains.List(ctx)
	if err != nil {
		return err
	}
	records, err := s.h.owners.List()
	if err != nil {
		return err
	}
	guests, err := s.h.owned(records)
	errs := []error{err}
	should := make(map[uuid.UUID]bool, len(guests))
	for _, g := range guests {
		if g.Off {
			continue
		}
		should[g.UUID] = true
		if f, ok := s.see(g.UUID, domains); ok && !time.Now().Before(s.due(g.UUID, f)) {
			done, err := s.act(ctx, g.UUID, f.reason)
			if err != nil && !errors.Is(err, ErrBusy) {
				errs = append(errs, err)
			}
			if done {
				delete(s.down, g.UUID)
			} else {
				f.since = time.Now()
				s.down[g.UUID] = f
			}
		}
	}
	maps.DeleteFunc(s.down, func(id uuid.UUID, _ fallen) bool { return !should[id] })
	maps.DeleteFunc(s.restarts, func(id uuid.UUID, _ []time.Time) bool { return !should[id] })
	return errors.Join(errs...)
}

// see keeps note of a guest's domain and returns what is known of its fall.
func (s *supervisor) see(id uuid.UUID, domains []xen.Domain) (fallen, bool) {
	f, known := s.down[id]
	var now *xen.Domain
	for _, d := range domains {
		if d.UUID == id && (now == nil || isDown(*now)) {
			now = &d
		}
	}
	switch {
	case now == nil && !known:
		return f, false // it was off, or was destroyed: nobody wants it back
	case now == nil && f.domid != 0:
		f = fallen{reason: f.reason, since: time.Now()} // its toolstack may be about to start it again
	case now == nil:
	case now.State == xen.Dying && known:
	case !isDown(*now):
		delete(s.down, id)
		return f, false
	case !known || f.domid != now.ID:
		f = fallen{domid: now.ID, reason: now.Reason, since: time.Now()}
	}
	s.down[id] = f
	return f, true
}

// isDown tells that a domain has shut down by itself. A suspended one has not:
// it is being saved or moved.
func isDown(d xen.Domain) bool { return d.State == xen.Stopped || d.State == xen.Crashed }
