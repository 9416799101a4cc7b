package xentest

import (
	"context"
	"fmt"
	"os"

	"github.com/xenhost/xenhost/xen"
)

// Create implements xen.Lifecycle. It accepts any absolute clean disk path,
// not only those below /dev, so that a test's guests can live on files.
func (f *Fake) Create(ctx context.Context, spec xen.Spec, opts *xen.CreateOptions) (created xen.Domain, err error) {
	spec = spec.Clone()
	err = f.doOn(ctx, "create", spec.Name, spec.UUID, func() error {
		if err := spec.Validate(); err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.off {
			return ErrOff
		}
		if err := f.admit(spec); err != nil {
			f.lastID++ // a failed create burns a domid
			return err
		}
		d := f.add(spec)
		if opts != nil && opts.Paused {
			d.setState(xen.Paused)
		} else {
			f.start(d)
		}
		created = d.view()
		return nil
	})
	if err != nil {
		return xen.Domain{}, err
	}
	return created, nil
}

// admit says why Xen would not build this domain now.
func (f *Fake) admit(spec xen.Spec) error {
	if err := f.room(spec); err != nil {
		return err
	}
	for _, disk := range spec.Disks {
		if !f.opts.AnyDisk {
			if _, err := os.Stat(disk.Path); err != nil {
				return fmt.Errorf("disk %s: %w: %v", disk.Dev, xen.ErrInvalid, err) //nolint:errorlint // not fs.ErrNotExist: that is the domain
			}
		}
		if user := f.userOf(disk); user != nil {
			return fmt.Errorf("disk %s: %s is used by %s: %w", disk.Dev, disk.Path, user.spec.Name, xen.ErrBusy)
		}
	}
	return nil
}

// add puts a new domain on the list, with a domid that was never used.
func (f *Fake) add(spec xen.Spec) *domain {
	f.lastID++
	d := &domain{spec: spec, id: f.lastID, gone: make(chan struct{}), guest: newGuest(spec)}
	f.domains[d.id] = d
	return d
}

// start lets d run for the first time.
func (f *Fake) start(d *domain) {
	d.setState(xen.Running)
	d.guest.resume()
	if f.opts.Program == nil {
		return
	}
	d.guest.run(f.opts.Program, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !d.leaving && d.state != xen.Dying {
			d.guest.kill()
			f.remove(d, xen.Poweroff)
		}
	})
}

// userOf returns the domain that has the same file or device where one of the
// two would write.
func (f *Fake) userOf(disk xen.Disk) *domain {
	for _, d := range f.domains {
		for _, other := range d.spec.Disks {
			if (!disk.ReadOnly || !other.ReadOnly) && sameFile(disk.Path, other.Path) {
				return d
			}
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func (f *Fake) free() int64 {
	free := f.opts.Memory
	for _, d := range f.domains {
		free -= d.spec.Need()
	}
	return free
}

// Info implements xen.Domains.
func (f *Fake) Info(ctx context.Context) (info xen.HostInfo, err error) {
	err = f.do(ctx, "info", "", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		info = xen.HostInfo{
			Hostname: f.opts.Hostname, XenVersion: "4.17.7", VirtCaps: []string{"pv", "hvm", "hap"}, CPUs: 4,
			TotalMemory: f.opts.Memory + 1<<30, FreeMemory: f.free(),
		}
		return nil
	})
	if err != nil {
		return xen.HostInfo{}, err
	}
	return info, nil
}
