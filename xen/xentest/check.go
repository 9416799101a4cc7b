package xentest

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/xenhost/xenhost/xen"
)

// Check implements xen.Checker. The Fake has every kernel, ramdisk and bridge;
// Fail("check", err) is for a host that lacks one.
func (f *Fake) Check(ctx context.Context, spec xen.Spec) error {
	return f.do(ctx, "check", spec.Name, func() error {
		if err := spec.Validate(); err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.room(spec)
	})
}

// room says whether name, UUID and memory are free. The caller holds mu.
func (f *Fake) room(spec xen.Spec) error {
	for _, d := range f.domains {
		if d.spec.UUID == spec.UUID {
			return fmt.Errorf("its UUID runs already as %s: %w", d.spec.Name, fs.ErrExist)
		}
		if d.spec.Name == spec.Name {
			return fmt.Errorf("a domain has this name: %w", fs.ErrExist)
		}
	}
	if free := f.free(); spec.Need() > free {
		return fmt.Errorf("%w (%d MiB, needs %d)", xen.ErrNoMemory, free>>20, spec.Need()>>20)
	}
	return nil
}
