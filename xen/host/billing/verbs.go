package billing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/image"
	"github.com/xenhost/xenhost/xen/host/seed"
)

// Suspend powers the order's guest off and keeps it off, whoever starts it and
// however often the host reboots, until Unsuspend. The first reason stays.
func (d *Desk) Suspend(ctx context.Context, r Ref, why string) error {
	return d.call(ctx, "suspend", r, func() error {
		s, err := d.find(ctx, r)
		if err == nil {
			_, err = d.host.Suspend(ctx, s.Guest.UUID, why)
		}
		return err
	})
}

// Unsuspend lets it run again, as it was before it was suspended.
func (d *Desk) Unsuspend(ctx context.Context, r Ref) error {
	return d.call(ctx, "unsuspend", r, func() error {
		s, err := d.active(ctx, r)
		if err == nil {
			err = d.host.Unsuspend(ctx, s.Guest.UUID)
		}
		return err
	})
}

// ChangePlan gives it another plan: see host.Host.ChangePlan.
func (d *Desk) ChangePlan(ctx context.Context, r Ref, p host.Plan, opts *host.PlanOptions) (changes []host.Change, err error) {
	err = d.call(ctx, "change plan", r, func() error {
		s, err := d.active(ctx, r)
		if err == nil {
			changes, err = d.host.ChangePlan(ctx, s.Guest.UUID, p, opts)
		}
		return err
	})
	return changes, err
}

// Reinstallation says what to make anew.
type Reinstallation struct {
	// Job is the panel's number of this reinstallation: the same one is done
	// once.
	Job    string                  `json:"job"`
	Images map[string]image.Source `json:"images"` // by Disk.Dev; other disks stay
	// Seed, if there is one, takes the place of the seed that the guest was
	// provisioned with, on SeedDev (xvdp if it is empty); cloud-init then sets up
	// the guest anew. With no images it resets the access alone.
	Seed    *seed.Seed `json:"seed,omitempty"`
	SeedDev string     `json:"seed_dev,omitempty"`
}

// Reinstall makes disks of the order's guest anew; what was on them is gone. The
// images are opened, and where their digest can be known beforehand compared,
// before anything is stopped. What fails in the middle leaves a guest that does
// not start, and the same job again finishes it.
func (d *Desk) Reinstall(ctx context.Context, r Ref, job Reinstallation) error {
	return d.call(ctx, "reinstall", r, func() error { return d.reinstall(ctx, r, job) })
}

func (d *Desk) reinstall(ctx context.Context, r Ref, job Reinstallation) error {
	if !number.MatchString(job.Job) {
		return fmt.Errorf("%w: job %.140q", ErrInvalid, job.Job)
	}
	s, err := d.active(ctx, r)
	if err != nil || s.Guest.Labels[labelReinstall] == job.Job {
		return err
	}
	m, err := open(ctx, job.Images)
	if err != nil {
		return err
	}
	defer m.close()
	if job.Seed != nil {
		if err := m.reseed(s.Guest, job); err != nil {
			return err
		}
	}
	if err := d.host.Reinstall(ctx, s.Guest.UUID, &host.ProvisionOptions{Images: m.readers}); err != nil {
		return err
	}
	_, err = d.host.SetLabels(ctx, s.Guest.UUID, host.Labels{labelReinstall: job.Job})
	return err
}

// reseed puts a seed with an instance-id of its own in the place of the old one.
func (m *media) reseed(g host.Guest, job Reinstallation) error {
	dev := job.SeedDev
	if dev == "" {
		dev = "xvdp"
	}
	i := slices.IndexFunc(g.Disks, func(d host.Disk) bool { return d.Dev == dev })
	if i < 0 {
		return fmt.Errorf("%w: the guest has no seed %s", fs.ErrNotExist, dev)
	}
	iso, err := job.Seed.ISO(g.UUID.String() + "-" + job.Job)
	if err == nil && int64(len(iso)) > g.Disks[i].Size {
		err = errors.Join(ErrInvalid, fmt.Errorf("the seed has %d bytes, its disk %d", len(iso), g.Disks[i].Size))
	}
	m.readers[dev] = bytes.NewReader(iso)
	return err
}
