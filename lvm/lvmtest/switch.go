package lvmtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/xenhost/xenhost/lvm"
)

// Activate implements lvm.Switch.
func (f *Fake) Activate(ctx context.Context, id lvm.ID) error {
	return f.change(ctx, "activate", id, func(g *group, v *volume) error {
		switch {
		case v.Unwiped():
			return lvm.ErrUnwiped
		case v.Kind == lvm.Snapshot && !v.Active:
			return alone(v)
		}
		return f.setActive(v, true)
	})
}

// Deactivate implements lvm.Switch.
func (f *Fake) Deactivate(ctx context.Context, id lvm.ID) error {
	return f.change(ctx, "deactivate", id, func(g *group, v *volume) error {
		if v.Kind == lvm.Snapshot && v.Active {
			return alone(v)
		}
		for _, d := range g.withSnapshots(v) {
			if d.open() {
				return fmt.Errorf("%s: %w", d.Name, lvm.ErrBusy)
			}
		}
		return f.setActive(v, false)
	})
}

func alone(v *volume) error {
	return fmt.Errorf("%w: a thick snapshot goes with its origin %s", errors.ErrUnsupported, v.Origin)
}

// SetSkip implements lvm.Switch.
func (f *Fake) SetSkip(ctx context.Context, id lvm.ID, skip bool) error {
	return f.change(ctx, "skip", id, func(_ *group, v *volume) error {
		if v.Unwiped() && !skip {
			return lvm.ErrUnwiped
		}
		if v.Kind == lvm.Snapshot {
			return alone(v)
		}
		v.Skip = skip
		return nil
	})
}

// Tag implements lvm.Switch.
func (f *Fake) Tag(ctx context.Context, id lvm.ID, add, remove []string) error {
	return f.change(ctx, "tag", id, func(_ *group, v *volume) error {
		if err := errors.Join(lvm.ValidTags(add...), lvm.ValidTags(remove...)); err != nil {
			return err
		}
		v.Tags = union(without(v.Tags, remove...), add)
		return nil
	})
}

func (f *Fake) change(ctx context.Context, op string, id lvm.ID, do func(*group, *volume) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, op)
	if err != nil {
		return failed(op, id.String(), err)
	}
	g, v, err := f.find(id)
	if err == nil {
		err = do(g, v)
	}
	if err == nil {
		err = after
	}
	return failed(op, id.String(), err)
}

// Boot is a restart of the host: what had volumes open is gone, open Devices
// answer fs.ErrClosed, and vgchange -ay activates what has no activation-skip
// flag.
func (f *Fake) Boot() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, g := range f.groups {
		for _, v := range g.volumes {
			for d := range v.handles {
				d.die()
			}
			v.handles, v.holds = nil, 0
		}
		for _, v := range g.volumes {
			if v.Kind != lvm.Snapshot && v.Kind != lvm.Pool {
				errs = append(errs, f.setActive(v, !v.Skip))
			}
		}
	}
	return errors.Join(errs...)
}

// Hold opens a volume as a domain or a mount does, until Release or Boot. A
// volume may be held more than once.
func (f *Fake) Hold(id lvm.ID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, v, err := f.find(id)
	if err == nil && !v.Active {
		err = lvm.ErrInactive
	}
	if err != nil {
		return failed("hold", id.String(), err)
	}
	v.holds++
	return nil
}

// Release ends one Hold.
func (f *Fake) Release(id lvm.ID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, v, err := f.find(id)
	if err == nil && v.holds == 0 {
		err = fmt.Errorf("%w: nobody holds it", lvm.ErrInvalid)
	}
	if err != nil {
		return failed("release", id.String(), err)
	}
	v.holds--
	return nil
}

// setActive moves the file of v, and of its thick snapshots, to where its
// state wants it.
func (f *Fake) setActive(v *volume, active bool) error {
	for _, d := range f.groups[v.Group].withSnapshots(v) {
		if d.Active == active {
			continue
		}
		from, to := f.path(d.ID), f.parked(d.ID)
		if active {
			from, to = to, from
		}
		if d.Kind != lvm.Pool {
			if err := os.Rename(from, to); err != nil {
				return err
			}
		}
		d.Active = active
	}
	return nil
}

// withSnapshots returns v and the thick snapshots of it.
func (g *group) withSnapshots(v *volume) []*volume {
	all := []*volume{v}
	for _, s := range g.volumes {
		if s.Kind == lvm.Snapshot && s.Origin == v.Name {
			all = append(all, s)
		}
	}
	return all
}

// parked is where the content of an inactive volume is.
func (f *Fake) parked(id lvm.ID) string {
	return filepath.Join(f.dir, id.Group, ".inactive", id.Name)
}
