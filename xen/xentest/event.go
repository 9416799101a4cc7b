package xentest

import (
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// IgnoreShutdown makes the guest with this UUID deaf, now and in later starts:
// to Shutdown and to all else that it is asked for, which is to reboot, to
// suspend for a Save, to give back memory or vCPUs, to let go of a disk.
func (f *Fake) IgnoreShutdown(id uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deaf[id] = true
}

// GuestPoweroff is the guest's own poweroff: its Program's context ends, and
// when the Program has returned the domain is gone.
func (f *Fake) GuestPoweroff(id uuid.UUID) error { return f.event(id, xen.Poweroff) }

// GuestReboot is the guest's own reboot: with on_reboot "restart" (or empty)
// the same domain starts again with a new domid, as UpdateConfig said, or with
// what was changed while it ran. Pins are lost.
func (f *Fake) GuestReboot(id uuid.UUID) error { return f.event(id, xen.Reboot) }

// GuestCrash ends the guest in the middle of what it does; on_crash says what
// becomes of the domain ("destroy" if empty).
func (f *Fake) GuestCrash(id uuid.UUID) error { return f.event(id, xen.Crash) }

func (f *Fake) event(id uuid.UUID, why xen.Reason) error {
	f.mu.Lock()
	d := f.find(id)
	switch {
	case d == nil:
		f.mu.Unlock()
		return fmt.Errorf("xentest: %s of %s: %w", why, id, fs.ErrNotExist)
	case d.state != xen.Running || d.leaving:
		f.mu.Unlock()
		return fmt.Errorf("xentest: %s of %s: the guest does not run", why, id)
	}
	d.leaving = true
	f.mu.Unlock()

	if why == xen.Crash {
		d.guest.kill()
	} else {
		d.guest.ask()
	}
	d.guest.wait()
	d.guest.kill()

	f.mu.Lock()
	defer f.mu.Unlock()
	if d.state == xen.Dying || f.domains[d.id] != d {
		return nil // destroyed, or the host lost its power, meanwhile
	}
	switch f.after(d, why) {
	case "preserve":
		d.setState(shutState(why))
		d.reason = why
	case "restart":
		spec := d.spec
		if d.next != nil {
			spec = *d.next
		}
		f.remove(d, xen.Reboot)
		if spec.Need() <= f.free() { // else its monitor gives up
			f.start(f.add(spec))
		}
	default:
		f.remove(d, why)
	}
	return nil
}

// after is what the toolstack does when the domain shut down for this reason.
func (d *domain) after(why xen.Reason) string {
	switch {
	case why == xen.Reboot && d.spec.OnReboot != "":
		return d.spec.OnReboot
	case why == xen.Reboot:
		return "restart"
	case why == xen.Crash && d.spec.OnCrash != "":
		return d.spec.OnCrash
	}
	return "destroy"
}

func shutState(why xen.Reason) xen.State {
	if why == xen.Crash {
		return xen.Crashed
	}
	return xen.Stopped
}
