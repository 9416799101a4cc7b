package libvirt

import (
	"context"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Check implements xen.Checker by asking libvirt for its domains, its memory
// and the types that it runs, and by looking at the files and at
// /sys/class/net.
func (d *Driver) Check(ctx context.Context, spec xen.Spec) error {
	return verb.Wrap("check", spec.Name, d.check(ctx, spec))
}

func (d *Driver) check(ctx context.Context, spec xen.Spec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	p, err := d.platform(ctx)
	if err != nil {
		return err
	}
	if _, err := render(spec, p); err != nil {
		return err
	}
	if err := d.vacant(ctx, spec.UUID, spec.Name); err != nil {
		return err
	}
	if err := present(spec, nil); err != nil {
		return err
	}
	return d.memory(ctx, spec.Need())
}
