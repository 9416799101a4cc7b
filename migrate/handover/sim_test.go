package handover_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// sim is two hosts as small as they can be: a record, a disk that is a number of
// writes, a domain, and a toolstack that acts by itself. The verbs of Pair and
// Decide are the real ones; what they call is an effect, before, in or after
// which the mover can die.
type sim struct {
	hosts  [2]*simHost
	acked  int // writes that the guest was told are on the disk
	mutant string
	broken []string // what must never be

	effects int
	at      int    // of which effect something happens; -1: none
	how     string // before, after: the mover dies; lost: it hears nothing of it
	why     plight
}

// plight is what else happens when the mover dies.
type plight struct {
	copyDies, xlDies bool
	reboot           [2]bool
	off              [2]bool // it stays without power
}

type simHost struct {
	name    string
	rec     owner.Record
	durable owner.Record // what a reboot finds
	disk    int          // writes on it
	volume  bool
	fenced  bool
	domain  xen.State // "" is none
	title   string
	half    bool // one of the two xl is at work
	off     bool
}

var (
	errLost  = errors.New("the reply was lost")
	errDead  = errors.New("the mover is dead")
	simGuest = host.Guest{UUID: id, Name: "web1", Type: xen.PVH, Memory: 1 << 20, VCPUs: 1}
)

func newSim() *sim {
	rec := owner.Record{UUID: id, State: owner.Running, Epoch: 1}
	return &sim{at: -1, hosts: [2]*simHost{
		{name: "curacao", rec: rec, durable: rec, volume: true, domain: xen.Running, title: "web1"},
		{name: "islay"},
	}}
}

// tick lets time pass: who runs, writes.
func (w *sim) tick() {
	running := 0
	for _, h := range w.hosts {
		if h.domain != xen.Running {
			continue
		}
		running++
		if h.disk < w.acked {
			w.breaks("%s runs from a disk of %d writes, %d were acknowledged", h.name, h.disk, w.acked)
		}
		h.disk++
		w.acked = max(w.acked, h.disk)
	}
	if running > 1 {
		w.breaks("both run")
	}
}

func (w *sim) breaks(format string, a ...any) { w.broken = append(w.broken, fmt.Sprintf(format, a...)) }

// effect does one thing, unless the mover dies of it. After an effect all sides
// answer nothing to a dead mover.
func (w *sim) effect(do func() error) error {
	n := w.effects
	w.effects++
	w.tick()
	if n == w.at && w.how == "before" {
		return w.dies()
	}
	err := do()
	w.tick()
	switch {
	case n == w.at && w.how == "after":
		return w.dies()
	case n == w.at && w.how == "lost" && err == nil:
		return errLost
	}
	return err
}

// dies ends the mover: its pipes close, and what follows from that happens.
func (w *sim) dies() error {
	w.hangUp()
	for i, h := range w.hosts {
		if w.why.reboot[i] {
			w.boot(h)
		}
		if w.why.off[i] {
			h.domain, h.half, h.rec, h.off = "", false, h.durable, true
		}
	}
	w.at = -2 // whatever the code does now, it is dead
	panic(errDead)
}

// hangUp is the end of the pipes of both xl.
func (w *sim) hangUp() {
	s, t := w.hosts[0], w.hosts[1]
	if s.half && !w.why.xlDies && s.title == "web1" && s.domain == xen.Suspended {
		s.domain = xen.Running // xl resumes what it has not given away
	}
	if t.half && w.why.copyDies && t.domain == xen.Paused {
		t.domain = ""
	}
	s.half, t.half = false, false
	w.tick()
}

// boot is a power failure and what the host does by itself then.
func (w *sim) boot(h *simHost) {
	h.domain, h.half, h.rec, h.off = "", false, h.durable, false
	switch h.rec.State {
	case owner.Fenced, owner.Released:
		h.fenced = true
	}
	if h.rec.MayRun() == nil && h.volume && !h.fenced {
		h.domain, h.title = xen.Running, "web1"
	}
	w.tick()
}

