package xentest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// onLive does work on a domain that runs or is paused, while holding mu.
func (f *Fake) onLive(ctx context.Context, op string, id uuid.UUID, work func(d *domain) error) error {
	return f.doOn(ctx, op, id.String(), id, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		d := f.find(id)
		if err := ready(d); err != nil {
			return err
		}
		return work(d)
	})
}

// AttachDisk implements xen.Devices.
func (f *Fake) AttachDisk(ctx context.Context, id uuid.UUID, disk xen.Disk) error {
	return f.onLive(ctx, "attach disk", id, func(d *domain) error {
		if err := disk.Validate(); err != nil {
			return err
		}
		for _, other := range d.spec.Disks {
			if other.Dev == disk.Dev {
				return fmt.Errorf("it has a disk %s: %w", disk.Dev, fs.ErrExist)
			}
			if sameFile(other.Path, disk.Path) && (!other.ReadOnly || !disk.ReadOnly) {
				return fmt.Errorf("%s is its disk %s: %w", disk.Path, other.Dev, xen.ErrBusy)
			}
		}
		if err := f.opens(disk.Path); err != nil {
			return err
		}
		if user := f.userOf(disk, id); user != nil {
			return fmt.Errorf("%s is used by %s: %w", disk.Path, user.spec.Name, xen.ErrBusy)
		}
		d.change(func(s *xen.Spec) { s.Disks = append(s.Disks, disk) })
		return nil
	})
}

// opens says whether the path can be a disk's: not fs.ErrNotExist, which is
// the domain.
func (f *Fake) opens(path string) error {
	if f.opts.AnyDisk {
		return nil
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%w: %v", xen.ErrInvalid, err) //nolint:errorlint // not fs.ErrNotExist: that is the domain
	}
	return nil
}

// DetachDisk implements xen.Devices. A deaf guest does not let go of its disks.
func (f *Fake) DetachDisk(ctx context.Context, id uuid.UUID, dev string) error {
	return f.onLive(ctx, "detach disk", id, func(d *domain) error {
		if !xen.ValidDisk(dev) {
			return &xen.FieldError{Field: "dev", Value: dev[:min(len(dev), 64)], Why: "is not xvda to xvdp"}
		}
		at := slices.IndexFunc(d.spec.Disks, func(x xen.Disk) bool { return x.Dev == dev })
		switch {
		case at < 0:
			return fmt.Errorf("it has no disk %s: %w", dev, fs.ErrNotExist)
		case f.deaf[id]:
			return fmt.Errorf("the guest does not let go of %s: %w", dev, xen.ErrBusy)
		}
		d.change(func(s *xen.Spec) { s.Disks = slices.Delete(s.Disks, at, at+1) })
		return nil
	})
}

// AttachVif implements xen.Devices.
func (f *Fake) AttachVif(ctx context.Context, id uuid.UUID, vif xen.Vif) error {
	return f.onLive(ctx, "attach vif", id, func(d *domain) error {
		if err := vif.Validate(); err != nil {
			return err
		}
		for _, other := range d.spec.Vifs {
			if other.MAC == vif.MAC {
				return fmt.Errorf("it has a vif %s: %w", vif.MAC, fs.ErrExist)
			}
		}
		if err := f.plug(vif); err != nil {
			return err
		}
		d.change(func(s *xen.Spec) { s.Vifs = append(s.Vifs, vif) })
		return nil
	})
}

// DetachVif implements xen.Devices.
func (f *Fake) DetachVif(ctx context.Context, id uuid.UUID, mac xen.MAC) error {
	return f.onLive(ctx, "detach vif", id, func(d *domain) error {
		at := slices.IndexFunc(d.spec.Vifs, func(x xen.Vif) bool { return x.MAC == mac })
		if at < 0 {
			return fmt.Errorf("it has no vif %s: %w", mac, fs.ErrNotExist)
		}
		d.change(func(s *xen.Spec) { s.Vifs = slices.Delete(s.Vifs, at, at+1) })
		return nil
	})
}

// Insert implements xen.Media.
func (f *Fake) Insert(ctx context.Context, id uuid.UUID, dev, path string) error {
	return f.drive(ctx, "insert", id, dev, path)
}

// Eject implements xen.Media.
func (f *Fake) Eject(ctx context.Context, id uuid.UUID, dev string) error {
	return f.drive(ctx, "eject", id, dev, "")
}

func (f *Fake) drive(ctx context.Context, op string, id uuid.UUID, dev, path string) error {
	return f.onLive(ctx, op, id, func(d *domain) error {
		if d.spec.Type != xen.HVM {
			return fmt.Errorf("a %s domain has no CD-ROM drive; attach the image as a read-only disk: %w", d.spec.Type, errors.ErrUnsupported)
		}
		if !xen.ValidDrive(dev) {
			return &xen.FieldError{Field: "dev", Value: dev[:min(len(dev), 64)], Why: "is not hda to hdd"}
		}
		if op == "insert" {
			if err := xen.ValidImage(path); err != nil {
				return err
			}
		}
		at := slices.IndexFunc(d.spec.Disks, func(x xen.Disk) bool { return x.Dev == dev && x.CDROM })
		if at < 0 {
			return fmt.Errorf("it has no drive %s: %w", dev, fs.ErrNotExist)
		}
		if op == "insert" {
			if err := f.opens(path); err != nil {
				return err
			}
		}
		d.change(func(s *xen.Spec) { s.Disks[at].Path = path })
		return nil
	})
}
