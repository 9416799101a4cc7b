package libvirt

import (
	"context"
	"errors"
	"fmt"
	"math"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// onLive does work on a domain that has a domid.
func (d *Driver) onLive(ctx context.Context, op string, id uuid.UUID, work func(dom xen.Domain) error) error {
	return d.verbs.On(ctx, op, id.String(), id, func() error {
		dom, err := d.lookup(ctx, id)
		if err == nil && dom.ID == notRunning {
			err = fmt.Errorf("libvirt is about to start it: %w", xen.ErrBusy)
		}
		if err != nil {
			return err
		}
		return work(dom)
	})
}

// ask makes one call that only looks, or that ends at once.
func (d *Driver) ask(ctx context.Context, work func(*rpc.Libvirt) error) error {
	return d.call(ctx, d.opts.Limits.Query, work)
}

// SetMemory implements xen.Resizer.
//
//	virDomainSetMemoryFlags, with VIR_DOMAIN_MEM_LIVE
func (d *Driver) SetMemory(ctx context.Context, id uuid.UUID, bytes int64) error {
	return d.onLive(ctx, "set memory", id, func(dom xen.Domain) error {
		var most uint64 // KiB
		err := d.ask(ctx, func(l *rpc.Libvirt) (err error) {
			most, err = l.DomainGetMaxMemory(handle(dom))
			return err
		})
		if err != nil {
			return err
		}
		if err := verb.Memory(bytes, int64(min(most, math.MaxInt64>>10)<<10)); err != nil {
			return err
		}
		if dom.State != xen.Running {
			return fmt.Errorf("domain is %s: %w", dom.State, xen.ErrBusy)
		}
		if err := d.memory(ctx, bytes-dom.Memory); err != nil {
			return err
		}
		err = d.ask(ctx, func(l *rpc.Libvirt) error {
			return l.DomainSetMemoryFlags(handle(dom), uint64(bytes>>10), uint32(rpc.DomainMemLive))
		})
		if err != nil {
			return err
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

// SetVCPUs implements xen.Resizer. libvirt does not tell which vCPUs a guest
// uses, only which run or wait for something: one counts as taken once it was
// seen to, and as given up when it was not, and used no time, in five looks.
// More than the host has CPUs are refused by libvirt (ErrInvalid), although a
// domain may start with them.
//
//	virDomainSetVcpusFlags, with VIR_DOMAIN_VCPU_LIVE
func (d *Driver) SetVCPUs(ctx context.Context, id uuid.UUID, n int) error {
	return d.onLive(ctx, "set vcpus", id, func(dom xen.Domain) error {
		most, err := d.maxVCPUs(ctx, dom)
		if err != nil {
			return err
		}
		if err := verb.InRange("vcpus", n, 1, most); err != nil {
			return err
		}
		err = d.ask(ctx, func(l *rpc.Libvirt) error {
			now, err := l.DomainGetVcpusFlags(handle(dom), uint32(rpc.DomainVCPULive))
			if err == nil && int(now) != n {
				err = l.DomainSetVcpusFlags(handle(dom), uint32(n), uint32(rpc.DomainVCPULive))
			}
			return err
		})
		if err != nil {
			return err
		}
		watch := watch{wanted: n}
		err = d.verbs.Answered(ctx, d.opts.Limits.Resize, func() (bool, error) {
			vcpus, err := d.vcpuInfo(ctx, dom, most)
			return watch.look(vcpus), err
		})
		if errors.Is(err, xen.ErrNoAnswer) {
			return fmt.Errorf("%w: it was asked to use %d vCPUs", err, n)
		}
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "vcpus set", "uuid", id, "vcpus", n)
		}
		return err
	})
}

// quietLooks is how often a vCPU must show no life to count as given up.
const quietLooks = 5

// watch sees whether a guest uses as many vCPUs as it was asked to.
type watch struct {
	wanted int
	seen   map[uint32]bool   // was active since the request
	quiet  map[uint32]int    // looks in a row without life
	time   map[uint32]uint64 // CPU time at the last look
}

// look takes one look and reports whether all vCPUs are as they should be.
func (w *watch) look(vcpus []rpc.VcpuInfo) bool {
	if w.seen == nil {
		w.seen, w.quiet, w.time = make(map[uint32]bool), make(map[uint32]int), make(map[uint32]uint64)
	}
	done := true
	for _, v := range vcpus {
		alive := rpc.VCPUState(v.State) != rpc.VCPUOffline
		before, known := w.time[v.Number]
		w.time[v.Number] = v.CPUTime
		if alive || known && v.CPUTime != before {
			w.seen[v.Number], w.quiet[v.Number] = true, 0
		} else {
			w.quiet[v.Number]++
		}
		if int(v.Number) < w.wanted {
			done = done && w.seen[v.Number]
		} else {
			done = done && w.quiet[v.Number] >= quietLooks
		}
	}
	return done && len(vcpus) >= w.wanted
}
