package xentest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/xenhost/xenhost/xen"
)

// Check implements xen.Checker. The Fake has every kernel and ramdisk;
// Fail("check", err) is for a host that lacks one.
func (f *Fake) Check(ctx context.Context, spec xen.Spec) error {
	return f.do(ctx, "check", spec.Name, func() error {
		if err := spec.Validate(); err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, vif := range spec.Vifs {
			if !vif.Routed && f.opts.Bridges != nil && !slices.Contains(f.opts.Bridges, vif.Bridge) {
				return fmt.Errorf("bridge %s: %w", vif.Bridge, fs.ErrNotExist)
			}
		}
		return f.room(spec)
	})
}

// room says whether name, UUID and memory are free. The caller holds mu.
func (f *Fake) room(spec xen.Spec) error {
	for _, d := range f.domains {
		if d.spec.UUID == spec.UUID {
			return fmt.Errorf("its UUID runs already as %s: %w", d.spec.Name, fs.ErrExist)
		}
		if d.spec.Name == spec.Name && !d.zombie {
			return fmt.Errorf("a domain has this name: %w", fs.ErrExist)
		}
	}
	if free := f.free(); spec.Need() > free {
		return fmt.Errorf("%w (%d MiB, needs %d)", xen.ErrNoMemory, free>>20, spec.Need()>>20)
	}
	return nil
}
