package handover

import (
	"context"
	"errors"
	"io/fs"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/cpuid"
	"github.com/xenhost/xenhost/xen/host"
)

// surveyCPU asks what the CPUs have to give and what the guest's domain, if it
// runs here, was given. What can not be asked is told, and no reason to refuse.
func (l *Local) surveyCPU(ctx context.Context, g host.Guest, s *Survey) error {
	if _, err := l.host.Migrator(); err != nil {
		return nil //nolint:nilerr // Live has said it
	}
	teller, ok := l.host.Domains().(cpuid.Teller)
	if !ok {
		s.Unchecked = append(s.Unchecked, "its driver does not tell the features of the CPU")
		return nil
	}
	cpu, err := teller.CPU(ctx)
	if err == nil {
		s.CPU = &cpu
		var sees cpuid.Policy
		if sees, err = teller.CPUOf(ctx, g.UUID); err == nil {
			s.Sees = &sees
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Unchecked = append(s.Unchecked, "features of the CPU: "+err.Error())
	}
	return nil
}

// surveyNetwork asks whether the guest's addresses and ports are free, and how
// large the frames of its bridges may be.
func (l *Local) surveyNetwork(ctx context.Context, g host.Guest, s *Survey) error {
	if err := l.host.Fits(ctx, g); err != nil {
		s.problem("%v", err)
	}
	m, ok := l.host.Network().(network.Measurer)
	if !ok {
		s.Unchecked = append(s.Unchecked, "its network does not tell the MTU of bridges")
		return nil
	}
	for _, n := range g.Nics {
		if n.Bridge == "" {
			continue
		}
		mtu, err := m.MTU(ctx, n.Bridge)
		switch {
		case errors.Is(err, fs.ErrNotExist): // surveyDomains tells of it
		case err != nil:
			return err
		default:
			if s.MTU == nil {
				s.MTU = make(map[string]int)
			}
			s.MTU[n.Bridge] = mtu
		}
	}
	return nil
}
