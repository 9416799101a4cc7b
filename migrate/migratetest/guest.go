package migratetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

// life is what the World knows of a guest: which copy runs and what it has
// acknowledged.
type life struct {
	runs  string // host; "" is none
	acked uint64
	loss  bool                            // the next copy may lack some
	jobs  chan func(*xentest.Guest) error // of Scribble; nobody takes one while no copy runs
}

// program is what runs in every guest of a machine: it opens the disk as a
// domain does, finds its last record and goes on from there.
func (m *Machine) program(ctx context.Context, g *xentest.Guest) {
	w, id := m.world, g.Spec().UUID
	path := g.Disk("xvda")
	if path == "" {
		<-ctx.Done()
		return
	}
	volume, known := m.Volumes.At(path)
	if known {
		if err := m.Volumes.Hold(volume); err != nil {
			w.violation("guest %s on %s: its disk: %v", id, m.Name, err)
			return
		}
		defer func() {
			if err := m.Volumes.Release(volume); err != nil {
				w.violation("guest %s on %s: its disk went away under it: %v", id, m.Name, err)
			}
		}()
	}
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		w.violation("guest %s on %s: its disk: %v", id, m.Name, err)
		return
	}
	defer disk.Close()
	if !w.begins(id, m.Name, path) {
		return
	}
	defer w.ends(id, m.Name)
	l, err := readLedger(path, id)
	if err != nil {
		return // begins has told
	}
	w.mu.Lock()
	jobs := w.lives[id].jobs
	w.mu.Unlock()
	tick := time.NewTicker(w.opts.Every)
	defer tick.Stop()
	next := func() error { return w.append(disk, id, m.Name, &l) }
	for {
		if err := g.Step(ctx, next); err != nil {
			return
		}
		next = func() error { return nil }
		select {
		case <-ctx.Done():
			return
		case job := <-jobs:
			next = func() error { return job(g) }
		case <-tick.C:
			if l.last+1 < l.room { // else the disk is full of records
				next = func() error { return w.append(disk, id, m.Name, &l) }
			}
		}
	}
}

// append writes one record and acknowledges it.
func (w *World) append(disk *os.File, id uuid.UUID, host string, l *ledger) error {
	w.mu.Lock()
	if other := w.lives[id].runs; other != host {
		w.noted = append(w.noted, fmt.Errorf("guest %s writes on %s, and it runs on %q", id, host, other))
	}
	w.mu.Unlock()
	b := record{seq: l.last + 1, before: l.hash, guest: id}.bytes()
	if _, err := disk.WriteAt(b, place(l.last+1, l.room)); err != nil {
		return err
	}
	l.last++
	copy(l.hash[:], b[48:64])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives[id].acked = l.last
	return nil
}

// begins notes that a copy starts, and what is wrong with that.
func (w *World) begins(id uuid.UUID, host, path string) bool {
	l, err := readLedger(path, id)
	given := w.given(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.lives[id]
	if known == nil {
		known = &life{jobs: make(chan func(*xentest.Guest) error)}
		w.lives[id] = known
	}
	switch {
	case known.runs != "" && known.runs != given:
		w.noted = append(w.noted, fmt.Errorf("guest %s starts on %s while it runs on %s", id, host, known.runs))
		return false
	case err != nil:
		w.noted = append(w.noted, fmt.Errorf("guest %s starts on %s: %w", id, host, err))
		return false
	case l.beyond != 0:
		w.noted = append(w.noted, fmt.Errorf("guest %s starts on %s: %w: it has record %d, and %d but not all between", id, host, ErrLedger, l.last, l.beyond))
	case l.last < known.acked && known.loss:
		known.acked = l.last
	case l.last < known.acked:
		w.noted = append(w.noted, fmt.Errorf("guest %s starts on %s from a stale copy: it has %d records, %d were acknowledged", id, host, l.last, known.acked))
	}
	known.runs, known.loss = host, false
	return true
}

// given returns the host on which the guest's domain stands still since it was
// given away: it has no CPU, and is not seen to end before the other copy runs.
// When that host's power goes in this moment, append still tells of a copy that
// writes.
func (w *World) given(id uuid.UUID) string {
	w.mu.Lock()
	on := ""
	if l := w.lives[id]; l != nil {
		on = l.runs
	}
	w.mu.Unlock()
	if on == "" {
		return ""
	}
	d, err := w.Machine(on).Domains.Lookup(context.Background(), id)
	if errors.Is(err, xentest.ErrOff) || err == nil && strings.HasSuffix(d.Name, xen.AwaySuffix) && d.State != xen.Running {
		return on
	}
	return ""
}

func (w *World) ends(id uuid.UUID, host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lives[id].runs == host {
		w.lives[id].runs = ""
	}
}

func (w *World) violation(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted = append(w.noted, fmt.Errorf(format, a...))
}

// Acked returns how many records a guest has acknowledged.
func (w *World) Acked(id uuid.UUID) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.lives[id]; l != nil {
		return l.acked
	}
	return 0
}

// AcceptLoss tells that the next copy of a guest that starts may lack records
// that were acknowledged: an operator has overridden a dead host that may have
// had them. What it lacks is forgotten.
func (w *World) AcceptLoss(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.lives[id]; l != nil {
		l.loss = true
	}
}

// Await returns when the guest has acknowledged more than n records, which
// shows that it lives.
func (w *World) Await(ctx context.Context, id uuid.UUID, n uint64) error {
	tick := time.NewTicker(w.opts.Every)
	defer tick.Stop()
	for w.Acked(id) <= n {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), fmt.Errorf("guest %s: %d records, waiting for more than %d", id, w.Acked(id), n))
		case <-tick.C:
		}
	}
	return nil
}