// simSide is a host as the mover reaches it.
type simSide struct {
	handover.Side // what is not simulated is not called
	w             *sim
	h             *simHost
}

func (w *sim) side(i int) handover.Side { return &simSide{w: w, h: w.hosts[i]} }

func (s *simSide) Host() string { return s.h.name }

func (s *simSide) Observe(context.Context) (handover.Seen, error) {
	seen := handover.Seen{Host: s.h.name, Record: s.h.rec}
	if s.h.volume {
		seen.Guest = &simGuest
	}
	if s.h.domain != "" {
		seen.Domain = &xen.Domain{UUID: id, Name: s.h.title, State: s.h.domain}
	}
	return seen, nil
}

func (s *simSide) Put(_ context.Context, r owner.Record) error {
	return s.w.effect(func() error {
		if err := s.h.rec.Check(r); err != nil {
			return err
		}
		if s.w.mutant == "no fence" && r.State == owner.Fenced {
			return nil
		}
		s.h.rec = r
		if s.w.mutant != "no fsync of "+string(r.State) {
			s.h.durable = r
		}
		return nil
	})
}

func (s *simSide) Start(context.Context) error {
	return s.w.effect(func() error {
		if err := s.h.rec.MayRun(); err != nil {
			return err
		}
		if s.h.domain == "" {
			s.h.domain, s.h.title = xen.Running, "web1"
		}
		return nil
	})
}

func (s *simSide) Stop(context.Context) (xen.Ending, error) {
	return xen.Clean, s.w.effect(func() error { s.h.domain = ""; return nil })
}

func (s *simSide) Rise(context.Context) (lost bool, err error) {
	return lost, s.w.effect(func() error {
		switch s.h.domain {
		case xen.Paused:
			s.h.domain, s.h.title = xen.Running, "web1"
		case xen.Suspended:
			s.h.domain, lost = "", true
		}
		return nil
	})
}

func (s *simSide) Bury(context.Context) error {
	return s.w.effect(func() error { s.h.domain = ""; return nil })
}

func (s *simSide) Fence(context.Context, uint64) error {
	return s.w.effect(func() error {
		if s.h.domain != "" {
			return errors.New("its domain is there")
		}
		s.h.fenced = true
		return nil
	})
}

func (s *simSide) Unfence(context.Context) error {
	return s.w.effect(func() error { s.h.fenced = false; return nil })
}

func (s *simSide) PutAside(context.Context) error {
	return s.w.effect(func() error { return nil })
}

func (s *simSide) Receive(context.Context, host.Guest, uint64) (map[string]bool, error) {
	return nil, s.w.effect(func() error { s.h.volume, s.h.fenced, s.h.disk = true, true, 0; return nil })
}

func (s *simSide) Discard(context.Context) error {
	return s.w.effect(func() error {
		s.h.domain, s.h.volume, s.h.fenced = "", false, false
		return nil
	})
}

func (s *simSide) Adopt(context.Context) error {
	return s.w.effect(func() error { s.h.fenced = false; return nil })
}

// settled says what is wrong in the end.
func (w *sim) settled() error {
	owners := 0
	for _, h := range w.hosts {
		switch h.rec.State {
		case owner.Running:
			owners++
			if h.domain != xen.Running || h.title != "web1" || h.fenced {
				return fmt.Errorf("%s owns it, and it is %q, called %q, fenced %t", h.name, h.domain, h.title, h.fenced)
			}
		case "", owner.Released, owner.Aborted:
			if h.domain != "" || h.volume && !h.fenced {
				return fmt.Errorf("%s does not own it, and has %q, fenced %t", h.name, h.domain, h.fenced)
			}
		default:
			return fmt.Errorf("%s is %s", h.name, h.rec.State)
		}
	}
	if owners != 1 {
		return fmt.Errorf("%d owners", owners)
	}
	return nil
}
