package xentest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/google/uuid"

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
	return f.fits(spec)
}

// fits says why its disks or vifs can not be had.
func (f *Fake) fits(spec xen.Spec) error {
	for _, disk := range spec.Disks {
		if disk.Path == "" {
			continue // an empty drive
		}
		if err := f.opens(disk.Path); err != nil {
			return fmt.Errorf("disk %s: %w", disk.Dev, err)
		}
		if user := f.userOf(disk, spec.UUID); user != nil {
			return fmt.Errorf("disk %s: %s is used by %s: %w", disk.Dev, disk.Path, user.spec.Name, xen.ErrBusy)
		}
	}
	for _, vif := range spec.Vifs {
		if err := f.plug(vif); err != nil {
			return err
		}
	}
	return nil
}

// plug says whether a vif can be brought up in dom0. The caller holds mu.
func (f *Fake) plug(vif xen.Vif) error {
	for _, d := range f.domains {
		for _, other := range d.spec.Vifs {
			if other.Name == vif.Name && !d.zombie {
				return fmt.Errorf("vif %s: %s has one of this name: %w", vif.Name, d.spec.Name, fs.ErrExist)
			}
		}
	}
	if !vif.Routed && f.opts.Bridges != nil && !slices.Contains(f.opts.Bridges, vif.Bridge) {
		return fmt.Errorf("vif %s: there is no bridge %s: %w", vif.Name, vif.Bridge, xen.ErrInvalid)
	}
	return nil
}

// add puts a new domain on the list, with a domid that was never used.
func (f *Fake) add(spec xen.Spec) *domain {
	f.lastID++
	spec.MaxMemory, spec.MaxVCPUs = max(spec.MaxMemory, spec.Memory), max(spec.MaxVCPUs, spec.VCPUs)
	d := &domain{spec: spec, id: f.lastID, gone: make(chan struct{}), guest: newGuest(spec), pins: make(map[int]pin), cpu: policyOf(f.opts.CPU, spec.Type)}
	f.domains[d.id] = d
	if f.opts.Program == nil {
		d.guest.console.echo(d.spec.Name + " login: ")
	}
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

// userOf returns the domain, other than the other half of a move of id, that
// has the same file or device where one of the two would write.
func (f *Fake) userOf(disk xen.Disk, id uuid.UUID) *domain {
	for _, d := range f.domains {
		for _, other := range d.spec.Disks {
			if d.spec.UUID != id && !d.zombie && (!disk.ReadOnly || !other.ReadOnly) && sameFile(disk.Path, other.Path) {
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

// cpus is how many the host has.
const cpus = 4

// virtCaps are those of a host on which PV domains can not move live.
func virtCaps() []string { return []string{"pv", "hvm", "hap"} }

// Features implements xen.Featurer.
func (f *Fake) Features(ctx context.Context) (features xen.Features, err error) {
	err = f.do(ctx, "features", "", func() error {
		features = xen.FeaturesOf(virtCaps())
		return nil
	})
	return features, err
}

// Info implements xen.Domains.
func (f *Fake) Info(ctx context.Context) (info xen.HostInfo, err error) {
	err = f.do(ctx, "info", "", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		info = xen.HostInfo{
			Hostname: f.opts.Hostname, XenVersion: f.opts.XenVersion, VirtCaps: virtCaps(), CPUs: cpus, Scheduler: "credit2",
			TotalMemory: f.opts.Memory + 1<<30, FreeMemory: f.free(),
		}
		return nil
	})
	if err != nil {
		return xen.HostInfo{}, err
	}
	return info, nil
}
