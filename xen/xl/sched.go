package xl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// VCPUs implements xen.Scheduler.
//
//	xl vcpu-list DOMID
func (d *Driver) VCPUs(ctx context.Context, id uuid.UUID) (vcpus []xen.VCPU, err error) {
	err = d.onLive(ctx, "vcpus", id, func(dom xen.Domain) (err error) {
		vcpus, err = d.vcpus(ctx, dom)
		return err
	})
	return vcpus, err
}

func (d *Driver) vcpus(ctx context.Context, dom xen.Domain) ([]xen.VCPU, error) {
	a := d.run(ctx, d.opts.Limits.Query, "xl", "vcpu-list", strconv.Itoa(dom.ID))
	if a.err != nil {
		return nil, a.failure()
	}
	return parseVCPUs(a.stdout)
}

// Pin implements xen.Scheduler.
//
//	xl vcpu-pin DOMID VCPU HARD SOFT
func (d *Driver) Pin(ctx context.Context, id uuid.UUID, vcpu int, hard, soft xen.CPUSet) error {
	return d.onLive(ctx, "pin", id, func(dom xen.Domain) error {
		info, err := d.info(ctx)
		if err != nil {
			return err
		}
		for _, set := range []xen.CPUSet{hard, soft} {
			if err := set.Validate(info.CPUs); err != nil {
				return err
			}
		}
		vcpus, err := d.vcpus(ctx, dom)
		if err != nil {
			return err
		}
		if err := verb.InRange("vcpu", vcpu, 0, len(vcpus)-1); err != nil {
			return err
		}
		a := d.run(ctx, d.opts.Limits.Query, "xl", "vcpu-pin", strconv.Itoa(dom.ID), strconv.Itoa(vcpu), hard.String(), soft.String())
		if a.err != nil {
			return a.failure()
		}
		if vcpus, err = d.vcpus(ctx, dom); err != nil {
			return err
		}
		same := func(a, b xen.CPUSet) bool { return slices.Equal(a.On(info.CPUs), b.On(info.CPUs)) }
		if vcpu >= len(vcpus) || !same(vcpus[vcpu].Hard, hard) || !same(vcpus[vcpu].Soft, soft) {
			return explain(a.stderr, errors.New("xl exits 0, and the vCPU may run elsewhere"))
		}
		d.verbs.Log.InfoContext(ctx, "vcpu pinned", "uuid", id, "vcpu", vcpu, "hard", hard, "soft", soft)
		return nil
	})
}

// Share implements xen.Scheduler.
//
//	xl sched-credit2 -d DOMID
func (d *Driver) Share(ctx context.Context, id uuid.UUID) (share xen.Share, err error) {
	err = d.onLive(ctx, "share", id, func(dom xen.Domain) error {
		verb, err := d.scheduler(ctx)
		if err == nil {
			share, err = d.share(ctx, verb, dom)
		}
		return err
	})
	return share, err
}

// scheduler is the xl command of the host's scheduler. That of another one
// says nothing and exits 0.
func (d *Driver) scheduler(ctx context.Context) (string, error) {
	info, err := d.info(ctx)
	if err != nil {
		return "", err
	}
	if info.Scheduler != "credit" && info.Scheduler != "credit2" {
		return "", fmt.Errorf("the scheduler %q has no weights and caps: %w", info.Scheduler, errors.ErrUnsupported)
	}
	return "sched-" + info.Scheduler, nil
}

func (d *Driver) share(ctx context.Context, verb string, dom xen.Domain) (xen.Share, error) {
	a := d.run(ctx, d.opts.Limits.Query, "xl", verb, "-d", strconv.Itoa(dom.ID))
	if a.err != nil {
		return xen.Share{}, a.failure()
	}
	return parseShare(a.stdout)
}

// SetShare implements xen.Scheduler.
//
//	xl sched-credit2 -d DOMID -w WEIGHT -c CAP
func (d *Driver) SetShare(ctx context.Context, id uuid.UUID, share xen.Share) error {
	return d.onLive(ctx, "set share", id, func(dom xen.Domain) error {
		verb, err := d.scheduler(ctx)
		if err != nil {
			return err
		}
		vcpus, err := d.vcpus(ctx, dom)
		if err != nil {
			return err
		}
		if err := share.Validate(len(vcpus)); err != nil {
			return err
		}
		a := d.run(ctx, d.opts.Limits.Query, "xl", verb, "-d", strconv.Itoa(dom.ID), "-w", strconv.Itoa(share.Weight), "-c", strconv.Itoa(share.Cap))
		if a.err != nil {
			return a.failure()
		}
		now, err := d.share(ctx, verb, dom)
		if err == nil && now != share {
			err = explain(a.stderr, fmt.Errorf("xl exits 0, and it has weight %d and cap %d", now.Weight, now.Cap))
		}
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "share set", "uuid", id, "weight", share.Weight, "cap", share.Cap)
		}
		return err
	})
}
