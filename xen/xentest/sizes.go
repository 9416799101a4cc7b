package xentest

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// pin is where a vCPU may and should run.
type pin struct{ hard, soft xen.CPUSet }

// SetMemory implements xen.Resizer. The balloon of a guest follows at once; a
// deaf one has none.
func (f *Fake) SetMemory(ctx context.Context, id uuid.UUID, bytes int64) error {
	return f.onLive(ctx, "set memory", id, func(d *domain) error {
		next := d.spec.Clone()
		next.Memory = bytes
		if err := next.Validate(); err != nil {
			return err
		}
		switch {
		case d.state != xen.Running:
			return fmt.Errorf("domain is %s: %w", d.state, xen.ErrBusy)
		case bytes-d.spec.Memory > f.free():
			return fmt.Errorf("%w (%d MiB)", xen.ErrNoMemory, f.free()>>20)
		case f.deaf[id] && bytes != d.spec.Memory:
			return fmt.Errorf("%w: it has %d MiB", xen.ErrNoAnswer, d.spec.Memory>>20)
		}
		d.change(func(s *xen.Spec) { s.Memory = bytes })
		return nil
	})
}

// SetVCPUs implements xen.Resizer.
func (f *Fake) SetVCPUs(ctx context.Context, id uuid.UUID, n int) error {
	return f.onLive(ctx, "set vcpus", id, func(d *domain) error {
		if n < 1 || n > d.spec.MaxVCPUs {
			return &xen.FieldError{Field: "vcpus", Value: strconv.Itoa(n), Why: fmt.Sprintf("must be 1 to %d", d.spec.MaxVCPUs)}
		}
		if f.deaf[id] && n != d.spec.VCPUs {
			return fmt.Errorf("%w: it uses %d vCPUs", xen.ErrNoAnswer, d.spec.VCPUs)
		}
		d.change(func(s *xen.Spec) { s.VCPUs = n })
		return nil
	})
}

// VCPUs implements xen.Scheduler.
func (f *Fake) VCPUs(ctx context.Context, id uuid.UUID) (all []xen.VCPU, err error) {
	err = f.onLive(ctx, "vcpus", id, func(d *domain) error {
		for n := range d.spec.MaxVCPUs {
			all = append(all, xen.VCPU{
				Number: n, Online: n < d.spec.VCPUs, CPUTime: (d.view().CPUTime / time.Duration(d.spec.MaxVCPUs)).Truncate(100 * time.Millisecond),
				Hard: d.pins[n].hard, Soft: d.pins[n].soft,
			})
		}
		return nil
	})
	return all, err
}

// Pin implements xen.Scheduler.
func (f *Fake) Pin(ctx context.Context, id uuid.UUID, vcpu int, hard, soft xen.CPUSet) error {
	return f.onLive(ctx, "pin", id, func(d *domain) error {
		if vcpu < 0 || vcpu >= d.spec.MaxVCPUs {
			return &xen.FieldError{Field: "vcpu", Value: strconv.Itoa(vcpu), Why: fmt.Sprintf("must be 0 to %d", d.spec.MaxVCPUs-1)}
		}
		for _, set := range []xen.CPUSet{hard, soft} {
			if err := set.Validate(cpus); err != nil {
				return err
			}
		}
		d.pins[vcpu] = pin{append(xen.CPUSet(nil), hard...), append(xen.CPUSet(nil), soft...)}
		return nil
	})
}

// Share implements xen.Scheduler.
func (f *Fake) Share(ctx context.Context, id uuid.UUID) (share xen.Share, err error) {
	err = f.onLive(ctx, "share", id, func(d *domain) error {
		share = xen.Share{Weight: d.spec.WithDefaults().Weight, Cap: d.spec.Cap}
		return nil
	})
	return share, err
}

// SetShare implements xen.Scheduler.
func (f *Fake) SetShare(ctx context.Context, id uuid.UUID, share xen.Share) error {
	return f.onLive(ctx, "set share", id, func(d *domain) error {
		if err := share.Validate(d.spec.MaxVCPUs); err != nil {
			return err
		}
		d.change(func(s *xen.Spec) { s.Weight, s.Cap = share.Weight, share.Cap })
		return nil
	})
}
