package xentest

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Pause implements xen.Pauser. When it returns, no Step of the guest's Program
// is under way.
func (f *Fake) Pause(ctx context.Context, id uuid.UUID) error {
	return f.doOn(ctx, "pause", id.String(), id, func() error {
		f.mu.Lock()
		d := f.find(id)
		err := ready(d)
		if err == nil && d.state == xen.Running {
			d.setState(xen.Paused)
		}
		f.mu.Unlock()
		if err == nil {
			d.guest.pause()
		}
		return err
	})
}

// Unpause implements xen.Pauser.
func (f *Fake) Unpause(ctx context.Context, id uuid.UUID) error {
	return f.doOn(ctx, "unpause", id.String(), id, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		d := f.find(id)
		if err := ready(d); err != nil {
			return err
		}
		if d.state == xen.Paused {
			if d.guest.started() || f.opts.Program == nil {
				d.setState(xen.Running)
				d.guest.resume()
			} else {
				f.start(d)
			}
		}
		return nil
	})
}

// ready says whether d can be paused or continued.
func ready(d *domain) error {
	switch {
	case d == nil:
		return fs.ErrNotExist
	case d.state != xen.Running && d.state != xen.Paused:
		return fmt.Errorf("domain is %s: %w", d.state, xen.ErrBusy)
	}
	return nil
}

// Rename implements xen.Pauser.
func (f *Fake) Rename(ctx context.Context, id uuid.UUID, name string) error {
	return f.doOn(ctx, "rename", id.String(), id, func() error {
		if !xen.ValidName(name) {
			return &xen.FieldError{Field: "name", Value: name[:min(len(name), 64)], Why: "is not a domain name"}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		d := f.find(id)
		if d == nil {
			return fs.ErrNotExist
		}
		for _, other := range f.domains {
			if other != d && other.spec.Name == name && !other.zombie {
				return fmt.Errorf("a domain is called %s: %w", name, fs.ErrExist)
			}
		}
		d.change(func(s *xen.Spec) { s.Name = name })
		return nil
	})
}
