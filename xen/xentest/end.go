package xentest

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Shutdown implements xen.Lifecycle. A guest without a Program powers off at
// once; a Program has its context cancelled and is waited for. The grace of a
// guest that is paused or ignores shutdowns is not waited for: the answer is
// known.
func (f *Fake) Shutdown(ctx context.Context, id uuid.UUID, opts *xen.ShutdownOptions) (how xen.Ending, err error) {
	grace := 60 * time.Second
	if opts != nil && opts.Grace != 0 {
		grace = opts.Grace
	}
	err = f.doOn(ctx, "shutdown", id.String(), id, func() (err error) {
		how, err = f.shutdown(ctx, id, grace)
		return err
	})
	if err != nil {
		return "", err
	}
	return how, nil
}

func (f *Fake) shutdown(ctx context.Context, id uuid.UUID, grace time.Duration) (xen.Ending, error) {
	patience := time.NewTimer(max(grace, 0))
	defer patience.Stop()
	for first := true; ; first = false {
		f.mu.Lock()
		d, off := f.find(id), f.off
		if off || d == nil {
			f.mu.Unlock()
			if off {
				return "", ErrOff
			}
			if first {
				return "", fs.ErrNotExist
			}
			return xen.Destroyed, nil
		}
		shut := d.state == xen.Stopped && d.reason == xen.Poweroff
		listens := d.state == xen.Running && !f.deaf[id] && grace > 0
		program := d.guest.started()
		if listens && !program {
			f.remove(d, xen.Poweroff)
			d.guest.kill()
			f.mu.Unlock()
			return xen.Clean, nil
		}
		f.mu.Unlock()
		if !listens {
			f.kill(d)
			if shut {
				return xen.Clean, nil
			}
			return xen.Destroyed, nil
		}

		d.guest.ask()
		select {
		case <-d.gone:
			switch d.ending {
			case xen.Poweroff:
				return xen.Clean, nil
			case xen.Reboot:
				continue // the same guest under another domid: ask that one
			}
			if f.powered() != nil {
				return "", ErrOff
			}
			return xen.Destroyed, nil
		case <-patience.C:
			f.kill(d)
			if d.ending == xen.Poweroff {
				return xen.Clean, nil
			}
			return xen.Destroyed, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// Destroy implements xen.Lifecycle. The guest's Program gets errors from its
// gate and a cancelled context, and is waited for.
func (f *Fake) Destroy(ctx context.Context, id uuid.UUID) error {
	return f.doOn(ctx, "destroy", id.String(), id, func() error {
		f.mu.Lock()
		d := f.find(id)
		f.mu.Unlock()
		if d == nil {
			return fs.ErrNotExist
		}
		f.kill(d)
		f.mu.Lock()
		defer f.mu.Unlock()
		if d.zombie {
			return fmt.Errorf("%w: domid %d is destroyed, and still on the list", xen.ErrDirty, d.id)
		}
		return nil
	})
}

// kill ends d at once and returns when nothing of it runs any more.
func (f *Fake) kill(d *domain) {
	f.mu.Lock()
	if f.domains[d.id] == d {
		d.setState(xen.Dying)
	}
	f.mu.Unlock()
	d.guest.kill()
	d.guest.wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove(d, "")
}

// PowerOff pulls the host's plug: every guest is gone at once, and every verb
// answers ErrOff. What the guests had written stays in their disks.
func (f *Fake) PowerOff() {
	f.power.Lock()
	defer f.power.Unlock()
	f.mu.Lock()
	f.off = true
	clear(f.linger)
	var all []*domain
	for _, d := range f.domains {
		all = append(all, d)
		d.setState(xen.Dying) // all of them before any is waited for
		d.guest.kill()
	}
	f.mu.Unlock()
	for _, d := range all {
		f.kill(d)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range all {
		if f.domains[d.id] == d {
			delete(f.domains, d.id) // a zombie
		}
	}
}

// KeepZombie has the domain with this UUID, once it ends, stay on the list as a
// zombie: without a name, dying, its memory not free, as when another domain
// still maps a page of it. Destroy then says xen.ErrDirty.
func (f *Fake) KeepZombie(id uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linger[id] = true
}

// ReapZombies frees the zombies.
func (f *Fake) ReapZombies() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.linger)
	for id, d := range f.domains {
		if d.zombie {
			delete(f.domains, id)
		}
	}
}

// PowerOn boots the host again: no guests, domids count from 1.
func (f *Fake) PowerOn() {
	f.power.Lock() // not before all is off
	defer f.power.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		f.off = false
		f.lastID = 0
	}
}
