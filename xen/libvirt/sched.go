package libvirt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// VCPUs implements xen.Scheduler. libvirt's Xen driver has one word for a vCPU
// that is offline and one that waits for a CPU; a vCPU counts as online if it
// was asked to be, or shows that it is. Soft affinity is unknown to libvirt:
// Soft is nil.
//
//	virDomainGetVcpus
func (d *Driver) VCPUs(ctx context.Context, id uuid.UUID) (vcpus []xen.VCPU, err error) {
	err = d.onLive(ctx, "vcpus", id, func(dom xen.Domain) (err error) {
		vcpus, err = d.vcpus(ctx, dom)
		return err
	})
	return vcpus, err
}

func (d *Driver) vcpus(ctx context.Context, dom xen.Domain) (vcpus []xen.VCPU, err error) {
	most, err := d.maxVCPUs(ctx, dom)
	if err != nil {
		return nil, err
	}
	info, err := d.info(ctx)
	if err != nil {
		return nil, err
	}
	width := (info.CPUs + 7) / 8
	err = d.ask(ctx, func(l *rpc.Libvirt) error {
		asked, err := l.DomainGetVcpusFlags(handle(dom), uint32(rpc.DomainVCPULive))
		if err != nil {
			return err
		}
		seen, maps, err := l.DomainGetVcpus(handle(dom), int32(most), int32(width))
		if err != nil {
			return err
		}
		vcpus = vcpusOf(seen, maps, width, int(asked), info.CPUs)
		return nil
	})
	return vcpus, err
}

// vcpusOf reads virVcpuInfo and the CPU maps of width bytes each.
func vcpusOf(seen []rpc.VcpuInfo, maps []byte, width, asked, cpus int) []xen.VCPU {
	vcpus := make([]xen.VCPU, 0, len(seen))
	for i, v := range seen {
		vcpus = append(vcpus, xen.VCPU{
			Number:  int(v.Number),
			Online:  int(v.Number) < asked || rpc.VCPUState(v.State) != rpc.VCPUOffline,
			CPUTime: time.Duration(min(v.CPUTime, math.MaxInt64)),
			Hard:    cpuSet(maps[min(i*width, len(maps)):min((i+1)*width, len(maps))], cpus),
		})
	}
	return vcpus
}

// cpuSet reads a map of one bit a CPU; nil is all.
func cpuSet(bits []byte, cpus int) xen.CPUSet {
	set := xen.CPUSet{}
	for cpu := range min(cpus, 8*len(bits)) {
		if bits[cpu/8]>>(cpu%8)&1 == 1 {
			set = append(set, cpu)
		}
	}
	if len(set) == cpus {
		return nil
	}
	return set
}

// cpuMap is what cpuSet reads.
func cpuMap(set xen.CPUSet, cpus int) []byte {
	bits := make([]byte, (cpus+7)/8)
	for _, cpu := range set.On(cpus) {
		bits[cpu/8] |= 1 << (cpu % 8)
	}
	return bits
}

func (d *Driver) maxVCPUs(ctx context.Context, dom xen.Domain) (n int, err error) {
	err = d.ask(ctx, func(l *rpc.Libvirt) error {
		most, err := l.DomainGetVcpusFlags(handle(dom), uint32(rpc.DomainVCPULive|rpc.DomainVCPUMaximum))
		n = int(most)
		return err
	})
	return n, err
}

func (d *Driver) vcpuInfo(ctx context.Context, dom xen.Domain, most int) (seen []rpc.VcpuInfo, err error) {
	err = d.ask(ctx, func(l *rpc.Libvirt) (err error) {
		seen, _, err = l.DomainGetVcpus(handle(dom), int32(most), 0)
		return err
	})
	return seen, err
}

// Pin implements xen.Scheduler. libvirt has no soft affinity
// (errors.ErrUnsupported).
//
//	virDomainPinVcpu
func (d *Driver) Pin(ctx context.Context, id uuid.UUID, vcpu int, hard, soft xen.CPUSet) error {
	return d.onLive(ctx, "pin", id, func(dom xen.Domain) error {
		info, err := d.info(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(hard.Validate(info.CPUs), soft.Validate(info.CPUs)); err != nil {
			return err
		}
		vcpus, err := d.vcpus(ctx, dom)
		if err != nil {
			return err
		}
		if err := verb.InRange("vcpu", vcpu, 0, len(vcpus)-1); err != nil {
			return err
		}
		if soft != nil {
			return fmt.Errorf("libvirt has no soft affinity: %w", errors.ErrUnsupported)
		}
		err = d.ask(ctx, func(l *rpc.Libvirt) error {
			return l.DomainPinVcpu(handle(dom), uint32(vcpu), cpuMap(hard, info.CPUs))
		})
		if err != nil {
			return err
		}
		if vcpus, err = d.vcpus(ctx, dom); err != nil {
			return err
		}
		if vcpu >= len(vcpus) || !slices.Equal(vcpus[vcpu].Hard.On(info.CPUs), hard.On(info.CPUs)) {
			return errors.New("libvirt did it, and the vCPU may run elsewhere")
		}
		d.verbs.Log.InfoContext(ctx, "vcpu pinned", "uuid", id, "vcpu", vcpu, "hard", hard)
		return nil
	})
}

// Share implements xen.Scheduler.
//
//	virDomainGetSchedulerParameters
func (d *Driver) Share(ctx context.Context, id uuid.UUID) (share xen.Share, err error) {
	err = d.onLive(ctx, "share", id, func(dom xen.Domain) error {
		return d.ask(ctx, func(l *rpc.Libvirt) error {
			params, err := l.DomainGetSchedulerParameters(handle(dom), maxParams)
			if err == nil {
				share, err = shareOf(params)
			}
			return err
		})
	})
	return share, err
}

// SetShare implements xen.Scheduler.
//
//	virDomainSetSchedulerParametersFlags
func (d *Driver) SetShare(ctx context.Context, id uuid.UUID, share xen.Share) error {
	return d.onLive(ctx, "set share", id, func(dom xen.Domain) error {
		most, err := d.maxVCPUs(ctx, dom)
		if err == nil {
			err = share.Validate(most)
		}
		if err == nil {
			err = d.setShare(ctx, id, share)
		}
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "share set", "uuid", id, "weight", share.Weight, "cap", share.Cap)
		}
		return err
	})
}
