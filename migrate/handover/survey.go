package handover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/capacity"
)

// Survey implements Target.
func (l *Local) Survey(ctx context.Context, g host.Guest) (Survey, error) {
	var s Survey
	if err := g.Validate(); err != nil {
		return s, err
	}
	for _, look := range []func(context.Context, host.Guest, *Survey) error{l.surveyDomains, l.surveyCPU, l.surveyNames, l.surveyNetwork, l.surveyVolumes} {
		if err := look(ctx, g, &s); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *Survey) problem(format string, a ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, a...))
}

// surveyDomains asks the hypervisor: memory, names, kernel, bridges.
func (l *Local) surveyDomains(ctx context.Context, g host.Guest, s *Survey) error {
	check := l.host.Domains().Check(ctx, g.Spec(g.Devices()))
	if check == nil { // what is free may be promised
		left, err := l.host.Capacity(ctx)
		if err != nil {
			return err
		}
		_, check = left.Receive(capacity.Need{Memory: g.Need().Memory})
	}
	if check != nil {
		s.problem("%v", check)
	}
	if _, err := l.host.Migrator(); err != nil {
		s.Live = append(s.Live, err.Error())
	}
	info, err := l.host.Info(ctx)
	if err != nil {
		return err
	}
	s.Xen = info.XenVersion
	s.Suspends = g.Type == xen.PV && !slices.Contains(info.VirtCaps, "shadow")
	if g.Type != xen.PV && !slices.Contains(info.VirtCaps, "hap") {
		s.Live = append(s.Live, "Xen there has no hap, which a "+string(g.Type)+" guest needs to be sent")
	}
	return ctx.Err()
}

// surveyNames looks for another guest of the guest's name.
func (l *Local) surveyNames(ctx context.Context, g host.Guest, s *Survey) error {
	other, err := l.host.Find(ctx, g.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, host.ErrInvalid): // none, or only some that were handed away
		return nil
	case err != nil:
		return err
	case other.UUID == g.UUID:
		return nil
	}
	st, err := l.host.Guest(ctx, other.UUID)
	if err == nil && st.Owner.MayRun() == nil {
		s.problem("name: guest %s there is called %s too", other.UUID, g.Name)
	}
	return err
}

func (l *Local) surveyVolumes(ctx context.Context, g host.Guest, s *Survey) error {
	groups, err := l.host.Volumes().Groups(ctx)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(groups))
	for _, group := range groups {
		known[group.Name] = true
		disks := slices.DeleteFunc(slices.Clone(g.Disks), func(d host.Disk) bool { return d.Volume.Group != group.Name })
		if len(disks) == 0 {
			continue
		}
		volumes, err := l.host.Volumes().Volumes(ctx, group.Name)
		if err != nil {
			return err
		}
		for _, v := range volumes {
			if slices.ContainsFunc(disks, func(d host.Disk) bool { return d.Volume == v.ID }) {
				s.Kept = append(s.Kept, v)
			}
		}
		s.Problems = append(s.Problems, room(g, group, volumes, disks)...)
		one, another := snapshotRoom(group, volumes, disks)
		s.Snapshots, s.Rounds = append(s.Snapshots, one...), append(s.Rounds, another...)
	}
	for _, d := range g.Disks {
		if !known[d.Volume.Group] {
			s.problem("volume group %s does not exist", d.Volume.Group)
		}
	}
	return nil
}
