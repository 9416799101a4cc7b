package xl

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// SetMemory implements xen.Resizer.
//
//	xl mem-set DOMID 512m
//
// xl exits 0 as soon as the request is written; xl list tells what the guest
// made of it.
func (d *Driver) SetMemory(ctx context.Context, id uuid.UUID, bytes int64) error {
	return d.onLive(ctx, "set memory", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		if err != nil {
			return err
		}
		if err := verb.Memory(bytes, now.MaxMemory); err != nil {
			return err
		}
		if dom.State != xen.Running {
			return fmt.Errorf("domain is %s: %w", dom.State, xen.ErrBusy)
		}
		info, err := d.info(ctx)
		if err != nil {
			return err
		}
		if more := bytes - dom.Memory; more > info.FreeMemory {
			return fmt.Errorf("%w (%d MiB, needs %d)", xen.ErrNoMemory, info.FreeMemory>>20, more>>20)
		}
		a := d.run(ctx, d.opts.Limits.Query, "xl", "mem-set", strconv.Itoa(dom.ID), strconv.FormatInt(bytes>>20, 10)+"m")
		if a.err != nil {
			return a.failure()
		}
		err = d.verbs.Answered(ctx, d.opts.Limits.Resize, func() (bool, error) {
			dom, err = d.lookup(ctx, id)
			return dom.Memory == bytes, err
		})
		if errors.Is(err, xen.ErrNoAnswer) {
			return fmt.Errorf("%w: it has %d MiB; does it have a balloon driver?", err, dom.Memory>>20)
		}
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "memory set", "uuid", id, "bytes", bytes)
		}
		return err
	})
}

// SetVCPUs implements xen.Resizer. More than the host has CPUs are allowed.
//
//	xl vcpu-set -i DOMID N
func (d *Driver) SetVCPUs(ctx context.Context, id uuid.UUID, n int) error {
	return d.onLive(ctx, "set vcpus", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		if err != nil {
			return err
		}
		if err := verb.InRange("vcpus", n, 1, now.MaxVCPUs); err != nil {
			return err
		}
		a := d.run(ctx, d.opts.Limits.Query, "xl", "vcpu-set", "-i", strconv.Itoa(dom.ID), strconv.Itoa(n))
		if a.err != nil {
			return a.failure()
		}
		online := 0
		err = d.verbs.Answered(ctx, d.opts.Limits.Resize, func() (bool, error) {
			vcpus, err := d.vcpus(ctx, dom)
			online = 0
			for _, v := range vcpus {
				if v.Online {
					online++
				}
			}
			return online == n, err
		})
		if errors.Is(err, xen.ErrNoAnswer) {
			return fmt.Errorf("%w: it uses %d vCPUs", err, online)
		}
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "vcpus set", "uuid", id, "vcpus", n)
		}
		return err
	})
}
