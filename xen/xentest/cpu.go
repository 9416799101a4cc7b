package xentest

import (
	"context"
	"encoding/binary"
	"io/fs"
	"maps"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/cpuid"
)

var _ cpuid.Teller = (*Fake)(nil)

// cpuLeaves is the highest basic leaf of simulated CPUs.
const cpuLeaves = 0xd

// CPU is a simulated host's CPU, which gives every domain all that it has. has
// may have words of the leaves 1 and 7: 1c, 1d, 7b0, 7c0, 7d0.
func CPU(vendor string, has cpuid.Set) cpuid.Host {
	h := cpuid.Host{Vendor: vendor, Max: make(map[xen.Type]cpuid.Set), Usual: make(map[xen.Type]cpuid.Set), MaxLeaf: make(map[xen.Type]uint32)}
	for _, typ := range []xen.Type{xen.PV, xen.PVH, xen.HVM} {
		h.Max[typ], h.Usual[typ], h.MaxLeaf[typ] = maps.Clone(has), maps.Clone(has), cpuLeaves
	}
	return h
}

// SetCPU is what other microcode does at a boot. Domains that are there keep
// what they saw when they were built.
func (f *Fake) SetCPU(h cpuid.Host) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opts.CPU = &h
}

// SetVersion is an upgrade, or a downgrade, of Xen.
func (f *Fake) SetVersion(version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opts.XenVersion = version
}

// CPU implements cpuid.Teller.
func (f *Fake) CPU(ctx context.Context) (h cpuid.Host, err error) {
	err = f.do(ctx, "cpu", "", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		h = *f.opts.CPU
		return nil
	})
	return h, err
}

// CPUOf implements cpuid.Teller.
func (f *Fake) CPUOf(ctx context.Context, id uuid.UUID) (p cpuid.Policy, err error) {
	err = f.do(ctx, "cpu of", id.String(), func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		d := f.find(id)
		if d == nil {
			return fs.ErrNotExist
		}
		p = d.cpu
		return nil
	})
	return p, err
}

// policyOf is what a domain sees that is built on a host.
func policyOf(h *cpuid.Host, typ xen.Type) cpuid.Policy {
	has, name := h.Usual[typ], make([]byte, 12)
	copy(name, h.Vendor)
	word := binary.LittleEndian.Uint32
	return cpuid.Policy{Leaves: []cpuid.Leaf{
		{Leaf: 0, Subleaf: -1, Regs: [4]uint32{h.MaxLeaf[typ], word(name), word(name[8:]), word(name[4:])}},
		{Leaf: 1, Subleaf: -1, Regs: [4]uint32{2: has["1c"], 3: has["1d"]}},
		{Leaf: 7, Subleaf: 0, Regs: [4]uint32{1: has["7b0"], 2: has["7c0"], 3: has["7d0"]}},
	}}
}
