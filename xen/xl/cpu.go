package xl

import (
	"context"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/cpuid"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

var _ cpuid.Teller = (*Driver)(nil)

// CPU implements cpuid.Teller.
//
//	xen-cpuid && xen-cpuid -p
func (d *Driver) CPU(ctx context.Context) (cpuid.Host, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opts.Limits.Query)
	defer cancel()
	h, err := cpuid.Read(ctx, d.runner, d.opts.CPUID)
	return h, verb.Wrap("cpu", "", err)
}

// CPUOf implements cpuid.Teller.
//
//	xen-cpuid -p DOMID
func (d *Driver) CPUOf(ctx context.Context, id uuid.UUID) (cpuid.Policy, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opts.Limits.Query)
	defer cancel()
	dom, err := d.Lookup(ctx, id)
	if err != nil {
		return cpuid.Policy{}, err
	}
	p, err := cpuid.ReadDomain(ctx, d.runner, d.opts.CPUID, dom.ID)
	return p, verb.Wrap("cpu of", id.String(), err)
}
