package libvirt

import (
	"context"
	"errors"
	"fmt"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// The scheduler's parameters as the Xen driver calls them.
const (
	weightField = "weight"
	capField    = "cap"
)

// sharesCPU reports whether a domain starts with a share that is not Xen's
// default. XML has a word for the weight alone.
func sharesCPU(spec xen.Spec) bool {
	return spec.Cap != 0 || spec.WithDefaults().Weight != xen.DefaultWeight
}

// setShare sets weight and cap, and reads them back.
//
//	virDomainSetSchedulerParametersFlags, virDomainGetSchedulerParameters
//
// Without flags: the Xen driver refuses all of them, and means a domain that runs.
func (d *Driver) setShare(ctx context.Context, id uuid.UUID, want xen.Share) error {
	dom := rpc.Domain{Name: id.String(), UUID: rpc.UUID(id)}
	var seen []rpc.TypedParam
	err := d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) error {
		have, err := l.DomainGetSchedulerParameters(dom, maxParams)
		if err != nil {
			return err
		}
		if _, err := shareOf(have); err != nil {
			return err
		}
		if err := l.DomainSetSchedulerParametersFlags(dom, shareParams(want), 0); err != nil {
			return err
		}
		seen, err = l.DomainGetSchedulerParameters(dom, maxParams)
		return err
	})
	if err != nil {
		return fmt.Errorf("weight and cap: %w", err)
	}
	if share, err := shareOf(seen); err != nil || share != want {
		return errors.Join(fmt.Errorf("weight and cap are %v after they were set to %v", share, want), err)
	}
	return nil
}

// maxParams is more than any scheduler has.
const maxParams = 16

func shareParams(s xen.Share) []rpc.TypedParam {
	return []rpc.TypedParam{
		{Field: weightField, Value: *rpc.NewTypedParamValueUint(uint32(s.Weight))},
		{Field: capField, Value: *rpc.NewTypedParamValueUint(uint32(s.Cap))},
	}
}

// shareOf reads the parameters of the credit and credit2 schedulers; others
// lack one of the two.
func shareOf(params []rpc.TypedParam) (s xen.Share, err error) {
	found := 0
	for _, p := range params {
		for field, into := range map[string]*int{weightField: &s.Weight, capField: &s.Cap} {
			if n, ok := p.Value.I.(uint32); ok && p.Field == field {
				*into = int(n)
				found++
			}
		}
	}
	if found != 2 {
		return xen.Share{}, fmt.Errorf("the host's scheduler has no weight and cap: %w", errors.ErrUnsupported)
	}
	return s, nil
}
